import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import {
  ALICE,
  BOB,
  callTool,
  connectToSse,
  eventually,
  faultOf,
  hear,
  INITIALIZE_PARAMS,
  open,
  rawCall,
} from '../support/backend-calls.ts';
import { LegacySseBackend } from '../support/legacy-sse-backend.ts';
import { freePorts } from '../support/ports.ts';
import { spawnReady } from '../support/spawn-ready.ts';

describe('a legacy HTTP+SSE backend', () => {
  it(
    verifies('BACK-10')('is initialised on its stream, told so, and called at the endpoint that it names'),
    async () => {
      await using server = await LegacySseBackend.start();
      await using connector = connectToSse(server.url);
      const session = await open(connector.backend);
      expect(await callTool(session, 'echo', { arguments: { a: 1 } })).to.equal('{"a":1}');
      await eventually(() => server.posts('notifications/initialized').length === 1);

      const [stream] = server.streams;
      expect(stream!.headers.accept).to.equal('text/event-stream');
      const [initialize] = server.posts('initialize');
      expect(initialize!.body).to.contain(`"params":${INITIALIZE_PARAMS}`);
      for (const post of server.posts()) expect(post.session).to.equal(stream!.session);
      expect(server.posts('tools/call')[0]!.headers['mcp-protocol-version']).to.equal('2024-11-05');
      expect(session.facts).to.deep.include({ protocolVersion: '2024-11-05' });
      expect(session.facts.capabilities['tools']).to.deep.equal({ listChanged: true });
      expect(session.hint).to.equal(undefined);
      expect(connector.health.read()).to.include({ state: 'healthy', dropped: 0 });
    },
  );

  it(verifies('BACK-10')('is really one: server-everything over SSE'), async () => {
    const [port = 0] = await freePorts(1);
    const program = createRequire(import.meta.url).resolve(
      '@modelcontextprotocol/server-everything/dist/index.js',
    );
    await using _running = await spawnReady({
      args: [program, 'sse'],
      env: { PORT: String(port) },
      ready: (line) => (line.includes('Server is running') ? true : undefined),
    });
    await using connector = connectToSse(`http://127.0.0.1:${port}/sse`);
    const session = await open(connector.backend);
    expect(await callTool(session, 'echo', { arguments: { message: 'hi' } })).to.equal('Echo: hi');
    await session.close({ terminate: true, credential: {} });
  });

  for (const post of [
    { status: 200, type: 'application/json', body: 'null' },
    { status: 202, type: 'application/json', body: '{"jsonrpc":"2.0","id":1,"result":{"content":[]}}' },
    { status: 204 },
    { status: 200, type: 'text/html', body: 'x'.repeat(200_000) },
  ]) {
    it(
      verifies('BACK-10')(`may take messages with ${post.status} and ${post.type ?? 'nothing'} beside it`),
      async () => {
        await using server = await LegacySseBackend.start({ post });
        await using connector = connectToSse(server.url);
        const session = await open(connector.backend);
        expect(await callTool(session, 'echo')).to.equal('{}');
        await session.notify([Buffer.from('{"jsonrpc":"2.0","method":"x"}')], ALICE);
      },
    );
  }

  it(verifies('BACK-10', 'RPC-12')('is heard to the byte, in the answer of many calls at once'), async () => {
    const result = '{ "content":[], "z":1.0,"a":12345678901234567890123, "s":"\\u00e9\\/" }';
    const answer = (id: unknown) =>
      `event: message\ndata: {"jsonrpc":"2.0","id":${id},"result":${result}}\n\n`;
    await using server = await LegacySseBackend.start();
    await using connector = connectToSse(server.url);
    const session = await open(connector.backend);
    server.script.answer = answer;
    const answers = await Promise.all([1, 2, 3].map(() => rawCall(session, 'echo')));
    for (const { bytes, scanned } of answers) {
      expect(bytes.toString('utf8', scanned.result!.start, scanned.result!.end)).to.equal(result);
    }
  });

  it(
    verifies('BACK-10', 'RPC-4')('reports progress to the call it belongs to, and all else to the session'),
    async () => {
      await using server = await LegacySseBackend.start();
      await using connector = connectToSse(server.url);
      const events = hear();
      const session = await open(connector.backend, { events });
      let reports = 0;
      const onMessage = () => {
        reports += 1;
      };
      expect(await callTool(session, 'progress', { progress: true, onMessage })).to.equal('done');
      expect(reports).to.equal(2);
      server.push({ method: 'notifications/tools/list_changed' });
      await eventually(() => events.messages.length === 1);
      expect(events.messages[0]!.scanned.method).to.equal('notifications/tools/list_changed');
    },
  );

  it(verifies('BACK-10', 'B17')('asks the session, and gets the reply of whoever answers'), async () => {
    await using server = await LegacySseBackend.start();
    await using connector = connectToSse(server.url);
    const events = hear();
    const session = await open(connector.backend, { events });
    // What waits for people waits longer than an ordinary call.
    const answer = callTool(session, 'ask', { timeoutMs: 100, maxTimeoutMs: 5_000 });
    await eventually(() => events.messages.length === 1);
    await sleep(200);
    const { bytes, scanned } = events.messages[0]!;
    const id = bytes.toString('utf8', scanned.id!.start, scanned.id!.end);
    await session.respond([Buffer.from(`{"jsonrpc":"2.0","id":${id},"result":{"roots":[]}}`)], BOB);
    expect(await answer).to.equal('{"roots":[]}');
    expect(server.posts().find(({ message }) => message.method === undefined)!.authorization).to.equal(
      'Bearer bob',
    );
  });

  it(
    verifies(
      'BACK-10',
      'RST-2',
    )('gets with each message the credential of that message, whoever opened the stream'),
    async () => {
      await using server = await LegacySseBackend.start();
      await using connector = connectToSse(server.url);
      const session = await open(connector.backend, { credential: ALICE });
      expect(await callTool(session, 'whoami', { credential: BOB })).to.equal('Bearer bob');
      expect(await callTool(session, 'whoami', { credential: {} })).to.equal('undefined');
      expect(server.streams.map(({ authorization }) => authorization)).to.deep.equal(['Bearer alice']);
    },
  );

  it(verifies('BACK-10')('has a stream for each session, and an answer finds only its own'), async () => {
    await using server = await LegacySseBackend.start();
    await using connector = connectToSse(server.url);
    const [hers, his] = [
      await open(connector.backend, { credential: ALICE }),
      await open(connector.backend, { credential: BOB }),
    ];
    const id = 7;
    const [her, him] = await Promise.all([
      callTool(hers, 'whoami', { id, credential: ALICE }),
      callTool(his, 'whoami', { id, credential: BOB }),
    ]);
    expect([her, him]).to.deep.equal(['Bearer alice', 'Bearer bob']);
    const used = new Set(
      server.posts('tools/call').map(({ session, authorization }) => `${session} ${authorization}`),
    );
    expect(used).to.deep.equal(
      new Set(server.streams.map((each) => `${each.session} ${each.authorization}`)),
    );
    expect(hers.fingerprint).not.to.equal(his.fingerprint);
  });

  it(
    verifies('BACK-10')(
      "ends a stream with its opener's time; a call under way is answered, the next caller opens another",
    ),
    async () => {
      await using server = await LegacySseBackend.start();
      await using connector = connectToSse(server.url, { graceMs: 100 });
      const events = hear();
      const session = await open(connector.backend, { events, lifeMs: 200 });
      const slow = callTool(session, 'slow');
      await eventually(() => events.faults.length === 1);
      expect(events.faults[0]).to.include({ kind: 'session_lost' });
      // What a session does that heard of it.
      await session.close({ terminate: false });
      expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'session_lost', executed: 'no' });
      // Nobody is there any more to be asked or told anything else.
      server.push({ method: 'notifications/tools/list_changed' });
      server.push({ id: 'late', method: 'roots/list' });
      await eventually(() => server.posts().some(({ message }) => message.id === 'late'));
      const refusal = server.posts().find(({ message }) => message.id === 'late');
      expect(refusal!.message.error?.code).to.equal(-32603);
      expect(events.messages).to.deep.equal([]);

      const next = await open(connector.backend, { credential: BOB });
      expect(await callTool(next, 'whoami', { credential: BOB })).to.equal('Bearer bob');
      expect(server.openStreams).to.have.length(2);
      server.release();
      expect(await slow).to.equal('slept');
      await eventually(() => server.openStreams.length === 1);
      expect(server.openStreams[0]!.authorization).to.equal('Bearer bob');
      expect(events.faults).to.have.length(1);
    },
  );

  it(verifies('BACK-10')("keeps the stream where the credential is nobody's own"), async () => {
    await using server = await LegacySseBackend.start();
    await using connector = connectToSse(server.url, { graceMs: Number.POSITIVE_INFINITY });
    const session = await open(connector.backend, { lifeMs: 50 });
    await sleep(150);
    expect(await callTool(session, 'echo')).to.equal('{}');
  });

  it(verifies('BACK-7', 'BACK-10')('is told of the end by the end of its stream'), async () => {
    await using server = await LegacySseBackend.start();
    await using connector = connectToSse(server.url);
    const events = hear();
    const session = await open(connector.backend, { events });
    const listening = session.listen({
      credential: ALICE,
      signal: new AbortController().signal,
      onGap() {},
      onState() {},
    });
    const call = faultOf(callTool(session, 'hang'));
    await eventually(() => server.posts('tools/call').length === 1);
    await session.close({ terminate: true, credential: ALICE });
    expect(await call).to.include({ kind: 'aborted' });
    expect(await listening).to.equal('closed');
    await eventually(() => server.openStreams.length === 0);
    expect(events.faults).to.deep.equal([]);
    expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'aborted', executed: 'no' });
  });

  it(verifies('BACK-10', 'RPC-5')('is told of a cancelled call, and of one that took too long'), async () => {
    await using server = await LegacySseBackend.start();
    await using connector = connectToSse(server.url);
    const session = await open(connector.backend);
    const call = faultOf(callTool(session, 'hang', { id: 501 }));
    await eventually(() => server.posts('tools/call').length === 1);
    session.cancel(501, 'enough', ALICE);
    expect(await call).to.include({ kind: 'aborted', executed: 'unknown' });
    expect(await faultOf(callTool(session, 'hang', { id: 502, timeoutMs: 100 }))).to.include({
      kind: 'timeout',
      executed: 'unknown',
    });
    await eventually(() => server.posts('notifications/cancelled').length === 2);
    const told = server.posts('notifications/cancelled').map(({ message }) => message.params!['requestId']);
    expect(told).to.deep.equal([501, 502]);
  });
});
