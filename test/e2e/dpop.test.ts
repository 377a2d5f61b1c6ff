import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { Canaries } from '../support/canaries.ts';
import { type ProofChanges, ProofKey } from '../support/dpop.ts';
import type { TokenOptions } from '../support/issuer.ts';
import { metricsAt, redisContents } from '../support/places.ts';
import {
  answered,
  BACKEND_CREDENTIAL,
  McpClient,
  metric,
  type Reply,
  reasonOf,
  type Setting,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';

const ALGORITHMS = 'ES256 ES384 ES512 PS256 RS256 EdDSA Ed25519';
const RESOURCE = 'https://mesh.example/mcp';

describe('Tokens that are bound to a key of the client', function () {
  this.timeout(40_000);
  let setting: Setting;
  const key = new ProofKey();

  before(async () => {
    setting = await startSetting({
      limits: { streamAfter: '200ms' },
      config: { advertise: { resource: RESOURCE, scopes: ['mcp:use'] } },
    });
    await setting.whole();
  });
  after(() => setting[Symbol.asyncDispose]());

  const bound = (by = key, options: TokenOptions = {}) =>
    setting.token({ ...options, claims: { ...by.cnf, ...options.claims } });
  const holder = (by = key, options: TokenOptions = {}) => ({
    token: bound(by, options),
    shows: by.shows,
  });

  it(verifies('I16', 'HTTP-25')('open sessions, by every verb, with a proof for each request'), async () => {
    const { client, owner, other, backendSession } = await setting.open(holder());
    const listening = await client.listen();
    expect(listening.status).to.equal(200);
    expect((await client.notify('notifications/roots/list_changed')).status).to.equal(202);
    const call = client.beginCall('effect', { ms: 600 });
    await until('the call streams', () => call.lastEventId !== undefined);
    call.drop();
    const resumed = await (await client.listen(call.lastEventId)).reply();
    expect(textOf(resumed)).to.equal('slept');

    await setting.lose(owner);
    const seen = JSON.parse(textOf(await answered(() => client.call('whoami'))));
    expect(seen).to.deep.equal({ authorization: BACKEND_CREDENTIAL, sessionId: backendSession });
    expect(await metric(other, 'outrigger_sessions')).to.be.at.least(1);
    expect((await client.end()).status).to.equal(200);
    expect((await client.call('whoami')).status).to.equal(404);
    await listening.ended;
    await setting.whole();
  });

  const BAD: readonly [string, (method: string, url: string) => ProofChanges][] = [
    ['for another method', (method) => ({ claims: { htm: method === 'GET' ? 'POST' : 'GET' } })],
    ['for another place', (_, url) => ({ claims: { htu: url.replace('/mcp', '/other') } })],
    ['for another mesh', () => ({ claims: { htu: 'https://other.example/mcp' } })],
    ['for another token', () => ({ claims: { ath: 'x' } })],
    ['from long ago', () => ({ claims: { iat: now() - 90 } })],
    ['from the future', () => ({ claims: { iat: now() + 60 } })],
    ['of another key', () => ({ header: { jwk: new ProofKey().publicJwk } })],
    ['wrongly signed', () => ({ signature: () => Buffer.alloc(64, 1) })],
    ['not signed', () => ({ header: { alg: 'none' }, signature: () => Buffer.alloc(0) })],
    ['of another type', () => ({ header: { typ: 'JWT' } })],
    ['without a name', () => ({ claims: { jti: undefined } })],
    ['with an endless name', () => ({ claims: { jti: 'x'.repeat(300) } })],
    ['too large', () => ({ claims: { padding: 'x'.repeat(9_000) } })],
  ];
  for (const [name, changes] of BAD) {
    it(verifies('I16', 'HTTP-25')(`with a proof ${name} open nothing, by any verb`), async () => {
      const { client } = await setting.open(holder());
      const { length } = setting.backend.view.record.requests;
      const wrong = client.alias({
        shows: (proven) => key.headers(proven, changes(proven.method, proven.url)),
      });
      for (const reply of await everyVerb(wrong)) expectProofRefused(reply);
      expect(setting.backend.view.record.requests).to.have.length(length);
      expect((await client.call('whoami')).status).to.equal(200);
    });
  }

  it(verifies('I16')('without a proof, or with two, open nothing'), async () => {
    const { client } = await setting.open(holder());
    const { length } = setting.backend.view.record.requests;
    const naked = client.alias({ shows: ({ token }) => ({ authorization: `DPoP ${token}` }) });
    const empty = client.alias({ shows: ({ token }) => ({ authorization: `DPoP ${token}`, dpop: '' }) });
    const joined = client.alias({
      shows: (proven) => ({
        authorization: `DPoP ${proven.token}`,
        dpop: `${key.proof(proven)}, ${key.proof(proven)}`,
      }),
    });
    for (const each of [naked, empty, joined])
      for (const reply of await everyVerb(each)) expectProofRefused(reply);
    const proven = { method: 'DELETE', url: client.url, token: client.token ?? '' };
    const { authorization = '', 'mcp-session-id': sessionId = '' } = client.headers('DELETE');
    const [one, two] = [key.proof(proven), key.proof(proven)];
    const { status, body } = await twice(client.url, { authorization, sessionId, one, two });
    expect({ status, reason: JSON.parse(body).error.data.reason }).to.deep.equal({
      status: 401,
      reason: 'invalid_dpop_proof',
    });
    expect(setting.backend.view.record.requests).to.have.length(length);
    expect((await client.call('whoami')).status).to.equal(200);
  });

  it(verifies('I16')('are no bearers, with or without a proof, and bearers are not bound'), async () => {
    const { client } = await setting.open(holder());
    const bearer = client.alias({ shows: ({ token }) => ({ authorization: `Bearer ${token}` }) });
    const beside = client.alias({
      shows: (proven) => ({ authorization: `Bearer ${proven.token}`, dpop: key.proof(proven) }),
    });
    for (const each of [bearer, beside]) {
      for (const reply of await everyVerb(each)) {
        expectProofRefused(reply);
        expect(reply.headers['www-authenticate']).to.match(/^Bearer error="invalid_token"/);
      }
    }
    const unbound = client.alias({ token: setting.token() });
    for (const reply of await everyVerb(unbound)) {
      expect(reply.status, reply.body).to.equal(401);
      expect(reply.headers['www-authenticate']).to.contain(
        `DPoP error="invalid_token", algs="${ALGORITHMS}"`,
      );
    }
    const plain = await McpClient.open({
      url: setting.mesh.url,
      token: setting.token(),
      shows: ({ token }) => ({ authorization: `Bearer ${token}`, dpop: 'whatever' }),
    });
    expect((await plain.call('whoami')).status).to.equal(200);
  });

  it(verifies('I16')('that are bound to a certificate are refused, whatever comes with them'), async () => {
    const certificate = { 'x5t#S256': key.thumbprint };
    for (const cnf of [certificate, { ...certificate, jkt: key.thumbprint }]) {
      const token = bound(key, { claims: { cnf } });
      for (const shows of [key.shows, undefined]) {
        const client = new McpClient({ url: setting.mesh.url, token, ...(shows && { shows }) });
        const reply = await client.initialize();
        expect(reply.status).to.equal(401);
        expect(reply.headers['www-authenticate']).to.contain('error="invalid_token"');
      }
    }
  });

  it(verifies('I16')('a proof counts once, on all replicas, also when its first one is gone'), async () => {
    const { client, owner } = await setting.open(holder());
    const proven = { method: 'POST', url: client.url, token: client.token ?? '' };
    const headers = key.headers(proven);
    const stolen = client.alias({ shows: () => headers });
    expect((await stolen.call('whoami')).status).to.equal(200);
    expectProofRefused(await stolen.call('whoami'));
    await setting.lose(owner);
    expectProofRefused(await answered(() => stolen.call('whoami')));
    expect((await answered(() => client.call('whoami'))).status).to.equal(200);
    await setting.whole();

    const raced = key.headers(proven);
    const replies = await Promise.all(
      Array.from({ length: 8 }, () => client.alias({ shows: () => raced }).call('whoami')),
    );
    expect(replies.filter(({ status }) => status === 200)).to.have.length(1);
    for (const reply of replies.filter(({ status }) => status !== 200)) expectProofRefused(reply);
  });

  it(
    verifies('I16', 'RST-11')('a call that is sent again after a loss is the same use of its proof'),
    async () => {
      const { client, owner } = await setting.open(holder());
      const runs = setting.backend.view.executionsOf('lookup');
      const call = client.beginCall('lookup', { ms: 300 });
      await until('it runs', () => setting.backend.view.executionsOf('lookup') > runs);
      await owner.kill('SIGKILL');
      expect(textOf(await call.reply())).to.equal('slept');
      await setting.whole();
    },
  );

  it(verifies('I16')('lists are never answered for them without a look at the proof'), async () => {
    const { client } = await setting.open(holder());
    const before = await metric(setting.mesh.sidecar, 'outrigger_sidecar_lists_answered_total');
    for (let round = 0; round < 6; round += 1) {
      expect((await client.request('tools/list')).status).to.equal(200);
      await sleep(60);
    }
    const naked = client.alias({ shows: ({ token }) => ({ authorization: `DPoP ${token}` }) });
    expectProofRefused(await naked.request('tools/list'));
    expect(await metric(setting.mesh.sidecar, 'outrigger_sidecar_lists_answered_total')).to.equal(before);
  });

  it(
    verifies('I16')('the proof is for the URL that the client called, or the resource that the mesh is'),
    async () => {
      const { client } = await setting.open(holder());
      const { port } = new URL(client.url);
      const by = (htu: string) =>
        client.alias({ shows: (proven) => key.headers(proven, { claims: { htu } }) }).call('whoami');
      for (const htu of [
        `HTTP://127.0.0.1:${port}/mcp?of=no#matter`,
        `http://127.0.0.1:${port}/x/../%6dcp`,
        RESOURCE,
        'https://MESH.example:443/mcp',
      ])
        expect((await by(htu)).status, htu).to.equal(200);
      for (const htu of [
        `https://127.0.0.1:${port}/mcp`,
        `http://localhost:${port}/mcp`,
        'http://127.0.0.1/mcp',
        'http://mesh.example/mcp',
        `http://127.0.0.1:${port}/mcp/`,
      ])
        expectProofRefused(await by(htu));
    },
  );

  it(
    verifies('I16', 'RST-10', 'S5')('the same principal goes on with another key; another one does not'),
    async () => {
      const { client, backendSession } = await setting.open(holder());
      const next = new ProofKey();
      const rotated = client.alias(holder(next));
      expect(JSON.parse(textOf(await rotated.call('whoami'))).sessionId).to.equal(backendSession);
      expect((await client.alias({ token: setting.token(), shows: bearer }).call('whoami')).status).to.equal(
        200,
      );
      const mallory = new ProofKey();
      expect((await client.alias(holder(mallory, { sub: 'mallory' })).call('whoami')).status).to.equal(404);
      const thief = client.alias({ token: client.token, shows: mallory.shows });
      expectProofRefused(await thief.call('whoami'));
      expect((await client.call('whoami')).status).to.equal(200);
    },
  );

  it(verifies('I16', 'HTTP-24')('are announced in the metadata, and in every challenge'), async () => {
    const { origin } = new URL(setting.mesh.url);
    const document: unknown = await (
      await fetch(`${origin}/.well-known/oauth-protected-resource/mcp`)
    ).json();
    expect(document).to.deep.include({
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: ALGORITHMS.split(' '),
      dpop_bound_access_tokens_required: false,
    });
    const { headers } = await new McpClient({ url: setting.mesh.url }).initialize();
    expect(headers['www-authenticate']).to.match(/^Bearer scope="mcp:use", resource_metadata="http:/);
    expect(headers['www-authenticate']).to.match(new RegExp(`, DPoP algs="${ALGORITHMS}"$`));
  });

  it(verifies('I16', 'I17')('neither they nor their proofs are anywhere but where they belong'), async () => {
    const { client } = await setting.open(holder());
    await client.call('echo', { n: 1 });
    const replies = await everyVerb(
      client.alias({ shows: (proven) => key.headers(proven, { claims: { iat: now() - 90 } }) }),
    );
    const canaries = new Canaries();
    canaries.addToken('the bound token', client.token ?? '');
    for (const proof of key.made) canaries.add('the end of a proof', proof.slice(-60));
    const ops = [...setting.mesh.replicas, setting.mesh.sidecar].map((each) => each.ops);
    const places = [
      { name: 'the answers', content: replies.map(({ body }) => body).join('\n') },
      { name: 'the backend', content: JSON.stringify(setting.backend.view.record.requests) },
      { name: 'the logs', content: setting.mesh.log().join('\n') },
      ...(await metricsAt(ops)),
      ...(await redisContents(setting.redis)),
    ];
    const found = canaries.in(places);
    expect(found, `\n${found.join('\n')}\n`).to.deep.equal([]);
    expect(setting.backend.view.record.requests.filter(({ headers }) => 'dpop' in headers)).to.deep.equal([]);
  });

  it(verifies('I16')('nobody is let in while the store cannot say whether a proof was used'), async () => {
    await using alone = await startSetting();
    await alone.whole();
    const token = alone.token({ claims: key.cnf });
    const client = await McpClient.open({ url: alone.mesh.url, token, shows: key.shows });
    await alone.redis.kill('SIGKILL');
    const { length } = alone.backend.view.record.requests;
    const reply = await client.call('whoami');
    expect(reply.status, reply.body).to.equal(503);
    expect(Number(reply.headers['retry-after'])).to.be.at.least(1);
    expect(alone.backend.view.record.requests).to.have.length(length);
  });
});

describe('A mesh that takes bound tokens alone', function () {
  this.timeout(40_000);

  it(verifies('I16')('refuses all others, and says so in its metadata'), async () => {
    await using setting = await startSetting({
      store: 'embedded',
      identity: { dpop: { required: true, algorithms: ['ES256'] } },
    });
    await setting.whole();
    const { url } = setting.mesh;
    const refused = await new McpClient({ url, token: setting.token() }).initialize();
    expect(refused.status).to.equal(401);
    expect(refused.headers['www-authenticate']).to.match(/DPoP algs="ES256"$/);
    const key = new ProofKey();
    const token = setting.token({ claims: key.cnf });
    const headers = key.headers({ method: 'POST', url, token });
    const client = await McpClient.open({ url, token, shows: key.shows });
    expect((await client.call('whoami')).status).to.equal(200);
    const once = client.alias({ shows: () => headers });
    expect((await once.call('whoami')).status).to.equal(200);
    expectProofRefused(await once.call('whoami'));
    const document: unknown = await (
      await fetch(`${new URL(url).origin}/.well-known/oauth-protected-resource`)
    ).json();
    expect(document).to.deep.include({
      bearer_methods_supported: [],
      dpop_bound_access_tokens_required: true,
    });
  });
});

const bearer = ({ token }: { readonly token: string }) => ({ authorization: `Bearer ${token}` });

function now(): number {
  return Math.floor(Date.now() / 1_000);
}

async function everyVerb(client: McpClient): Promise<Reply[]> {
  return [
    await client.call('whoami'),
    await client.notify('notifications/roots/list_changed'),
    await (await client.listen()).reply(),
    await (await client.listen('c1-1.1.1')).reply(),
    await client.end(),
  ];
}

/** Ends a session with the DPoP header on two lines. */
function twice(
  url: string,
  {
    authorization,
    sessionId,
    one,
    two,
  }: Readonly<Record<'authorization' | 'sessionId' | 'one' | 'two', string>>,
): Promise<{ readonly status: number | undefined; readonly body: string }> {
  const headers = { authorization, 'mcp-session-id': sessionId, dpop: [one, two] };
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: 'DELETE', headers, agent: false }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode, body }), reject);
    });
    asked.on('error', reject).end();
  });
}

function expectProofRefused(reply: Reply): void {
  expect(reply.status, reply.body).to.equal(401);
  expect(reasonOf(reply), reply.body).to.equal('invalid_dpop_proof');
  const challenge = reply.headers['www-authenticate'] ?? '';
  expect(challenge).to.match(/^Bearer /);
  expect(challenge).to.contain('resource_metadata="http://127.0.0.1:');
  expect(challenge).to.match(/, DPoP error="invalid_dpop_proof", algs="[A-Za-z0-9 ]+"$/);
}
