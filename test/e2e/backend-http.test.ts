import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import {
  ALICE,
  BOB,
  callTool,
  connectTo,
  eventually,
  faultOf,
  hear,
  INITIALIZE_PARAMS,
  open,
  rawCall,
} from '../support/backend-calls.ts';
import { RecordingBackend } from '../support/recording-backend.ts';

describe('a Streamable HTTP backend', () => {
  it(
    verifies('BACK-1')('is initialised with the given params, told so, and called in its session'),
    async () => {
      await using server = await RecordingBackend.start({ instructions: 'Be kind.' });
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      expect(await callTool(session, 'echo', { arguments: { a: 1 } })).to.equal('{"a":1}');
      await server.seen({ rpc: 'notifications/initialized' });

      const [initialize] = server.view.requests({ rpc: 'initialize' });
      expect(initialize!.body).to.contain(`"params":${INITIALIZE_PARAMS}`);
      expect(initialize!.sessionId).to.equal(undefined);
      expect(initialize!.headers['mcp-protocol-version']).to.equal(undefined);
      const [call] = server.view.requests({ rpc: 'tools/call' });
      const given = server.view.sessions[0]!.id;
      for (const request of [call!, server.view.requests({ rpc: 'notifications/initialized' })[0]!]) {
        expect(request.sessionId).to.equal(given);
        expect(request.headers['mcp-protocol-version']).to.equal('2025-11-25');
        expect(request.headers.accept).to.equal('application/json, text/event-stream');
        expect(request.headers['content-type']).to.equal('application/json');
        expect(request.authorization).to.equal('Bearer alice');
      }
      expect(session.facts.instructions).to.equal('Be kind.');
      expect(session.facts.capabilities['resources']).to.deep.equal({ listChanged: true, subscribe: true });
      expect(session.hint?.sessionId).to.equal(given);
    },
  );

  it(
    verifies('BACK-1')('that gives out no session id is used without one, and is told nothing at the end'),
    async () => {
      await using server = await RecordingBackend.start({ sessions: false });
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      expect(await callTool(session, 'count')).to.equal('1');
      expect(session.hint?.sessionId).to.equal(undefined);
      await session.close({ terminate: true, credential: ALICE });
      expect(server.view.deletes).to.deep.equal([]);
      expect(server.view.requests().every((request) => request.sessionId === undefined)).to.equal(true);
    },
  );

  for (const answers of ['json', 'sse'] as const) {
    it(verifies('RPC-12')(`is heard to the byte when it answers as ${answers}`), async () => {
      const result =
        '{ "content":[], "z":1.0,"a":12345678901234567890123, "s":"\\u00e9\\/", "n":{"b":1,"a":2} }';
      await using server = await RecordingBackend.start({ answers, results: { echo: result } });
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      const { bytes, scanned } = await rawCall(session, 'echo');
      expect(bytes.toString('utf8', scanned.result!.start, scanned.result!.end)).to.equal(result);
    });
  }

  it(
    verifies('RPC-4')(
      'says progress and questions on the stream of the call they belong to, before its answer',
    ),
    async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const events = hear();
      const session = await open(connector.backend, { events });
      const said: string[] = [];
      const answer = callTool(session, 'progress', {
        progress: true,
        arguments: { steps: 2 },
        onMessage: ({ scanned }) => void said.push(scanned.method ?? ''),
      });
      expect(await answer).to.equal('done');
      expect(said).to.deep.equal([
        'notifications/progress',
        'notifications/progress',
        'notifications/message',
      ]);
      expect(events.messages).to.deep.equal([]);
    },
  );

  it(
    verifies('B17')("asks on the call's stream, and gets the reply under the credential of whoever answers"),
    async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      const answer = callTool(session, 'ask', {
        onMessage({ bytes, scanned }) {
          const id = bytes.subarray(scanned.id!.start, scanned.id!.end);
          const reply = Buffer.from(`{"jsonrpc":"2.0","id":${id},"result":{"action":"decline"}}`);
          void session.respond([reply], ALICE);
        },
      });
      expect(await answer).to.equal('{"action":"decline"}');
      expect(server.view.requests({ rpc: 'response' })[0]!.authorization).to.equal('Bearer alice');
    },
  );

  it(
    verifies('RST-2')('gets with each request the credential of that request, whoever opened the session'),
    async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url, {
        headers: { 'x-team': 'blue', Authorization: 'Bearer ours' },
      });
      const session = await open(connector.backend, { credential: ALICE });
      const seen = JSON.parse(String(await callTool(session, 'whoami', { credential: BOB })));
      expect(seen.authorization).to.equal('Bearer bob');
      const byName = JSON.parse(String(await callTool(session, 'whoami', { credential: {} })));
      expect(byName.authorization).to.equal('Bearer ours');
      expect(server.view.requests({ rpc: 'tools/call' })[0]!.headers['x-team']).to.equal('blue');
    },
  );

  it('is taken up by its hint without a handshake, and is the same session by its fingerprint', async () => {
    await using server = await RecordingBackend.start();
    await using first = connectTo(server.url);
    const before = await open(first.backend);
    await callTool(before, 'count');
    await before.close({ terminate: false });
    await using second = connectTo(server.url);
    const after = second.backend.resume(before.hint!, hear())!;
    expect(server.view.requests().length).to.be.lessThan(4);
    expect(await callTool(after, 'count', { headers: { traceparent: '00-aa-bb-01' } })).to.equal('2');
    expect(after.fingerprint).to.equal(before.fingerprint);
    expect(after.facts).to.deep.equal(before.facts);
    expect(server.view.initialises).to.equal(1);
    expect(server.view.deletes).to.deep.equal([]);
    expect(server.view.requests({ rpc: 'tools/call' })[1]!.headers['traceparent']).to.equal('00-aa-bb-01');
  });

  for (const lostStatus of [404, 400] as const) {
    it(
      verifies('BACK-2', 'B4')(`that answers ${lostStatus} for a session it lost says so, and nothing ran`),
      async () => {
        await using server = await RecordingBackend.start({ lostStatus });
        await using connector = connectTo(server.url);
        const session = await open(connector.backend);
        server.loseSessions();
        const faults = await Promise.all([1, 2, 3].map(() => faultOf(callTool(session, 'echo'))));
        for (const fault of faults) expect(fault).to.include({ kind: 'session_lost', executed: 'no' });
        expect(server.view.executionsOf()).to.equal(0);
        // However many calls meet it, one question settles it.
        expect(server.view.requests({ rpc: 'ping' }).length).to.equal(lostStatus === 400 ? 1 : 0);
      },
    );
  }

  it(verifies('BACK-2')('may answer 400 for other reasons without losing its session'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const session = await open(connector.backend);
    server.next('tools/call', { status: 400, body: 'too blue' });
    expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'protocol', status: 400 });
    const id = 9_001;
    const body = `{"jsonrpc":"2.0","id":${id},"error":{"code":-32602,"message":"no"}}`;
    server.next('tools/call', { status: 400, headers: { 'content-type': 'application/json' }, body });
    expect(await callTool(session, 'echo', { id })).to.deep.equal({ code: -32602, message: 'no' });
    expect(await callTool(session, 'count')).to.equal('1');
    expect(server.view.initialises).to.equal(1);
  });

  it(
    verifies('BACK-4')('that closes the stream and asks for a resume is asked again, where it stopped'),
    async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      const waits: number[] = [];
      const answer = callTool(session, 'poll', {
        arguments: { ms: 30 },
        onPolling: (ms) => void waits.push(ms),
      });
      expect(await answer).to.equal('polled');
      expect(waits).to.deep.equal([30]);
      const [resume] = server.view.requests({ method: 'GET' });
      expect(resume!.headers['last-event-id']).to.be.a('string');
      expect(resume!.authorization).to.equal('Bearer alice');
      expect(server.view.executionsOf('poll')).to.equal(1);
    },
  );

  it(
    verifies('BACK-4')('that drops the connection of a numbered stream still gives its answer, once'),
    async () => {
      await using server = await RecordingBackend.start({ answers: 'sse' });
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      const answer = callTool(session, 'slow', { arguments: { ms: 100 } });
      await eventually(() => server.view.executionsOf('slow') === 1);
      server.cutStreams();
      expect(await answer).to.equal('slept');
      expect(server.view.executionsOf('slow')).to.equal(1);
    },
  );

  it(
    verifies('RPC-5')('is told of a cancelled call under its own id, and nobody waits for it any more'),
    async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      const id = 7_001;
      const call = faultOf(callTool(session, 'hang', { id }));
      await server.seen({ rpc: 'tools/call' });
      session.cancel(id, 'changed my mind', ALICE);
      session.cancel(id, 'twice', ALICE);
      session.cancel(12345, 'unknown', ALICE);
      expect(await call).to.include({ kind: 'aborted', executed: 'unknown' });
      const told = await server.seen({ rpc: 'notifications/cancelled' });
      expect(told.message!.params).to.deep.equal({ requestId: id, reason: 'changed my mind' });
      await callTool(session, 'echo');
      expect(server.view.requests({ rpc: 'notifications/cancelled' })).to.have.length(1);
    },
  );

  it(
    verifies('BACK-7')('is deleted at the end when that is asked for, and told nothing otherwise'),
    async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const [kept, ended] = [await open(connector.backend), await open(connector.backend)];
      const call = faultOf(callTool(kept, 'hang'));
      await server.seen({ rpc: 'tools/call' });
      await kept.close({ terminate: false });
      expect(await call).to.include({ kind: 'aborted', executed: 'unknown' });
      await ended.close({ terminate: true, credential: BOB });
      const { deletes } = server.view;
      expect(deletes.map((each) => [each.sessionId, each.authorization])).to.deep.equal([
        [ended.hint!.sessionId, 'Bearer bob'],
      ]);
      expect(server.view.requests({ rpc: 'notifications/cancelled' })).to.deep.equal([]);
    },
  );

  it(verifies('BACK-7')('that does not answer its DELETE is left behind'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const session = await open(connector.backend);
    server.next('DELETE', { hang: true });
    await session.close({ terminate: true, credential: ALICE });
    expect(server.view.deletes).to.have.length(1);
  });

  it(
    verifies('BACK-3')(
      'is listened to while somebody wants it, under that credential, and goes on where it stopped',
    ),
    async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const events = hear();
      const session = await open(connector.backend, { events });
      const listening = listenTo(session);
      await server.listeners(1);
      server.push({ method: 'notifications/tools/list_changed' });
      await eventually(() => events.messages.length === 1);
      server.cutStreams();
      server.push({ method: 'notifications/prompts/list_changed' });
      await eventually(() => events.messages.length === 2);
      listening.stop();
      expect(await listening.ended).to.equal('closed');
      await server.listeners(0);
      expect(listening.states.slice(0, 3)).to.deep.equal([true, false, true]);
      expect(listening.gaps).to.equal(0);
      const gets = server.view.requests({ method: 'GET' });
      expect(gets[0]!.headers['last-event-id']).to.equal(undefined);
      expect(gets[1]!.headers['last-event-id']).to.be.a('string');
      expect(gets.map((get) => get.authorization)).to.deep.equal(['Bearer alice', 'Bearer alice']);
    },
  );

  it(
    verifies('BACK-3')(
      'that does not number its events may have said something meanwhile: the listener hears of the gap',
    ),
    async () => {
      await using server = await RecordingBackend.start({ eventIds: false });
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      const listening = listenTo(session);
      await server.listeners(1);
      expect(listening.gaps).to.equal(0);
      server.cutStreams();
      await eventually(() => listening.gaps === 1);
      await session.close({ terminate: false });
      expect(await listening.ended).to.equal('closed');
    },
  );

  for (const status of [405, 404, 204, 501]) {
    it(
      verifies('BACK-3')(`that answers ${status} to a GET has no stream, and is not asked again`),
      async () => {
        await using server = await RecordingBackend.start({ get: status });
        await using connector = connectTo(server.url);
        const session = await open(connector.backend);
        expect(await listenTo(session).ended).to.equal('unsupported');
        expect(server.view.requests({ method: 'GET' })).to.have.length(1);
      },
    );
  }

  it(
    verifies('BACK-3')('that is down is asked again, less and less often, until nobody listens any more'),
    async () => {
      await using server = await RecordingBackend.start({ get: 503 });
      await using connector = connectTo(server.url);
      const listeners = await Promise.all(Array.from({ length: 6 }, () => open(connector.backend)));
      const listening = listeners.map(listenTo);
      const asked = () => server.view.requests({ method: 'GET' }).length;
      await eventually(() => asked() > 12);
      server.script({ get: 'stream' });
      await eventually(() => listening.every(({ states }) => states.length === 1));
      for (const each of listening) each.stop();
      for (const each of listening) expect(await each.ended).to.equal('closed');
      // Without waits in between thousands would have come.
      expect(asked()).to.be.lessThan(60);
      for (const { gaps, states } of listening) {
        expect(gaps).to.equal(0);
        expect(states).to.deep.equal([true, false]);
      }
    },
  );

  it(verifies('BACK-3')('that says when to come back is not asked before'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const session = await open(connector.backend);
    const started = Date.now();
    server.next('GET', { status: 503, headers: { 'retry-after': '1' } });
    const listening = listenTo(session);
    await server.listeners(1);
    expect(Date.now() - started).to.be.at.least(950);
    listening.stop();
    await listening.ended;
  });

  it('that lost the session says so to a listener too', async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const session = await open(connector.backend);
    server.loseSessions();
    expect(await faultOf(listenTo(session).ended)).to.include({ kind: 'session_lost' });
    server.script({ refuse: { 'Bearer alice': 401 } });
    expect(await faultOf(listenTo(session).ended)).to.include({ kind: 'unauthorized' });
  });

  it('gets answers to its questions through while every connection for calls is taken', async () => {
    await using server = await RecordingBackend.start();
    const connections = { concurrency: 2, queue: 1 };
    await using connector = connectTo(server.url, { connections });
    const session = await open(connector.backend);
    const questions: Buffer[] = [];
    const answers = [1, 2].map(() =>
      callTool(session, 'ask', {
        onMessage: ({ bytes, scanned }) =>
          void questions.push(bytes.subarray(scanned.id!.start, scanned.id!.end)),
      }),
    );
    await eventually(() => questions.length === 2);
    const waiting = callTool(session, 'echo');
    expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'busy', executed: 'no' });
    for (const id of questions) {
      await session.respond([Buffer.from(`{"jsonrpc":"2.0","id":${id},"result":{}}`)], ALICE);
    }
    expect(await Promise.all(answers)).to.deep.equal(['{}', '{}']);
    expect(await waiting).to.equal('{}');
  });
});

function listenTo(session: Awaited<ReturnType<typeof open>>) {
  const controller = new AbortController();
  const listening = { gaps: 0, states: [] as boolean[], stop: () => controller.abort(), ended: start() };
  function start() {
    return session.listen({
      credential: ALICE,
      signal: controller.signal,
      onGap: () => {
        listening.gaps += 1;
      },
      onState: (open) => void listening.states.push(open),
    });
  }
  return listening;
}
