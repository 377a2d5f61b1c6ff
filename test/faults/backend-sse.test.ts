import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { ALICE, callTool, connectToSse, eventually, faultOf, hear, open } from '../support/backend-calls.ts';
import { LegacySseBackend } from '../support/legacy-sse-backend.ts';
import { RecordingBackend } from '../support/recording-backend.ts';

describe('a legacy HTTP+SSE backend that misbehaves', () => {
  for (const what of [
    'another origin',
    'another port',
    'a name before the host',
    'another scheme',
    'no URL',
  ] as const) {
    it(verifies('BACK-5', 'BACK-10')(`names as its endpoint ${what}: nothing is sent anywhere`), async () => {
      await using elsewhere = await RecordingBackend.start();
      await using server = await LegacySseBackend.start();
      const { host } = new URL(server.url);
      const endpoints = {
        'another origin': 'http://backend.example/messages',
        'another port': elsewhere.url,
        'a name before the host': `http://alice:secret@${host}/messages`,
        'another scheme': `https://${host}/messages`,
        'no URL': 'http://[',
      };
      server.script.endpoint = () => endpoints[what];
      await using connector = connectToSse(server.url);
      expect(await faultOf(open(connector.backend))).to.include({ kind: 'protocol' });
      expect([...server.posts(), ...elsewhere.view.requests()]).to.deep.equal([]);
      await eventually(() => server.openStreams.length === 0);
    });
  }

  it(verifies('B2', 'BACK-10')('names no endpoint, or none in time: its stream is closed'), async () => {
    await using server = await LegacySseBackend.start({ endpoint: () => undefined });
    await using connector = connectToSse(server.url);
    const opening = faultOf(open(connector.backend, { timeoutMs: 150 }));
    await eventually(() => server.openStreams.length === 1);
    server.push({ method: 'notifications/tools/list_changed' });
    expect(await opening).to.include({ kind: 'timeout', executed: 'unknown' });
    await eventually(() => server.openStreams.length === 0);
    const leaving = new AbortController();
    const abandoned = faultOf(open(connector.backend, { signal: leaving.signal }));
    await eventually(() => server.openStreams.length === 1);
    leaving.abort();
    expect(await abandoned).to.include({ kind: 'aborted' });
    await eventually(() => server.openStreams.length === 0);
    expect(connector.health.read().dropped).to.equal(1);
  });

  it(verifies('B2', 'BACK-10')('never answers initialize: its stream is closed'), async () => {
    await using server = await LegacySseBackend.start({ answer: () => ': nothing\n\n' });
    await using connector = connectToSse(server.url);
    expect(await faultOf(open(connector.backend, { timeoutMs: 150 }))).to.include({ kind: 'timeout' });
    await eventually(() => server.openStreams.length === 0);
    expect(server.posts('notifications/cancelled')).to.deep.equal([]);
  });

  for (const [status, kind] of [
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'protocol'],
    [405, 'protocol'],
    [429, 'rate_limited'],
    [503, 'interrupted'],
  ] as const) {
    it(verifies('B3', 'BACK-10')(`refuses the stream with ${status}`), async () => {
      await using server = await LegacySseBackend.start({ get: status });
      await using connector = connectToSse(server.url);
      expect(await faultOf(open(connector.backend))).to.include({ kind, status });
      expect(server.streams).to.have.length(1);
    });
  }

  for (const [status, kind] of [
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'session_lost'],
    [400, 'session_lost'],
    [429, 'rate_limited'],
  ] as const) {
    it(verifies('B3', 'B4', 'BACK-10')(`refuses a message with ${status}: nothing ran`), async () => {
      await using server = await LegacySseBackend.start();
      await using connector = connectToSse(server.url);
      const session = await open(connector.backend);
      server.script.post = { status };
      expect(await faultOf(callTool(session, 'echo'))).to.include({ kind, status, executed: 'no' });
      const notice = session.notify([Buffer.from('{"jsonrpc":"2.0","method":"x"}')], ALICE);
      expect(await faultOf(notice)).to.include({ kind, status });
    });
  }

  it(
    verifies('B5', 'BACK-10')('drops the stream: what was under way may have run, what waited has not'),
    async () => {
      await using server = await LegacySseBackend.start();
      await using connector = connectToSse(server.url, { connections: { concurrency: 1, queue: 10 } });
      const events = hear();
      const session = await open(connector.backend, { events });
      const [running, waiting] = [faultOf(callTool(session, 'hang')), faultOf(callTool(session, 'echo'))];
      await eventually(() => server.posts('tools/call').length === 1);
      server.cut();
      expect(await running).to.include({ kind: 'session_lost', executed: 'unknown' });
      expect(await waiting).to.include({ kind: 'session_lost', executed: 'no' });
      expect(events.faults.map(({ kind }) => kind)).to.deep.equal(['session_lost']);
      expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'session_lost', executed: 'no' });
      expect(server.posts('tools/call')).to.have.length(1);
      const next = await open(connector.backend);
      expect(await callTool(next, 'echo')).to.equal('{}');
    },
  );

  it(
    verifies(
      'BACK-8',
      'B6',
      'RPC-3',
    )('sends garbage, unknown answers and second ones: dropped, and calls go on'),
    async () => {
      await using server = await LegacySseBackend.start();
      await using connector = connectToSse(server.url);
      const session = await open(connector.backend);
      const answer = (id: unknown) => `data: {"jsonrpc":"2.0","id":${id},"result":{}}\n\n`;
      server.script.answer = (id) =>
        `data: {"json\n\nevent: other\ndata: 1\n\n${answer('"7"')}${answer(7)}${answer(id)}${answer(id)}`;
      expect(await callTool(session, 'echo', { id: 601 })).to.deep.equal({});
      await eventually(() => connector.health.read().dropped === 4);
      server.script.answer = undefined;
      expect(await callTool(session, 'echo')).to.equal('{}');
    },
  );

  it(
    verifies('BACK-8', 'B7')('sends an event that is too large, or stops in the middle of one'),
    async () => {
      await using server = await LegacySseBackend.start();
      await using connector = connectToSse(server.url, { messageBytes: 10_000, stallMs: 100 });
      const events = hear();
      for (const [text, kind] of [
        [`data: ${'x'.repeat(20_000)}`, 'protocol'],
        ['data: {"jsonrpc"', 'session_lost'],
      ] as const) {
        const session = await open(connector.backend, { events });
        const call = faultOf(callTool(session, 'hang'));
        await eventually(() => server.openStreams.length === 1);
        server.write(text);
        expect(await call).to.include({ kind });
        await eventually(() => server.openStreams.length === 0);
      }
      expect(events.faults.map(({ kind }) => kind)).to.deep.equal(['session_lost', 'session_lost']);
    },
  );

  it(
    verifies('BACK-8', 'BACK-10')('answers, and never says that it took the message: the connection is cut'),
    async () => {
      await using server = await LegacySseBackend.start();
      await using connector = connectToSse(server.url, { connections: { concurrency: 1, queue: 10 } });
      const session = await open(connector.backend);
      server.script.answersFirst = true;
      expect(await callTool(session, 'echo')).to.equal('{}');
      server.script.answersFirst = false;
      expect(await callTool(session, 'echo')).to.equal('{}');
    },
  );
});
