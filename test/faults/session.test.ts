import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import {
  answered,
  BACKEND_CREDENTIAL,
  McpClient,
  metric,
  type Reply,
  reasonOf,
  type Setting,
  type Story,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';

/** Rows S1 to S14: sessions under wrong ids, wrong callers, two streams, two sidecars, and too many of them. */
describe('Sessions under wrong and hostile use', function () {
  this.timeout(40_000);
  let setting: Setting;

  before(async () => {
    setting = await startSetting({
      sidecars: 2,
      limits: { sessionsPerPrincipal: 10, streamAfter: '200ms' },
      identity: { tokenGrace: '1s' },
      tenantClaim: 'org',
      claims: { org: 'one' },
    });
    await setting.whole();
  });
  after(() => setting[Symbol.asyncDispose]());

  const at = (url: string | undefined, sub: string) =>
    McpClient.open({ url: url ?? '', token: setting.token({ sub }) });

  it(verifies('S1', 'HTTP-9')('no session id is a bad request'), async () => {
    const client = new McpClient({ url: setting.mesh.url, token: setting.token() });
    for (const reply of [
      await client.request('tools/list'),
      await client.end(),
      await (await client.listen()).reply(),
    ]) {
      expect(reply.status).to.equal(400);
      expect(reply.answer?.error?.code).to.equal(-32000);
    }
  });

  describe('a session of another', () => {
    let story: Story;
    let untouched: string[];
    let requests: number;

    before(async () => {
      story = await setting.open({ token: setting.token({ sub: 'victim', claims: { org: 'one' } }) });
      await story.client.call('count');
    });
    beforeEach(async () => {
      untouched = await keysOf(setting);
      requests = setting.backend.view.record.requests.length;
    });
    afterEach(async () => {
      const now = await keysOf(setting);
      expect(now).not.to.have.length(0);
      expect(now.map(withoutTtl)).to.deep.equal(untouched.map(withoutTtl));
      for (const [index, key] of now.entries())
        expect(ttlOf(key)).to.be.at.most(ttlOf(untouched[index] ?? ''));
      expect(setting.backend.view.record.requests).to.have.length(requests);
    });

    for (const [name, wrong] of [
      ['random', (id: string) => [...id].reverse().join('')],
      ['truncated', (id: string) => id.slice(0, -1)],
      ['bit-flipped', (id: string) => `${id.slice(0, -1)}${id.endsWith('A') ? 'B' : 'A'}`],
      ['bit-flipped in its name', (id: string) => `${id.startsWith('A') ? 'B' : 'A'}${id.slice(1)}`],
      ['empty of meaning', () => 'no session'],
    ] as const) {
      it(verifies('S2', 'HTTP-9')(`an id that is ${name} is not found, and touches nothing`), async () => {
        const stranger = story.client.alias({ sessionId: wrong(story.client.sessionId ?? '') });
        for (const reply of await everyVerb(stranger)) expectNotFound(reply);
      });
    }

    for (const [who, claims] of [
      ['of the same tenant', { org: 'one' }],
      ['of another tenant', { org: 'two' }],
    ] as const) {
      it(
        verifies(
          'S3',
          'RST-3',
          'HTTP-10',
        )(`the whole id in the hands of a thief ${who} is not found, and touches nothing`),
        async () => {
          const thief = story.client.alias({ token: setting.token({ sub: 'thief', claims }) });
          const unknown = thief.alias({ sessionId: [...(thief.sessionId ?? '')].reverse().join('') });
          const [stolen, none] = [await everyVerb(thief), await everyVerb(unknown)];
          expect(stolen.map(seen)).to.deep.equal(none.map(seen));
          for (const reply of stolen) expectNotFound(reply);
        },
      );
    }

    it(
      verifies('S3', 'RST-3')('also where a replica would have to restore it, and the theft is on record'),
      async () => {
        const thief = story.client.alias({
          url: setting.mesh.urls[1],
          token: setting.token({ sub: 'thief' }),
        });
        for (const reply of await everyVerb(thief)) expectNotFound(reply);
        const events = setting.mesh.log().filter((line) => line.includes('session_binding_mismatch'));
        expect(events).not.to.have.length(0);
      },
    );

    it(verifies('S3', 'RST-3')('the subject of another tenant is another principal'), async () => {
      const namesake = story.client.alias({
        token: setting.token({ sub: 'victim', claims: { org: 'two' } }),
      });
      expectNotFound(await namesake.call('whoami'));
    });
  });

  it(verifies('S3', 'HTTP-10', 'RST-2')('its owner goes on with the same backend session'), async () => {
    const { client, backendSession } = await setting.open();
    const thief = client.alias({ token: setting.token({ sub: 'thief' }) });
    await everyVerb(thief);
    expect(JSON.parse(textOf(await client.call('whoami')))).to.deep.equal({
      authorization: BACKEND_CREDENTIAL,
      sessionId: backendSession,
    });
  });

  it(
    verifies(
      'S4',
      'RST-10',
    )('a refreshed token of the same principal continues it, at a replica that restores it too'),
    async () => {
      const { client, owner } = await setting.open();
      await client.call('count');
      client.token = setting.token({ claims: { jti: 'refreshed' } });
      expect(textOf(await client.call('count'))).to.equal('2');
      await setting.lose(owner);
      client.token = setting.token({ claims: { jti: 'again' }, scope: 'more' });
      expect(textOf(await answered(() => client.call('count')))).to.equal('3');
      await setting.whole();
    },
  );

  it(
    verifies(
      'S6',
      'HTTP-11',
      'BACK-7',
    )('ended, it is gone at every replica at once, and its backend is told once'),
    async () => {
      const { client, backendSession } = await setting.open();
      const elsewhere = client.alias({ url: setting.mesh.urls[1] });
      expect((await client.end()).status).to.equal(200);
      expectNotFound(await elsewhere.call('whoami'));
      expectNotFound(await client.call('whoami'));
      await until(
        'the DELETE',
        () => setting.backend.view.requests({ method: 'DELETE', sessionId: backendSession }).length > 0,
      );
      for (const again of [client, elsewhere, client.alias({ token: setting.token({ sub: 'thief' }) })]) {
        expectNotFound(await again.end());
      }
      const deletes = setting.backend.view.requests({ method: 'DELETE', sessionId: backendSession });
      expect(deletes.map(({ authorization }) => authorization)).to.deep.equal([BACKEND_CREDENTIAL]);
    },
  );

  it(verifies('S7', 'RST-7')('ended during a call: the call has one answer'), async () => {
    const { client } = await setting.open();
    const call = client.beginCall('effect', { tag: 'ended', ms: 60_000 });
    await until('it runs', () => executions(setting, 'ended') === 1);
    expect((await client.end()).status).to.equal(200);
    const reply = await call.reply();
    expect(reply.events.filter(({ message }) => message !== undefined).length).to.be.at.most(1);
    expect(reply.answer?.error).not.to.equal(undefined);
    expectNotFound(await client.call('whoami'));
  });

  it(verifies('S7', 'RST-7')('ended while it is restored: it stays gone'), async () => {
    const { mesh } = setting;
    const { client, owner } = await setting.open();
    await owner.kill('SIGKILL');
    const calls = Array.from({ length: 8 }, (_, n) => client.call('echo', { n }));
    const end = await answered(() => client.alias().end());
    await Promise.all(calls);
    expect(end.status).to.equal(200);
    expectNotFound(await client.call('whoami'));
    for (const url of mesh.urls) expectNotFound(await answered(() => client.alias({ url }).call('whoami')));
    await setting.whole();
    expectNotFound(await client.call('whoami'));
  });

  it(
    verifies(
      'S9',
      'HTTP-16',
    )('a second listening stream takes over: the older ends, each message comes once'),
    async () => {
      const { backend } = setting;
      const { client, backendSession } = await setting.open();
      const say = (data: string) =>
        backend.push({ method: 'notifications/message', params: { level: 'info', data } }, backendSession);
      const listeners = () => backend.view.requests({ method: 'GET', sessionId: backendSession }).length;

      const first = await client.listen();
      await until('the first is heard', () => listeners() === 1);
      say('one');
      await first.message('notifications/message');
      const thief = await client.alias({ token: setting.token({ sub: 'thief' }) }).listen();
      expect(thief.status).to.equal(404);
      const second = await client.listen();
      await first.ended;
      await until('the second is heard', () => listeners() === 2);
      say('two');
      await second.event(({ data }) => data.includes('two'));

      expect(first.messages.map(({ params }) => params?.['data'])).to.deep.equal(['one']);
      expect(second.messages.map(({ params }) => params?.['data'])).to.deep.equal(['two']);
      second.drop();
    },
  );

  it(
    verifies(
      'S10',
      'RST-4',
    )('used through two sidecars at once: every call is answered or told to come back, and none runs twice'),
    async () => {
      const { backend, mesh } = setting;
      await apart(setting);
      const { client, backendSession } = await setting.open();
      const [one, two] = [client, client.alias({ url: mesh.urls[1] })];
      const restores = () =>
        Promise.all(mesh.replicas.map((each) => metric(each, 'outrigger_takeovers_total')));
      const before = await restores();

      const replies = await Promise.all(
        Array.from({ length: 64 }, (_, n) => (n % 2 === 0 ? one : two).call('echo', { tag: 's10', n })),
      );
      const after = await restores();
      const answers = replies.filter(({ status, answer }) => status === 200 && answer?.result !== undefined);
      const later = replies.filter(
        ({ status, headers }) => status === 503 && headers['retry-after'] !== undefined,
      );
      expect(answers.length + later.length, replies.map(({ body }) => body).join('\n')).to.equal(64);
      expect(answers.length).to.be.greaterThan(0);
      const tags = backend.view.record.executions.map(({ arguments: args }) => JSON.stringify(args));
      const ran = tags.filter((each) => each.includes('s10'));
      expect(ran).to.have.length(new Set(ran).size);
      expect(ran.length).to.be.at.least(answers.length);
      const took = after.reduce((sum, each) => sum + each, 0) - before.reduce((sum, each) => sum + each, 0);
      expect(took).to.be.at.most(2);

      for (const each of [one, two]) {
        const seenBy = JSON.parse(textOf(await answered(() => each.call('whoami'))));
        expect(seenBy).to.deep.equal({ authorization: BACKEND_CREDENTIAL, sessionId: backendSession });
      }
      expect(backend.view.requests({ method: 'DELETE', sessionId: backendSession })).to.have.length(0);
    },
  );

  it(
    verifies(
      'S11',
      'HTTP-13',
    )('a version unknown or malformed is refused; another than negotiated, or none, is served as negotiated'),
    async () => {
      const { client } = await setting.open({ protocolVersion: '2025-06-18' });
      const ask = (headers: Record<string, string>) =>
        client.send(
          {
            jsonrpc: '2.0',
            id: 'v',
            method: 'tools/call',
            params: { name: 'effect', arguments: { ms: 400 } },
          },
          headers,
        );
      for (const version of ['2099-01-01', 'latest', '']) {
        const reply = await ask({ 'mcp-protocol-version': version }).reply();
        expect(reply.status, version).to.equal(400);
        expect(reply.answer?.error?.code).to.equal(-32000);
      }
      for (const headers of [
        {},
        { 'mcp-protocol-version': '2025-06-18' },
        { 'mcp-protocol-version': '2025-11-25' },
      ]) {
        const reply = await ask(headers).reply();
        expect(textOf(reply)).to.equal('slept');
        // What was negotiated knows no priming event.
        expect(reply.events.map(({ data }) => data === '')).to.deep.equal([false]);
      }
    },
  );

  it(
    verifies('S14')('a request of the era without sessions is refused so that a client falls back'),
    async () => {
      const client = new McpClient({ url: setting.mesh.url, token: setting.token() });
      const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' };
      const reply = await client
        .send(
          { jsonrpc: '2.0', id: 1, method: 'server/discover', params: { _meta: meta } },
          { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'server/discover' },
        )
        .reply();
      expect(reply.status).to.equal(400);
      expect(reply.answer?.error?.code).to.equal(-32000);
    },
  );

  describe('too many', () => {
    it(
      verifies('S13')(
        'one more than a principal may have costs its oldest idle one; where all are busy it is told to come back',
      ),
      async () => {
        const sub = 'collector';
        const clients: McpClient[] = [];
        while (clients.length < 10) clients.push(await at(setting.mesh.url, sub));
        const [oldest, ...rest] = clients;
        if (oldest === undefined) throw new Error('no session');
        const calls = [oldest, ...rest.slice(1)].map((client) =>
          client.beginCall('effect', { tag: 's13', ms: 2_000 }),
        );
        await until('they run', () => executions(setting, 's13') === calls.length);

        const newest = await at(setting.mesh.url, sub);
        expectNotFound(await (rest[0] ?? oldest).call('echo'));
        const busy = newest.beginCall('effect', { tag: 's13', ms: 1_500 });
        await until('it runs too', () => executions(setting, 's13') === calls.length + 1);
        const refused = await new McpClient({
          url: setting.mesh.url,
          token: setting.token({ sub }),
        }).initialize();
        expect(refused.status).to.equal(429);
        expect(Number(refused.headers['retry-after'])).to.be.at.least(1);
        for (const call of [...calls, busy]) expect(textOf(await call.reply())).to.equal('slept');
      },
    );

    it(
      verifies('S13')('a flood of new sessions from one principal is slowed, and others are not'),
      async () => {
        const flood = await Promise.all(
          Array.from({ length: 130 }, () =>
            new McpClient({ url: setting.mesh.url, token: setting.token({ sub: 'flood' }) }).initialize(),
          ),
        );
        const statuses = new Set(flood.map(({ status }) => status));
        expect([...statuses].sort()).to.deep.equal([200, 429]);
        for (const { status, headers } of flood)
          if (status === 429) expect(headers['retry-after']).to.match(/^\d+$/);
        expect((await at(setting.mesh.url, 'another')).sessionId).to.be.a('string');
      },
    );
  });
});

async function everyVerb(client: McpClient): Promise<Reply[]> {
  return [
    await client.call('whoami'),
    await client.request('tools/list'),
    await client.notify('notifications/roots/list_changed'),
    await (await client.listen()).reply(),
    await (await client.listen('c1-1.1.1')).reply(),
    await client.end(),
  ];
}

function expectNotFound(reply: Reply): void {
  expect(reply.status, reply.body).to.equal(404);
  expect(reply.answer?.error?.code).to.equal(-32001);
  expect(reasonOf(reply)).to.equal('session_not_found');
}

/** All of an answer that a thief could learn from. */
function seen({ status, headers, answer }: Reply): unknown {
  const { date: _, 'x-request-id': __, ...rest } = headers;
  return { status, headers: rest, error: answer?.error };
}

const DUMP = `
local found = {}
for _, name in ipairs(redis.call('KEYS', 'outrigger:*')) do
  if not name:find(':generation$') then
    local dump = redis.sha1hex(redis.call('DUMP', name))
    table.insert(found, name .. ' ' .. dump .. ' ' .. redis.call('PTTL', name))
  end
end
table.sort(found)
return found`;

/** Every key of every session, with a digest of its content and its remaining time. */
async function keysOf({ redis }: Setting): Promise<string[]> {
  return (await redis.cli('eval', DUMP, '0')).split('\n');
}

function withoutTtl(key: string): string {
  return key.slice(0, key.lastIndexOf(' '));
}

function ttlOf(key: string): number {
  return Number(key.slice(key.lastIndexOf(' ')));
}

function executions({ backend }: Setting, tag: string): number {
  return backend.view.record.executions.filter((each) => (each.arguments as { tag?: string }).tag === tag)
    .length;
}

/** Sees to it that the two sidecars have different homes. */
async function apart(setting: Setting): Promise<void> {
  const [one, two] = setting.mesh.sidecars;
  if (one === undefined || two === undefined) throw new Error('two sidecars are needed');
  const home = async (url: string) => (await setting.open({ url })).owner;
  const first = await home(one.url);
  if (first !== (await home(two.url))) return;
  // The second one starts while it cannot reach the home of the first, and stays where it is then.
  setting.path(first).set({ refuse: true });
  await two.restart();
  setting.path(first).heal();
  await setting.whole();
}
