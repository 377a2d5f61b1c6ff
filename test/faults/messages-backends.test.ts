import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { McpClient, type Reply, reasonOf, textOf } from '../support/mcp-client.ts';
import type { RecordingBackend } from '../support/recording-backend.ts';
import { metric, type Stage, startStage, until } from '../support/stage.ts';

const SSE = { 'content-type': 'text/event-stream' };
const JSON_TYPE = { 'content-type': 'application/json' };

const restarted = (reply: Reply) =>
  ((reply.answer?.result ?? {}) as { _meta?: Record<string, unknown> })._meta?.[
    'dev.outrigger/backendRestarted'
  ];
const names = (reply: Reply, kind = 'tools') =>
  (((reply.answer?.result ?? {}) as Record<string, { name: string }[]>)[kind] ?? []).map(({ name }) => name);

describe('A backend that fails a session', function () {
  this.timeout(30_000);
  let stage: Stage;
  let client: McpClient;

  before(async () => {
    stage = await startStage({
      backends: {
        alpha: {},
        four: { lostStatus: 400 },
        strict: {},
        late: { prompts: [{ name: 'only' }] },
      },
      entries: { strict: { onStateLoss: 'error' } },
      limits: { initializeAnswer: '400ms', streamAfter: '300ms' },
    });
  });
  after(() => stage[Symbol.asyncDispose]());
  beforeEach(async () => {
    client = await stage.open();
  });

  const backend = (name: string) => stage.backend(name);
  const requests = (of: RecordingBackend, rpc: string, from = 0) =>
    of.view.requests({ rpc }).filter(({ order }) => order >= from);
  const seenBy = (of: RecordingBackend, from: number) =>
    of.record.requests.slice(from).map(({ rpc, method }) => rpc ?? method);

  for (const [name, status] of [
    ['alpha', 404],
    ['four', 400],
  ] as const) {
    it(
      verifies(
        'BACK-2',
        'B4',
        'AGG-11',
        'AGG-12',
      )(
        `that answers ${status} for a lost session gets a new one, with its level and subscriptions; the call runs once`,
      ),
      async () => {
        const subject = backend(name);
        await client.request('logging/setLevel', { level: 'error' });
        const uri = name === 'alpha' ? 'memo://one' : `outrigger://${name}/memo://one`;
        await client.request('resources/list');
        expect((await client.request('resources/subscribe', { uri })).answer?.result).to.deep.equal({});
        expect(textOf(await client.call(`${name}__count`))).to.equal('1');
        const from = subject.record.requests.length;
        const ran = subject.view.executionsOf('count');
        subject.loseSessions();
        const reply = await client.call(`${name}__count`);
        expect(textOf(reply)).to.equal('1');
        expect(restarted(reply)).to.equal(true);
        expect(subject.view.executionsOf('count')).to.equal(ran + 1);
        const ping = status === 400 ? ['ping'] : [];
        const seen = seenBy(subject, from).filter((each) => each !== 'notifications/initialized');
        expect(seen.slice(0, 2 + ping.length)).to.deep.equal(['tools/call', ...ping, 'initialize']);
        expect(seen.slice(2 + ping.length)).to.deep.equal([
          'logging/setLevel',
          'resources/subscribe',
          'tools/call',
        ]);
        expect(requests(subject, 'logging/setLevel', from)[0]?.message?.params).to.deep.equal({
          level: 'error',
        });
        expect(requests(subject, 'resources/subscribe', from)[0]?.message?.params).to.deep.equal({
          uri: 'memo://one',
        });
        const next = await client.call(`${name}__count`);
        expect([textOf(next), restarted(next)]).to.deep.equal(['2', undefined]);
      },
    );
  }

  it(verifies('BACK-2', 'B4')('is initialised once, however many calls find its session lost'), async () => {
    const alpha = backend('alpha');
    const from = alpha.record.requests.length;
    alpha.loseSessions();
    const replies = await Promise.all(Array.from({ length: 10 }, () => client.call('alpha__count')));
    expect(
      replies
        .map(textOf)
        .map(Number)
        .toSorted((a, b) => a - b),
    ).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(requests(alpha, 'initialize', from)).to.have.lengthOf(1);
  });

  it(verifies('BACK-2', 'RPC-14')('but not for an ordinary 400, which is its answer'), async () => {
    const alpha = backend('alpha');
    const from = alpha.record.requests.length;
    const hold = alpha.hold('tools/call');
    const calling = client.call('alpha__echo');
    const { message } = await hold.arrived;
    const error = { code: -32602, message: 'no such argument', data: { which: 1 } };
    alpha.next('tools/call', {
      status: 400,
      headers: JSON_TYPE,
      body: JSON.stringify({ jsonrpc: '2.0', id: message?.id, error }),
    });
    hold.release();
    expect((await calling).answer?.error).to.deep.equal(error);
    expect(requests(alpha, 'initialize', from)).to.have.lengthOf(0);
  });

  it(verifies('BACK-2', 'RPC-14')('and lost its state is an error where configuration says so'), async () => {
    const strict = backend('strict');
    expect(textOf(await client.call('strict__count'))).to.equal('1');
    strict.loseSessions();
    const ran = strict.view.executionsOf();
    const reply = await client.call('strict__count');
    expect(reply.status).to.equal(200);
    expect(reply.answer?.error?.data).to.deep.equal({
      reason: 'backend_restarted',
      retryable: false,
      backend: 'strict',
    });
    expect(strict.view.executionsOf()).to.equal(ran);
    expect(textOf(await client.call('strict__count'))).to.equal('1');
  });

  it(
    verifies('BACK-4')('by closing its stream before the answer is asked again from the last event'),
    async () => {
      const incoming = client.beginCall('alpha__poll', { ms: 50 });
      expect(
        textOf(await incoming.reply().then((reply) => resumed(client, reply, incoming.lastEventId))),
      ).to.equal('polled');
      expect(backend('alpha').view.executionsOf('poll')).to.equal(1);
      const resume = backend('alpha')
        .view.requests({ method: 'GET' })
        .filter(({ headers }) => headers['last-event-id'] !== undefined);
      expect(resume).to.have.lengthOf(1);
    },
  );

  it(verifies('BACK-4', 'B5')('by closing a stream without ids is an unknown outcome at once'), async () => {
    const alpha = backend('alpha');
    const note = '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}';
    alpha.next('tools/call', { status: 200, headers: SSE, body: `data: ${note}\n\n` });
    const from = alpha.record.requests.length;
    const reply = await client.call('alpha__echo');
    expect(reasonOf(reply)).to.equal('outcome_unknown');
    expect(seenBy(alpha, from)).to.deep.equal(['tools/call']);
  });

  const unknown = {
    'with a 503': { status: 503 },
    'by a reset before it ran': { reset: true },
    'by a reset after it ran': { runThenReset: true },
  } as const;
  for (const [how, reaction] of Object.entries(unknown)) {
    it(
      verifies('B5')(`${how} leaves a call unknown and never runs it again; a read is asked once more`),
      async () => {
        const alpha = backend('alpha');
        const tag = `B5 ${how}`;
        alpha.next('tools/call', reaction);
        const reply = await client.call('alpha__echo', { tag });
        expect(reply.status).to.equal(200);
        expect(reply.answer?.error?.code).to.equal(-32603);
        expect(reply.answer?.error?.data).to.deep.equal({
          reason: 'outcome_unknown',
          retryable: false,
          backend: 'alpha',
        });
        expect(requests(alpha, 'tools/call').filter(({ body }) => body.includes(tag))).to.have.lengthOf(1);
        if ('runThenReset' in reaction) return;
        alpha.next('resources/read', reaction);
        const from = alpha.record.requests.length;
        const read = await client.request('resources/read', { uri: 'outrigger://alpha/memo://x' });
        expect(read.body).to.contain('from alpha');
        expect(requests(alpha, 'resources/read', from)).to.have.lengthOf(2);
      },
    );
  }

  const garbage = {
    'broken JSON': { status: 200, headers: JSON_TYPE, body: '{"jsonrpc":' },
    HTML: { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' },
    'an answer to something else': {
      status: 200,
      headers: JSON_TYPE,
      body: '{"jsonrpc":"2.0","id":1,"result":{}}',
    },
    'no answer at all': { status: 202 },
    'a stream of garbage': { status: 200, headers: SSE, body: 'data: nonsense\n\n' },
  };
  for (const [what, reaction] of Object.entries(garbage)) {
    it(verifies('B6', 'BACK-8')(`with ${what} costs that call alone`), async () => {
      backend('alpha').next('tools/call', reaction);
      const others = [client.call('four__echo', { n: 1 })];
      const reply = await client.call('alpha__echo');
      expect(reply.answer?.error?.code).to.equal(-32603);
      expect(reasonOf(reply)).to.equal('backend_protocol_error');
      others.push(client.call('alpha__echo', { n: 1 }));
      for (const other of await Promise.all(others)) expect(textOf(other)).to.equal('{"n":1}');
    });
  }

  it(verifies('B6', 'RPC-3')('with two answers gave one'), async () => {
    const alpha = backend('alpha');
    const hold = alpha.hold('tools/call');
    const calling = client.call('alpha__echo');
    const { message } = await hold.arrived;
    const answer = (text: string) =>
      `data: ${JSON.stringify({ jsonrpc: '2.0', id: message?.id, result: { content: [{ type: 'text', text }] } })}\n\n`;
    alpha.next('tools/call', { status: 200, headers: SSE, body: answer('first') + answer('second') });
    hold.release();
    const reply = await calling;
    expect(textOf(reply)).to.equal('first');
    expect(reply.body).to.not.contain('second');
  });

  for (const status of [401, 403]) {
    it(verifies('B3')(`with ${status} is an error of the credential, tried once`), async () => {
      const alpha = backend('alpha');
      alpha.next('tools/call', { status });
      const from = alpha.record.requests.length;
      const reply = await client.call('alpha__echo');
      expect([reply.status, reply.answer?.error?.code]).to.deep.equal([200, -32000]);
      expect(reasonOf(reply)).to.equal('backend_unauthorized');
      expect(seenBy(alpha, from)).to.deep.equal(['tools/call']);
    });
  }

  it(
    verifies('B2', 'BACK-7')('too long for a client that has left is told that the session is over'),
    async () => {
      const alpha = backend('alpha');
      const hold = alpha.hold('initialize');
      const leaving = new McpClient({ url: stage.mesh.url }).begin('initialize', {
        protocolVersion: '2025-11-25',
        capabilities: {},
        clientInfo: { name: 'leaving', version: '1' },
      });
      await hold.arrived;
      const deletes = backend('four').view.deletes.length;
      leaving.drop();
      hold.release();
      await until('nothing is left of it', () => backend('four').view.deletes.length === deletes + 1);
    },
  );

  it(verifies('RPC-14', 'HTTP-7')('is not asked when initialize is too large to be kept'), async () => {
    const large = new McpClient({
      url: stage.mesh.url,
      capabilities: { experimental: { x: 'x'.repeat(20_000) } },
    });
    const from = backend('alpha').record.requests.length;
    const reply = await large.initialize();
    expect([reply.status, reply.answer?.error?.code]).to.deep.equal([200, -32602]);
    expect(large.sessionId).to.equal(undefined);
    expect(seenBy(backend('alpha'), from)).to.deep.equal([]);
  });

  describe('or is not there', () => {
    const initialized = async () => {
      const session = new McpClient({ url: stage.mesh.url });
      return { session, reply: await session.initialize() };
    };

    it(
      verifies('B2', 'M3', 'AGG-1', 'RST-6')('when a session begins joins it later, and its client hears so'),
      async () => {
        const hold = backend('late').hold('initialize');
        const { session, reply } = await initialized();
        expect(reply.body).to.contain('"late":{"status":"connecting"}');
        const listening = await session.listen();
        expect(names(await session.request('tools/list')))
          .to.include('alpha__echo')
          .and.not.include('late__echo');
        await session.request('prompts/list');
        hold.release();
        await listening.message('notifications/prompts/list_changed');
        expect(names(await session.request('prompts/list'), 'prompts')).to.include('late__only');
        expect(textOf(await session.call('late__echo', { n: 1 }))).to.equal('{"n":1}');
        listening.drop();
      },
    );

    it(verifies('RST-6', 'B1', 'AGG-6')('comes back by itself for a client that listens'), async () => {
      await backend('late').stop();
      const { session, reply } = await initialized();
      expect(reply.body).to.contain('"late":{"status":"unavailable"');
      const listening = await session.listen();
      expect(names(await session.request('tools/list'))).to.not.include('late__echo');
      await backend('late').restart();
      await listening.message('notifications/tools/list_changed');
      expect(names(await session.request('tools/list'))).to.include('late__echo');
      listening.drop();
    });

    it(verifies('BACK-2', 'BACK-3')('while its client only listens is taken up anew'), async () => {
      const alpha = backend('alpha');
      const { session } = await initialized();
      await session.request('tools/list');
      const listening = await session.listen();
      await until('alpha is heard', () => alpha.record.openStreams === 1);
      const before = alpha.view.initialises;
      alpha.loseSessions();
      alpha.script({ tools: [{ name: 'echo' }, { name: 'fresh' }] });
      await listening.message('notifications/tools/list_changed');
      expect(alpha.view.initialises).to.equal(before + 1);
      expect(names(await session.request('tools/list'))).to.include('alpha__fresh');
      listening.drop();
    });
  });
});

describe('Fifty backends of one session', function () {
  this.timeout(60_000);
  let stage: Stage;
  const all = Array.from({ length: 50 }, (_, n) => `b${n}`);

  before(async () => {
    const instructions = 'x'.repeat(4_000);
    const experimental = { notes: 'y'.repeat(4_000) };
    const capabilities = { tools: { listChanged: true }, experimental };
    const script = { instructions, capabilities, tools: [{ name: 'whoami', behaviour: 'whoami' as const }] };
    stage = await startStage({
      backends: Object.fromEntries(all.map((name) => [name, script])),
      replicas: 2,
    });
  });
  after(() => stage[Symbol.asyncDispose]());

  it(verifies('RST-5', 'AGG-3')('are all taken up again where the session moves'), async () => {
    const client = await stage.open();
    const before = names(await client.request('tools/list'));
    expect(before).to.deep.equal(all.map((name) => `${name}__whoami`));
    const sessions = await Promise.all(stage.mesh.replicas.map((each) => metric(each, 'outrigger_sessions')));
    await stage.mesh.replicas.find((_, at) => (sessions[at] ?? 0) > 0)?.kill('SIGKILL');
    expect(names(await client.request('tools/list'))).to.deep.equal(before);
    for (const name of all) {
      const { view } = stage.backend(name);
      expect(view.initialises, name).to.equal(1);
      expect(view.deletes, name).to.have.lengthOf(0);
    }
  });
});

/** What the client would do: where its stream was closed before the answer, it resumes. */
async function resumed(client: McpClient, reply: Reply, lastEventId: string | undefined): Promise<Reply> {
  if (reply.answer !== undefined) return reply;
  return (await client.listen(lastEventId)).reply();
}
