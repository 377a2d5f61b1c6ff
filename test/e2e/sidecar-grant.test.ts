import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { verifies } from '../requirements.ts';
import { McpClient, reasonOf, type Setting, startSetting, textOf, until } from '../support/story.ts';
import { TokenEndpoint, type TokenRequest } from '../support/token-endpoint.ts';

const NOTHING: TokenRequest = { authorization: undefined, form: {} };
const SECRET = 'the-agents-own-secret:%+';

/** Agents without a user and without a token: the sidecar has one granted for itself. */
describe('a sidecar that is granted its own token', function () {
  this.timeout(60_000);

  let folder: string;
  let endpoint: TokenEndpoint;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-grant-'));
    endpoint = await TokenEndpoint.start();
  });
  afterEach(async () => {
    await endpoint[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const setting = async (proof: Readonly<Record<string, unknown>>, lifeS = 300): Promise<Setting> => {
    let issuer: Setting['issuer'] | undefined;
    const down = endpoint.down;
    endpoint.down = true;
    const grant = endpoint.grant;
    endpoint.grant = (asked) => ({
      access_token: issuer?.token({ sub: 'agent-7', exp: Math.floor(Date.now() / 1000) + lifeS }),
      expires_in: lifeS,
      ...grant(asked),
    });
    const made = await startSetting({
      store: 'embedded',
      sidecarConfig: {
        allowSharedLoopback: true,
        token: {
          clientCredentials: {
            tokenEndpoint: endpoint.url,
            clientId: 'agent 7',
            scopes: ['mcp:read', 'mcp:write'],
            resource: 'https://mesh.example/mcp',
            ...proof,
          },
        },
      },
      env: { OUTRIGGER_TEST_CLIENT_SECRET: SECRET },
    });
    issuer = made.issuer;
    endpoint.down = down;
    return made;
  };

  const served = (mesh: Setting['mesh']) =>
    until('a token is there', async () => {
      const reply = await new McpClient({ url: mesh.url }).initialize();
      return reply.status === 200;
    });

  it(
    verifies('HTTP-25', 'RST-2')('serves agents that send none, as itself; theirs always wins'),
    async () => {
      await using made = await setting({ clientSecret: { env: 'OUTRIGGER_TEST_CLIENT_SECRET' } });
      const { mesh, issuer } = made;
      await served(mesh);
      const agent = await McpClient.open({ url: mesh.url });
      expect(textOf(await agent.call('echo', { n: 1 }))).to.equal('{"n":1}');
      const { authorization, form } = endpoint.requests.at(-1) ?? NOTHING;
      const basic = Buffer.from(authorization?.slice('Basic '.length) ?? '', 'base64').toString();
      // Both halves are form-encoded first (RFC 6749 §2.3.1).
      expect(basic.replaceAll('+', ' ').split(':').map(decodeURIComponent)).to.deep.equal([
        'agent 7',
        SECRET,
      ]);
      expect(form).to.deep.equal({
        grant_type: 'client_credentials',
        scope: 'mcp:read mcp:write',
        resource: 'https://mesh.example/mcp',
      });

      const itself = agent.alias({ token: issuer.token({ sub: 'agent-7' }) });
      expect((await itself.call('echo', { n: 2 })).status).to.equal(200);
      const alice = agent.alias({ token: issuer.token() });
      expect((await alice.call('echo', { n: 3 })).status).to.equal(404);
      expect(mesh.log().join('\n')).to.not.contain(SECRET);
    },
  );

  it('proves itself with a key, RFC 7523 §2.2', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const file = join(folder, 'key.pem');
    await writeFile(file, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await using made = await setting({ privateKey: { file, keyId: 'k-1' } });
    await served(made.mesh);
    const { authorization, form } = endpoint.requests.at(-1) ?? NOTHING;
    expect(authorization).to.equal(undefined);
    const { client_assertion: assertion = '' } = form;
    expect(decodeProtectedHeader(assertion)).to.include({ alg: 'ES256', kid: 'k-1' });
    const { payload } = await verified(assertion, publicKey);
    expect(payload).to.include({ iss: 'agent 7', sub: 'agent 7' });
    expect(payload.exp).to.be.a('number');
  });

  it('proves itself with the token of its workload, read for each request', async () => {
    const file = join(folder, 'workload');
    await writeFile(file, 'workload-one\n');
    await using made = await setting({ workloadToken: { file } }, 2);
    await served(made.mesh);
    expect(endpoint.requests.at(-1)?.form).to.include({
      client_id: 'agent 7',
      client_assertion: 'workload-one',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    });
    await writeFile(file, 'workload-two\n');
    await until(
      'the renewed one is shown',
      () => endpoint.requests.at(-1)?.form['client_assertion'] === 'workload-two',
    );
  });

  it('renews it, goes on while nothing grants one, and then says that it cannot: never without identity', async () => {
    await using made = await setting({ clientSecret: { env: 'OUTRIGGER_TEST_CLIENT_SECRET' } }, 4);
    const { mesh } = made;
    await served(mesh);
    const agent = await McpClient.open({ url: mesh.url });
    const asked = endpoint.requests.length;
    await until('it was renewed', () => endpoint.requests.length > asked);
    expect((await agent.call('echo', {})).status).to.equal(200);
    endpoint.down = true;
    expect((await agent.call('echo', {})).status).to.equal(200);
    let last = await agent.call('echo', {});
    await until('the token has expired', async () => {
      last = await agent.call('echo', {});
      return last.status !== 200;
    });
    expect(last.status).to.equal(503);
    expect(last.headers).to.have.property('retry-after');
    expect(reasonOf(last)).to.equal('unavailable');
    endpoint.down = false;
    await until('it is back', async () => (await agent.call('echo', {})).status === 200);
  });

  it('that is refused says why in the log, without what was sent', async () => {
    endpoint.grant = ({ authorization }) => {
      throw new Error(`who is ${authorization}`);
    };
    await using made = await setting({ clientSecret: { env: 'OUTRIGGER_TEST_CLIENT_SECRET' } });
    const log = () => made.mesh.log().join('\n');
    await until('it was refused', () => log().includes('granted no token'));
    const basic = Buffer.from(`agent+7:${encodeURIComponent(SECRET)}`).toString('base64');
    expect(log()).to.not.contain(SECRET).and.not.contain(basic);
    expect((await new McpClient({ url: made.mesh.url }).initialize()).status).to.equal(503);
  });
});

function verified(assertion: string, key: KeyObject) {
  return jwtVerify(assertion, key);
}
