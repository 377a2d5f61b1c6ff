import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import type { TokenOptions } from '../support/issuer.ts';
import {
  answered,
  BACKEND_CREDENTIAL,
  McpClient,
  type Reply,
  type Setting,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';

/** How long after its expiry a token is still good, and open streams outlive that. */
const TOLERANCE_S = 5;
const GRACE_S = 1;

describe('Who a caller is', function () {
  this.timeout(40_000);

  describe('where a token is required', () => {
    let setting: Setting;
    before(async () => {
      setting = await startSetting({
        identity: { tokenGrace: `${GRACE_S}s` },
        limits: { streamAfter: '200ms' },
        config: { advertise: { resource: 'https://mesh.example/mcp', scopes: ['mcp:use'] } },
      });
      await setting.whole();
    });
    after(() => setting[Symbol.asyncDispose]());

    const BAD: readonly [string, Parameters<typeof verifies>, TokenOptions][] = [
      ['expired', ['I2', 'HTTP-25'], { exp: now() - 60 }],
      ['not yet valid', ['I2', 'HTTP-25'], { claims: { nbf: now() + 600 } }],
      ['for another audience', ['I3', 'HTTP-25'], { aud: 'https://another.example/mcp' }],
      ['of another issuer', ['I3', 'HTTP-25'], { claims: { iss: 'https://issuer.example' } }],
      ['without a subject', ['I3', 'HTTP-25'], { claims: { sub: undefined } }],
      ['wrongly signed', ['I4', 'HTTP-25'], { signature: () => Buffer.alloc(64, 1) }],
      ['bound to what is no key', ['I16', 'HTTP-25'], { claims: { cnf: { jkt: 'thumbprint' } } }],
      ['unsigned', ['I4', 'HTTP-25'], { header: { alg: 'none' }, signature: () => Buffer.alloc(0) }],
    ];
    for (const [name, rows, options] of BAD) {
      it(
        verifies(...rows)(`a token that is ${name} opens nothing, by any verb, and reaches no backend`),
        async () => {
          const { client } = await setting.open();
          const { requests } = setting.backend.view.record;
          const token = setting.token(options);
          const bearer = client.alias({ token });
          for (const reply of await everyVerb(bearer)) expectChallenge(reply, 'invalid_token');
          expectChallenge(
            await new McpClient({ url: setting.mesh.url, token }).initialize(),
            'invalid_token',
          );
          expect(setting.backend.view.record.requests).to.have.length(requests.length);
          expect((await client.call('whoami')).status).to.equal(200);
        },
      );
    }

    it(
      verifies(
        'I1',
        'S5',
        'HTTP-23',
        'HTTP-10',
      )('no token, or one in another scheme, is challenged before anything is looked up'),
      async () => {
        const { client } = await setting.open();
        for (const sessionId of [client.sessionId ?? '', [...(client.sessionId ?? '')].reverse().join('')]) {
          for (const reply of await everyVerb(client.alias({ token: undefined, sessionId })))
            expectChallenge(reply);
        }
        const basic = await client
          .send({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, { authorization: 'Basic YTpi' })
          .reply();
        expectChallenge(basic, 'invalid_token');
      },
    );

    it(
      verifies(
        'HTTP-24',
        'HTTP-23',
      )('the challenge leads to the metadata of the mesh, and to nothing of a backend'),
      async () => {
        const reply = await new McpClient({ url: setting.mesh.url }).initialize();
        const metadata =
          /resource_metadata="([^"]+)"/.exec(reply.headers['www-authenticate'] ?? '')?.[1] ?? '';
        const document: unknown = await (await fetch(metadata)).json();
        expect(document).to.deep.include({
          resource: 'https://mesh.example/mcp',
          authorization_servers: [setting.issuer.url],
          scopes_supported: ['mcp:use'],
        });
      },
    );

    it(
      verifies(
        'I12',
        'HTTP-25',
      )(
        'a token that expires during a call: the call ends well, the stream closes, the next request is refused',
      ),
      async () => {
        const { client } = await setting.open();
        const exp = now() + 1;
        const passing = client.alias({ token: setting.token({ exp }) });
        const stream = await passing.listen();
        const ms = (1 + TOLERANCE_S + GRACE_S + 1) * 1_000;
        const call = passing.beginCall('effect', { tag: 'outlives its token', ms });
        await until('the call streams', () => call.lastEventId !== undefined);

        await stream.ended;
        expect(stream.status).to.equal(200);
        expect(now()).to.be.at.least(exp + GRACE_S);
        await sleep(Math.max(0, (exp + TOLERANCE_S + 1) * 1_000 - Date.now()));
        for (const reply of await everyVerb(passing)) expectChallenge(reply, 'invalid_token');
        expect(textOf(await call.reply())).to.equal('slept');
        expect((await client.call('whoami')).status).to.equal(200);
      },
    );

    it(
      verifies(
        'RST-2',
        'RST-1',
        'RST-11',
      )('no backend request carries anything of a caller: not before, during or after the loss of a replica'),
      async () => {
        const { backend } = setting;
        const callers = ['ada', 'bob', 'cyd', 'dan'].map((sub) =>
          setting.token({ sub, claims: { secret: sub } }),
        );
        const clients = await Promise.all(
          callers.map((token) => McpClient.open({ url: setting.mesh.url, token })),
        );
        const sessions = await Promise.all(clients.map(backendSessionOf));
        expect(new Set(sessions).size).to.equal(clients.length);

        const { owner } = await setting.open();
        const calls = clients.map((client) => client.beginCall('lookup', { ms: 300 }));
        await until('they run', () => backend.view.executionsOf('lookup') >= clients.length);
        await owner.kill('SIGKILL');
        for (const call of calls) expect(textOf(await call.reply())).to.equal('slept');
        expect(await Promise.all(clients.map(backendSessionOf))).to.deep.equal(sessions);
        backend.loseSessions();
        await Promise.all(clients.map((client) => client.call('count')));

        const seen = JSON.stringify(backend.view.record.requests);
        for (const token of callers) for (const part of token.split('.')) expect(seen).not.to.contain(part);
        for (const { sessionId } of clients) expect(seen).not.to.contain(sessionId);
        expect(backend.view.authorizations).to.deep.equal([BACKEND_CREDENTIAL]);
        expect(backend.view.sessions.every(({ usedBy }) => usedBy.length === 1)).to.equal(true);
        await setting.whole();
      },
    );

    it(verifies('I9')('without the keys of the issuer nobody is told to sign in again'), async () => {
      const { issuer, mesh } = setting;
      const { client } = await setting.open();
      issuer.outage('down');
      try {
        expect((await client.call('whoami')).status).to.equal(200);
        await Promise.all(mesh.replicas.map((replica) => replica.restart()));
        await setting.whole();
        const reply = await client.call('whoami');
        expect(reply.status, reply.body).to.equal(503);
        expect(Number(reply.headers['retry-after'])).to.be.at.least(1);
      } finally {
        issuer.outage('none');
      }
      expect((await answered(() => client.call('whoami'))).status).to.equal(200);
    });
  });

  describe('where callers without a token are served too', () => {
    let setting: Setting;
    before(async () => {
      setting = await startSetting({ anonymous: true });
      await setting.whole();
    });
    after(() => setting[Symbol.asyncDispose]());

    it(
      verifies(
        'S5',
        'HTTP-10',
      )('without a token a bound session asks for one, and an unknown one is not found'),
      async () => {
        const { client } = await setting.open();
        expectChallenge(await client.alias({ token: undefined }).call('whoami'));
        const unknown = client.alias({
          token: undefined,
          sessionId: [...(client.sessionId ?? '')].reverse().join(''),
        });
        expect((await unknown.call('whoami')).status).to.equal(404);
        expect((await client.call('whoami')).status).to.equal(200);
      },
    );

    it(
      verifies('S5', 'I18')('a token on an anonymous session does not find it, and does not upgrade it'),
      async () => {
        const client = await McpClient.open({ url: setting.mesh.url });
        expect((await client.alias({ token: setting.token() }).call('whoami')).status).to.equal(404);
        expect((await client.alias({ token: setting.token() }).end()).status).to.equal(404);
        expect((await client.call('whoami')).status).to.equal(200);
      },
    );

    it(verifies('I1', 'HTTP-23')('a bad token is refused, and never taken for none'), async () => {
      const bad = new McpClient({ url: setting.mesh.url, token: setting.token({ exp: now() - 60 }) });
      expectChallenge(await bad.initialize(), 'invalid_token');
    });

    it(
      verifies(
        'RST-1',
        'RST-2',
      )('an anonymous session outlives its replica, under the backend\u2019s own credential'),
      async () => {
        const { client, owner, backendSession } = await setting.open({ token: undefined });
        await setting.lose(owner);
        const seen = JSON.parse(textOf(await answered(() => client.call('whoami'))));
        expect(seen).to.deep.equal({ authorization: BACKEND_CREDENTIAL, sessionId: backendSession });
      },
    );
  });
});

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

function expectChallenge({ status, headers, body }: Reply, error?: string): void {
  expect(status, body).to.equal(401);
  const challenge = headers['www-authenticate'] ?? '';
  expect(challenge).to.match(/^Bearer /);
  expect(challenge).to.contain('resource_metadata="http://127.0.0.1:');
  if (error === undefined) expect(challenge).not.to.contain('error=');
  else expect(challenge).to.contain(`error="${error}"`);
}

async function backendSessionOf(client: McpClient): Promise<string> {
  return (JSON.parse(textOf(await client.call('whoami'))) as { sessionId: string }).sessionId;
}
