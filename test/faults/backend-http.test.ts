import { type AddressInfo, createServer } from 'node:net';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { callTool, connectTo, eventually, faultOf, hear, open } from '../support/backend-calls.ts';
import { RecordingBackend } from '../support/recording-backend.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const SSE_TYPE = { 'content-type': 'text/event-stream' };

describe('a Streamable HTTP backend that misbehaves', () => {
  describe('cannot be reached', () => {
    it(verifies('B1')('is refused: nothing ran'), async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      await server.stop();
      expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'unreachable', executed: 'no' });
      expect(await faultOf(open(connector.backend))).to.include({ kind: 'unreachable', executed: 'no' });
      expect(connector.health.read()).to.include({ state: 'failing', lastFault: 'unreachable' });
    });

    it(verifies('B1')('does not speak TLS where it should, or has no such name'), async () => {
      await using server = await RecordingBackend.start();
      for (const url of [server.url.replace('http:', 'https:'), 'http://backend.invalid/mcp']) {
        await using connector = connectTo(url);
        expect(await faultOf(open(connector.backend)), url).to.include({
          kind: 'unreachable',
          executed: 'no',
        });
      }
      expect(server.view.requests()).to.deep.equal([]);
    });

    for (const host of [
      '169.254.169.254',
      '2852039166',
      '0xa9.0xfe.1',
      '[fe80::1]',
      '[::ffff:169.254.1.1]',
      '[fd00:ec2::254]',
    ]) {
      it(verifies('BACK-5', 'B9')(`is at ${host}, which is never connected to`), async () => {
        await using connector = connectTo(`http://${host}/mcp`);
        const fault = await faultOf(open(connector.backend));
        expect(fault).to.include({ kind: 'unreachable', executed: 'no' });
        expect(fault.cause).to.include({ code: 'EADDRNOTALLOWED' });
      });
    }
  });

  it(verifies('B2')('is slow to initialize: only so much time is spent on it'), async () => {
    await using server = await RecordingBackend.start({ delays: { initialize: 400 } });
    await using connector = connectTo(server.url);
    expect(await faultOf(open(connector.backend, { timeoutMs: 100 }))).to.include({ kind: 'timeout' });
    expect(server.view.requests({ rpc: 'notifications/initialized' })).to.deep.equal([]);
  });

  it('is initialised for somebody who left', async () => {
    await using server = await RecordingBackend.start({ delays: { initialize: 10_000 } });
    await using connector = connectTo(server.url);
    const leaving = new AbortController();
    const opening = faultOf(open(connector.backend, { signal: leaving.signal }));
    await server.seen({ rpc: 'initialize' });
    leaving.abort();
    expect(await opening).to.include({ kind: 'aborted' });
    expect(await faultOf(open(connector.backend, { signal: leaving.signal }))).to.include({
      kind: 'aborted',
    });
    expect(server.view.initialises).to.equal(1);
  });

  for (const [what, result] of [
    ['an unknown revision', { protocolVersion: '1999-01-01', capabilities: {} }],
    ['nothing', {}],
  ] as const) {
    it(verifies('BACK-8')(`answers initialize with ${what}`), async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const body = JSON.stringify({ jsonrpc: '2.0', id: 0, result });
      server.next('initialize', { status: 200, headers: JSON_TYPE, body });
      expect(await faultOf(open(connector.backend))).to.include({ kind: 'protocol', executed: 'no' });
    });
  }

  for (const [status, kind] of [
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [429, 'rate_limited'],
  ] as const) {
    it(verifies('B3')(`refuses with ${status}: that caller hears it, once, and nothing ran`), async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      server.next('tools/call', { status, headers: { 'retry-after': '7', 'www-authenticate': CHALLENGE } });
      const fault = await faultOf(callTool(session, 'echo'));
      expect(fault).to.include({ kind, status, executed: 'no', retryAfterMs: 7_000 });
      expect(server.view.requests({ rpc: 'tools/call' })).to.have.length(1);
      expect(await callTool(session, 'echo')).to.equal('{}');
      expect(connector.health.read().state).to.equal('healthy');
    });
  }

  it(verifies('B11')('names in its challenge where more is to be learned: nobody goes there'), async () => {
    await using server = await RecordingBackend.start();
    await using elsewhere = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const session = await open(connector.backend);
    const challenge = `Bearer resource_metadata="${elsewhere.url}", error="invalid_token"`;
    for (const method of ['tools/call', 'initialize']) {
      server.next(method, { status: 401, headers: { 'www-authenticate': challenge } });
    }
    expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'unauthorized' });
    expect(await faultOf(open(connector.backend))).to.include({ kind: 'unauthorized' });
    expect(await callTool(session, 'echo')).to.equal('{}');
    expect(elsewhere.view.requests()).to.deep.equal([]);
  });

  it(verifies('BACK-5')('redirects: nobody follows, and the credential goes nowhere'), async () => {
    await using server = await RecordingBackend.start();
    await using elsewhere = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const session = await open(connector.backend);
    for (const status of [301, 307, 308]) {
      server.next('tools/call', { status, headers: { location: elsewhere.url } });
      expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'protocol', status });
    }
    expect(elsewhere.view.requests()).to.deep.equal([]);
  });

  it(verifies('B5')('fails or resets after it got the call: whether it ran is not known'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const session = await open(connector.backend);
    server.next('tools/call', { status: 503, headers: { 'retry-after': '1' } });
    expect(await faultOf(callTool(session, 'echo'))).to.include({
      kind: 'interrupted',
      executed: 'unknown',
      status: 503,
    });
    server.next('tools/call', { reset: true });
    expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'interrupted', executed: 'unknown' });
    server.next('tools/call', { runThenReset: true });
    expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'interrupted', executed: 'unknown' });
    expect(server.view.executionsOf('echo')).to.equal(1);
    expect(server.view.requests({ rpc: 'tools/call' })).to.have.length(3);
  });

  it(
    verifies('RPC-6')('does not answer: it is told that the call is over, and the caller waits no longer'),
    async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      const id = 8_001;
      expect(await faultOf(callTool(session, 'hang', { id, timeoutMs: 100 }))).to.include({
        kind: 'timeout',
        executed: 'unknown',
      });
      const told = await server.seen({ rpc: 'notifications/cancelled' });
      expect(told.message!.params!['requestId']).to.equal(id);
    },
  );

  it(verifies('RPC-6', 'B7')('sends progress for ever: that extends a call, but only so far'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const session = await open(connector.backend);
    let progress = 0;
    const endless = callTool(session, 'progress', {
      progress: true,
      arguments: { steps: 10_000, ms: 10 },
      timeoutMs: 150,
      maxTimeoutMs: 600,
      onMessage: () => {
        progress += 1;
      },
    });
    expect(await faultOf(endless)).to.include({ kind: 'timeout', executed: 'unknown' });
    expect(progress).to.be.greaterThan(5);
    const patient = { progress: true, arguments: { steps: 20, ms: 15 }, timeoutMs: 150, maxTimeoutMs: 5_000 };
    expect(await callTool(session, 'progress', patient)).to.equal('done');
  });

  it(verifies('RPC-6')('asks a person: the call waits as long as people may take'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const session = await open(connector.backend);
    const asked = callTool(session, 'ask', { timeoutMs: 100, maxTimeoutMs: 400 });
    const started = Date.now();
    expect(await faultOf(asked)).to.include({ kind: 'timeout' });
    expect(Date.now() - started).to.be.greaterThan(300);
  });

  for (const [what, reaction] of Object.entries({
    'garbage instead of JSON': { status: 200, headers: JSON_TYPE, body: '{"jsonrpc":' },
    'JSON that is no JSON-RPC': { status: 200, headers: JSON_TYPE, body: '{"hello":1}' },
    'a web page': { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' },
    'an answer without a type': { status: 200, body: '{}' },
    'the answer to another request': { status: 200, headers: JSON_TYPE, body: answerTo(123_456) },
    'an answer under its id as a string': { status: 200, headers: JSON_TYPE, body: answerTo('"1"') },
    'a notification as its answer': {
      status: 200,
      headers: JSON_TYPE,
      body: '{"jsonrpc":"2.0","method":"x"}',
    },
    'a compressed answer': { status: 200, headers: { ...JSON_TYPE, 'content-encoding': 'gzip' }, body: 'x' },
    '202 instead of an answer': { status: 202 },
    'an event that is no JSON': { status: 200, headers: SSE_TYPE, body: 'data: {"json\n\n' },
    'bytes that are no UTF-8': {
      status: 200,
      headers: JSON_TYPE,
      body: '{"jsonrpc":"2.0","id":1,"result":{}}\u0000',
    },
  })) {
    it(verifies('BACK-8', 'B6')(`answers with ${what}: that call fails, the others do not`), async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      const other = callTool(session, 'slow', { arguments: { ms: 50 } });
      await eventually(() => server.view.executionsOf('slow') === 1);
      server.next('tools/call', reaction);
      expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'protocol', executed: 'unknown' });
      expect(await other).to.equal('slept');
    });
  }

  it(verifies('B10')('compresses, once or a hundred times: nothing is unpacked'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const session = await open(connector.backend);
    for (const encoding of ['gzip', Array(100).fill('br').join(', ')]) {
      server.next('tools/call', {
        status: 200,
        headers: { ...JSON_TYPE, 'content-encoding': encoding },
        body: 'x',
      });
      expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'protocol' });
    }
    expect(server.view.requests({ rpc: 'tools/call' })[0]!.headers['accept-encoding']).to.equal('identity');
  });

  it(
    verifies('RPC-3', 'B6')('answers twice, and answers what nobody asked: the first fitting one counts'),
    async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      const id = 6_001;
      const said = [answerTo(1), answerTo(id, 'first'), answerTo(id, 'second')];
      const body = said.map((data) => `data: ${data}\n\n`).join('');
      server.next('tools/call', { status: 200, headers: SSE_TYPE, body });
      expect(await callTool(session, 'echo', { id })).to.equal('first');
      await eventually(() => connector.health.read().dropped === 2);
    },
  );

  it(
    verifies('BACK-4')(
      'ends the stream without an answer and without a place to go on from: it failed at once',
    ),
    async () => {
      await using server = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      const session = await open(connector.backend);
      const body = 'data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n';
      for (const cut of [false, true]) {
        server.next('tools/call', { status: 200, headers: SSE_TYPE, body, cut });
        expect(await faultOf(callTool(session, 'echo'))).to.include({
          kind: 'interrupted',
          executed: 'unknown',
        });
      }
      expect(server.view.requests({ method: 'GET' })).to.deep.equal([]);
    },
  );

  it(verifies('BACK-4')('promises a resume and forgot the stream: the outcome is unknown'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const session = await open(connector.backend);
    server.next('tools/call', { status: 200, headers: SSE_TYPE, body: 'id: gone-1\nretry: 5\ndata:\n\n' });
    expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'interrupted', executed: 'unknown' });
    expect(server.view.requests({ method: 'GET' })[0]!.headers['last-event-id']).to.equal('gone-1');
  });

  it(verifies('BACK-8', 'B7')('sends a message that is too large, as JSON or as an event'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url, { messageBytes: 10_000 });
    const session = await open(connector.backend);
    const long = 'x'.repeat(20_000);
    server.next('tools/call', { status: 200, headers: JSON_TYPE, body: long, open: true });
    expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'protocol' });
    server.next('tools/call', { status: 200, headers: SSE_TYPE, body: `data: ${long}`, open: true });
    expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'protocol' });
    server.next('tools/call', { status: 500, body: 'x'.repeat(200_000), open: true });
    expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'interrupted', status: 500 });
    expect(await callTool(session, 'echo')).to.equal('{}');
  });

  it(verifies('B7')('sends comments or messages without end: a call has so many bytes'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url, { callBytes: 50_000 });
    const session = await open(connector.backend);
    const notification = 'data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n';
    for (const piece of [': still here\n\n', notification]) {
      const body = piece.repeat(Math.ceil(60_000 / piece.length));
      server.next('tools/call', { status: 200, headers: SSE_TYPE, body, open: true });
      expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'protocol' });
    }
  });

  it(verifies('B7')('stops in the middle of an event: silence there is no patience'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url, { stallMs: 100 });
    const session = await open(connector.backend);
    server.next('tools/call', { status: 200, headers: SSE_TYPE, body: 'data: {"jsonrpc"', open: true });
    expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'interrupted', executed: 'unknown' });
    // Between events it may be silent as long as the call may take.
    expect(await callTool(session, 'slow', { arguments: { ms: 300 } })).to.equal('slept');
  });

  it(
    verifies('BACK-8')('leaves the stream of an answered call open: its connection is cut, and calls go on'),
    async () => {
      await using server = await RecordingBackend.start({ answers: 'sse' });
      const connections = { concurrency: 1, queue: 10 };
      await using connector = connectTo(server.url, { connections });
      const session = await open(connector.backend);
      const id = 6_002;
      server.next('tools/call', {
        status: 200,
        headers: SSE_TYPE,
        body: `data: ${answerTo(id, 'done')}\n\n`,
        open: true,
      });
      expect(await callTool(session, 'echo', { id })).to.equal('done');
      expect(await callTool(session, 'echo')).to.equal('{}');
    },
  );

  it(verifies('BACK-8')('gives a session id that no header can carry'), async () => {
    await using server = await RecordingBackend.start();
    await using connector = connectTo(server.url);
    const headers = { ...JSON_TYPE, 'mcp-session-id': 'two words' };
    server.next('initialize', { status: 200, headers, body: answerTo(0) });
    expect(await faultOf(open(connector.backend))).to.include({ kind: 'protocol' });
  });

  it(
    verifies(
      'BACK-5',
      'RST-2',
    )('is another server by now, under the same name: it is never shown what the first one gave'),
    async () => {
      await using server = await RecordingBackend.start();
      await using other = await RecordingBackend.start();
      await using connector = connectTo(server.url);
      await using elsewhere = connectTo(other.url);
      const { hint } = await open(connector.backend);
      if (hint === undefined) throw new Error('this backend has sessions');
      expect(elsewhere.backend.resume(hint, hear())).to.equal(undefined);
      expect(connector.backend.resume(hint, hear())).to.have.nested.property(
        'hint.sessionId',
        hint.sessionId,
      );
      const { place: _, ...older } = hint;
      expect(connector.backend.resume(older, hear())).to.not.equal(undefined);
      expect(other.view.requests({})).to.deep.equal([]);
    },
  );

  it('accepts a connection and says nothing: neither a call nor the end of the session waits for ever', async () => {
    const mute = createServer((socket) => socket.resume().on('error', () => {}));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as AddressInfo;
    const connector = connectTo(`http://127.0.0.1:${port}/mcp`);
    const initializeResult = '{"protocolVersion":"2025-11-25","capabilities":{}}';
    const hint = { sessionId: 's', protocolVersion: '2025-11-25', initializeResult };
    const session = connector.backend.resume(hint, hear())!;
    const fault = await faultOf(callTool(session, 'echo', { timeoutMs: 100 }));
    expect(fault).to.include({ kind: 'timeout', executed: 'unknown' });
    await session.close({ terminate: true, credential: {} });
    await connector.backend.stop();
    await new Promise((resolve) => mute.close(resolve));
  });
});

const CHALLENGE = 'Bearer resource_metadata="http://169.254.169.254/"';

function answerTo(id: unknown, text = 'hello'): string {
  return `{"jsonrpc":"2.0","id":${id},"result":{"content":[{"type":"text","text":"${text}"}]}}`;
}
