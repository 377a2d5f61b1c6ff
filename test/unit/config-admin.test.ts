import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadSettings } from '../../control-plane/config.ts';
import { verifies } from '../requirements.ts';
import { AUTHORITY, KEY } from '../support/certificates.ts';
import { REPLICA } from '../support/mesh-certificates.ts';

const ISSUERS = [
  { issuer: 'https://as.example', audiences: ['mesh'], requiredScopes: ['mcp'] },
  { issuer: 'https://staff.example', audiences: ['mesh'] },
];

describe('the configuration of who is an admin', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-config-'));
    await writeFile(join(folder, 'cert.pem'), REPLICA);
    await writeFile(join(folder, 'key.pem'), KEY);
    await writeFile(join(folder, 'ca.pem'), AUTHORITY);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function load(admin: unknown, tls?: object) {
    const file = join(folder, 'outrigger.json');
    const mcpServers = { files: { command: 'true' } };
    await writeFile(
      file,
      JSON.stringify({ mcpServers, identity: { issuers: ISSUERS }, admin, listen: { grpc: { tls } } }),
    );
    return loadSettings({ file, cwd: folder, env: {} }).admin;
  }

  async function problem(admin: unknown, tls?: object): Promise<string> {
    const [outcome] = await Promise.allSettled([load(admin, tls)]);
    return outcome.status === 'fulfilled' ? 'accepted' : String(outcome.reason);
  }

  it(verifies('ADM-2')('nobody is, unless it says who'), async () => {
    expect(await load(undefined)).to.equal(undefined);
    expect(await problem({})).to.include('say who is an admin');
    expect(await problem({ scope: 'a', loopback: true })).to.include('say who is an admin');
  });

  it(verifies('ADM-2')('an issuer, an audience and a role of their own'), async () => {
    const admin = await load({ scope: 'mesh:admin', issuer: 'https://staff.example', audience: 'admin' });
    expect(admin?.role).to.deep.equal({ kind: 'scope', scope: 'mesh:admin' });
    expect(admin?.identity.issuers).to.have.length(1);
    expect(admin?.identity.issuers[0]).to.deep.include({
      issuer: 'https://staff.example',
      audiences: ['admin'],
    });
    expect(admin?.identity.anonymous).to.equal(false);
  });

  it(verifies('ADM-2')('what callers need says nothing of admins'), async () => {
    const admin = await load({ claim: { name: 'roles', value: 'admin' } });
    expect(admin?.role).to.deep.equal({ kind: 'claim', name: 'roles', value: 'admin' });
    expect(admin?.identity.issuers.map(({ requiredScopes }) => requiredScopes)).to.deep.equal([[], []]);
    expect(admin?.identity.issuers[0]?.audiences).to.deep.equal(['mesh']);
  });

  it(verifies('ADM-2')('by certificates, which somebody must be asked for'), async () => {
    const tls = { cert: 'cert.pem', key: 'key.pem', ca: 'ca.pem' };
    const certificates = ['spiffe://mesh.example/admin/*'];
    expect(await load({ certificates }, tls)).to.include({ role: undefined, loopback: false });
    expect(await load({ certificates, scope: 'a' }, tls)).to.deep.include({ certificates });
    expect(await problem({ certificates })).to.include('without listen.grpc.tls');
    expect(await problem({ certificates: ['admin'] }, tls)).to.include('expected a SPIFFE id');
    expect(await problem({ certificates, audience: 'a' }, tls)).to.include('no token is asked for');
    expect(await problem({ certificates, loopback: true }, tls)).to.include('no certificate counts');
  });

  it(
    verifies('G10')('tokens of workloads are of an issuer that is known, and no tokens of callers'),
    async () => {
      const tls = (workloadTokens: object) => ({
        cert: 'cert.pem',
        key: 'key.pem',
        ca: 'ca.pem',
        workloadTokens,
      });
      const tokens = { issuer: 'https://as.example', audience: 'workloads', trustDomain: 'mesh.example' };
      const scope = { scope: 'a' };
      expect(await problem(scope, tls({ ...tokens, issuer: 'https://other.example' }))).to.include(
        'this is none of identity.issuers',
      );
      expect(await problem(scope, tls({ ...tokens, audience: 'mesh' }))).to.include("a sidecar's is another");
      expect(await problem(scope, tls({ ...tokens, trustDomain: 'A/b' }))).to.include('expected a name');
    },
  );

  it(verifies('ADM-2')('what cannot be meant is refused'), async () => {
    expect(await problem({ scope: 'a', issuer: 'https://other.example' })).to.include(
      'this is none of identity.issuers',
    );
    expect(await problem({ loopback: true, audience: 'admin' })).to.include('no token is asked for');
  });
});
