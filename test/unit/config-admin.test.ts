import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadSettings } from '../../control-plane/config.ts';
import { verifies } from '../requirements.ts';

const ISSUERS = [
  { issuer: 'https://as.example', audiences: ['mesh'], requiredScopes: ['mcp'] },
  { issuer: 'https://staff.example', audiences: ['mesh'] },
];

describe('the configuration of who is an admin', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-config-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function load(admin: unknown) {
    const file = join(folder, 'outrigger.json');
    const mcpServers = { files: { command: 'true' } };
    await writeFile(file, JSON.stringify({ mcpServers, identity: { issuers: ISSUERS }, admin }));
    return loadSettings({ file, cwd: folder, env: {} }).admin;
  }

  async function problem(admin: unknown): Promise<string> {
    const [outcome] = await Promise.allSettled([load(admin)]);
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

  it(verifies('ADM-2')('what cannot be meant is refused'), async () => {
    expect(await problem({ scope: 'a', issuer: 'https://other.example' })).to.include(
      'this is none of identity.issuers',
    );
    expect(await problem({ loopback: true, audience: 'admin' })).to.include('no token is asked for');
  });
});
