import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { MESH } from '../support/oidc-provider.ts';
import { type OpaqueIssuer, startOpaqueIssuer } from '../support/opaque-issuer.ts';
import { answered, McpClient, type Setting, startSetting, textOf } from '../support/story.ts';

describe('Tokens that say nothing by themselves', function () {
  this.timeout(40_000);
  let issuer: OpaqueIssuer;
  let setting: Setting;

  before(async () => {
    issuer = await startOpaqueIssuer();
    const { id, secret } = issuer.client;
    setting = await startSetting({
      env: { ISSUER_SECRET: secret },
      entry: { tools: { count: { requiredScopes: ['write'] } } },
      identity: {
        verdictCache: '1s',
        issuers: [
          {
            issuer: issuer.url,
            audiences: [MESH],
            introspection: { clientId: id, clientSecret: { env: 'ISSUER_SECRET' } },
          },
        ],
      },
    });
    await setting.whole();
  });
  after(async () => {
    await setting[Symbol.asyncDispose]();
    await issuer[Symbol.asyncDispose]();
  });

  async function client(options: Parameters<OpaqueIssuer['token']>[0]) {
    const token = await issuer.token(options);
    return { token, client: await McpClient.open({ url: setting.mesh.url, token }) };
  }

  it(
    verifies('RST-1', 'RST-10')('open sessions of the person that the issuer names, which others cannot use'),
    async () => {
      const [alice, bob] = [await client({ sub: 'alice' }), await client({ sub: 'bob' })];
      expect((await alice.client.call('whoami')).status).to.equal(200);
      const next = await issuer.token({ sub: 'alice', scope: 'read write' });
      expect((await alice.client.alias({ token: next }).call('count')).status).to.equal(200);
      expect((await alice.client.alias({ token: bob.token }).call('whoami')).status).to.equal(404);
      const stepUp = await alice.client.call('count');
      expect(stepUp.status).to.equal(403);
      expect(stepUp.headers['www-authenticate']).to.contain('scope="write"');
    },
  );

  it('are asked about once by many requests at once, and again when the verdict is old', async () => {
    const before = issuer.asked();
    const { client: caller } = await client({ sub: 'alice' });
    await Promise.all(Array.from({ length: 10 }, () => caller.call('whoami')));
    const used = issuer.asked() - before;
    expect(used).to.be.within(1, 3);
    await sleep(1_100);
    await caller.call('whoami');
    expect(issuer.asked() - before).to.be.greaterThan(used);
  });

  it(verifies('I12', 'HTTP-25')('are refused soon after they were revoked'), async () => {
    const { token, client: caller } = await client({ sub: 'alice' });
    expect((await caller.call('whoami')).status).to.equal(200);
    await issuer.revoke(token);
    await sleep(1_100);
    const reply = await caller.call('whoami');
    expect(reply.status).to.equal(401);
    expect(reply.headers['www-authenticate']).to.contain('error="invalid_token"');
  });

  it(verifies('I9')('are not refused while the issuer cannot be asked, on any replica'), async () => {
    const { client: caller } = await client({ sub: 'alice' });
    issuer.down(true);
    try {
      await sleep(1_100);
      const reply = await caller.call('whoami');
      expect(reply.status, reply.body).to.equal(503);
      expect(Number(reply.headers['retry-after'])).to.be.at.least(1);
      await Promise.all(setting.mesh.replicas.map((replica) => replica.restart()));
      await setting.whole();
      expect((await caller.call('whoami')).status).to.equal(503);
    } finally {
      issuer.down(false);
    }
    expect(textOf(await answered(() => caller.call('echo', { a: 1 })))).to.equal('{"a":1}');
  });
});
