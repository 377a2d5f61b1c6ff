import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { Bridge, reason, resultText } from '../support/bridge.ts';
import { ensureBuilt } from '../support/build.ts';
import { freePorts } from '../support/ports.ts';
import { type JsonRpc, RecordingBackend } from '../support/recording-backend.ts';
import { until } from '../support/story.ts';

/** The bridge in front of an endpoint that does what a test wants, status by status. */
describe('outrigger connect, and what an endpoint may answer', function () {
  this.timeout(20_000);

  let backend: RecordingBackend;
  let bridge: Bridge;

  before(ensureBuilt);

  beforeEach(async () => {
    backend = await RecordingBackend.start();
    bridge = new Bridge(['--url', backend.url]);
  });

  afterEach(async () => {
    await bridge[Symbol.asyncDispose]();
    await backend.stop();
  });

  const sent = (rpc: string) => backend.view.requests({ rpc }).length;

  it('says the session and the negotiated version with every request after initialize', async () => {
    await bridge.initialize({}, '2025-06-18');
    await bridge.call('echo');
    await backend.listeners(1);
    const [hello, ...rest] = backend.view.requests({});
    expect(hello?.headers).to.not.have.property('mcp-session-id');
    expect(hello?.headers).to.not.have.property('mcp-protocol-version');
    expect(rest).to.have.length.above(2);
    for (const { headers } of rest) {
      expect(headers).to.include({ 'mcp-session-id': backend.view.sessions[0]?.id });
      expect(headers).to.include({ 'mcp-protocol-version': '2025-11-25' });
    }
  });

  it('a sidecar that starts after the agent: initialize waits for it', async () => {
    const [port = 0] = await freePorts(1);
    await using early = new Bridge(['--url', `http://127.0.0.1:${port}/mcp`]);
    const answer = early.initialize();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const late = await RecordingBackend.start({}, port);
    expect(await answer).to.have.nested.property('result.serverInfo.name', 'recording');
    expect(resultText(await early.call('echo', { a: 1 }))).to.equal('{"a":1}');
    await early.end();
    await late.stop();
  });

  it('a client that leaves before there is a sidecar is told, and leaves nothing behind', async () => {
    const [port = 0] = await freePorts(1);
    await using alone = new Bridge(['--url', `http://127.0.0.1:${port}/mcp`]);
    const ids = [alone.begin('initialize'), alone.begin('ping')];
    expect(await alone.end()).to.deep.equal({ code: 0, signal: null });
    expect(ids.map((id) => alone.answers(id).map(reason))).to.deep.equal([['cancelled'], ['cancelled']]);
  });

  it('503 and 429: asked again when Retry-After says so, and the client sees one answer', async () => {
    await bridge.initialize();
    for (const status of [503, 429]) {
      backend.next('tools/call', { status, headers: { 'retry-after': '0' } });
      const before = sent('tools/call');
      expect(resultText(await bridge.call('echo', { status }))).to.equal(`{"status":${status}}`);
      expect(sent('tools/call')).to.equal(before + 2);
    }
    backend.next('tools/call', { status: 503, headers: { 'retry-after': '3600' } });
    expect(reason(await bridge.call('echo'))).to.equal('unavailable');
  });

  it('a refusal with a JSON-RPC error in it: the error, verbatim, under the id of the request', async () => {
    await bridge.initialize();
    const error = '{"code":-32000,"message":"no","data":{"reason":"insufficient_scope","n":1.0}}';
    backend.next('tools/call', { status: 403, body: `{"jsonrpc":"2.0","id":null,"error":${error}}` });
    const id = bridge.beginCall('echo');
    await bridge.answer(id);
    expect(bridge.lines.at(-1)).to.equal(`{"jsonrpc":"2.0","id":${id},"error":${error}}`);
    backend.next('tools/call', { status: 500, body: 'a stack' });
    expect((await bridge.call('echo')).error?.message)
      .to.contain('500')
      .and.not.contain('stack');
    backend.next('tools/call', {
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: '{"no":1}',
    });
    expect(reason(await bridge.call('echo'))).to.equal('outcome_unknown');
  });

  describe('tokens', () => {
    it('401: an error that says what to do, and never the token', async () => {
      backend.script({ refuse: { '': 401, 'Bearer a-secret-token': 401 } });
      const without = await bridge.initialize();
      expect(reason(without)).to.equal('unauthenticated');
      expect(without.error?.message).to.contain('--token-file').and.contain('OUTRIGGER_TOKEN');
      await using refused = new Bridge(['--url', backend.url], { OUTRIGGER_TOKEN: 'a-secret-token' });
      const answer = await refused.initialize();
      expect(answer.error?.message).to.contain('refused the token');
      await refused.end();
      expect(refused.stderr + refused.lines.join()).not.to.contain('secret');
    });

    it('a token file that is renewed is read again, before the client hears of it', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'outrigger-connect-'));
      const file = join(folder, 'token');
      await writeFile(file, 'the-first-token\n');
      await using bridge = new Bridge(['--url', backend.url, '--token-file', file]);
      await bridge.initialize();
      backend.script({ refuse: { 'Bearer the-first-token': 401 } });
      await writeFile(file, 'the-second-token\n');
      expect(resultText(await bridge.call('echo', {}))).to.equal('{}');
      await rm(file);
      const before = sent('tools/call');
      expect((await bridge.call('echo')).error?.message).to.contain('cannot be read');
      expect(sent('tools/call'), 'nothing goes without it').to.equal(before);
      await rm(folder, { recursive: true });
    });
  });

  describe('connections that break', () => {
    beforeEach(() => bridge.initialize());

    it('a call that was sent and not answered is not sent again', async () => {
      backend.next('tools/call', { runThenReset: true });
      expect(reason(await bridge.call('count'))).to.equal('outcome_unknown');
      expect(backend.view.executionsOf('count')).to.equal(1);
    });

    it('a list is', async () => {
      backend.next('tools/list', { reset: true });
      const list = await bridge.request('tools/list');
      expect(list).to.have.property('result');
      expect(sent('tools/list')).to.equal(2);
    });

    it('an answer cut off in its middle is none', async () => {
      const cut = { status: 200, headers: { 'content-type': 'application/json' }, body: '{"jso', cut: true };
      backend.next('tools/call', cut);
      expect(reason(await bridge.call('count'))).to.equal('outcome_unknown');
      backend.next('tools/list', cut);
      expect(await bridge.request('tools/list')).to.have.property('result');
    });

    it('a stream that ends is resumed after its last event, when it asked for it', async () => {
      expect(resultText(await bridge.call('poll', { ms: 120 }))).to.equal('polled');
      backend.script({ answers: 'sse' });
      const id = bridge.beginCall('slow', { ms: 600 });
      await until('it was sent', () => sent('tools/call') === 2);
      backend.cutStreams();
      expect(resultText(await bridge.answer(id))).to.equal('slept');
      expect(bridge.answers(id)).to.have.length(1);
    });

    it('a stream without ids cannot be: its call’s outcome is unknown', async () => {
      backend.script({ answers: 'sse', eventIds: false });
      const id = bridge.beginCall('slow', { ms: 10_000 });
      await until('it was sent', () => sent('tools/call') === 1);
      backend.cutStreams();
      expect(reason(await bridge.answer(id))).to.equal('outcome_unknown');
    });

    it('the session is lost during a call: unknown; the next call opens another session', async () => {
      backend.script({ answers: 'sse' });
      const id = bridge.beginCall('slow', { ms: 10_000 });
      await until('it was sent', () => sent('tools/call') === 1);
      backend.loseSessions();
      expect(reason(await bridge.answer(id))).to.equal('outcome_unknown');
      expect(resultText(await bridge.call('count'))).to.equal('1');
      expect(sent('initialize')).to.equal(2);
      expect(backend.view.executionsOf('slow')).to.equal(1);
    });
  });

  it(
    verifies('RPC-2')(
      'input that is no message gets the error of JSON-RPC; a duplicate id too, and the first its answer',
    ),
    async () => {
      await bridge.initialize();
      bridge.send('{"jsonrpc":');
      bridge.send('{"jsonrpc":"2.0","id":"a","method":"tools/list","Method":"x"}');
      bridge.send('[]');
      await until('three errors', () => bridge.messages.filter(({ error }) => error).length === 3);
      expect(bridge.messages.slice(1).map(({ id, error }) => [id, error?.code])).to.deep.equal([
        [null, -32700],
        ['a', -32600],
        [null, -32600],
      ]);
      const id = bridge.beginCall('slow', { ms: 300 });
      bridge.send({ id, method: 'tools/list' });
      await until('both', () => bridge.answers(id).length === 2);
      expect(bridge.answers(id).map(({ error }) => error?.code)).to.deep.equal([-32600, undefined]);
    },
  );

  it(
    verifies(
      'RPC-3',
      'RPC-11',
    )('what a server must not send is not passed on: strange answers, garbage, a second answer'),
    async () => {
      await bridge.initialize();
      const event = (data: string) => `data: ${data}\n\n`;
      const body = [
        '{"jsonrpc":"2.0","id":777,"result":{}}',
        'garbage',
        '{"jsonrpc":"2.0","method":"notifications/vendor","params":{"n":1.0}}',
        '{"jsonrpc":"2.0","id":2,"result":{"first":true}}',
        '{"jsonrpc":"2.0","id":2,"result":{"second":true}}',
      ];
      const headers = { 'content-type': 'text/event-stream' };
      backend.next('tools/call', { status: 200, headers, body: body.map(event).join('') });
      const answer = await bridge.call('echo');
      expect(answer.result).to.deep.equal({ first: true });
      await bridge.request('ping');
      expect(bridge.lines.slice(1, 3)).to.deep.equal([body[2], body[3]]);
      expect(bridge.lines).to.have.length(4);
    },
  );

  it(verifies('RPC-5')('a cancelled request gets no answer, and what it waited for is let go'), async () => {
    await bridge.initialize();
    const id = bridge.beginCall('hang');
    bridge.send({ method: 'notifications/cancelled', params: { requestId: id, reason: 'enough' } });
    await until('the backend heard', () => sent('notifications/cancelled') === 1);
    const [call, cancel] = [
      backend.view.requests({ rpc: 'tools/call' }),
      backend.view.requests({ rpc: 'notifications/cancelled' }),
    ];
    expect(call[0]?.order).to.be.below(cancel[0]?.order ?? 0);
    expect(await bridge.end()).to.deep.equal({ code: 0, signal: null });
    expect(bridge.answers(id)).to.deep.equal([]);
  });

  it(verifies('RPC-15')('a client that does not read holds the server back, and loses nothing'), async () => {
    const flood = await Flood.start();
    await using slow = new Bridge(['--url', flood.url]);
    await slow.initialize();
    slow.child.stdout.pause();
    const id = slow.beginCall('flood');
    await until('the server is held back', () => flood.heldForMs > 500);
    expect(flood.written).to.be.below(Flood.TOTAL / 2);
    slow.child.stdout.resume();
    await slow.answer(id);
    const numbers = slow.messages
      .filter(({ method }) => method === 'notifications/message')
      .map(({ params }) => params?.['n']);
    expect(numbers).to.deep.equal(numbers.map((_, n) => n));
    expect(numbers).to.have.length(Flood.EVENTS);
    await slow.end();
    await flood.stop();
  });

  it('ends with its client: when nobody reads any more, there is nobody to serve', async () => {
    await bridge.initialize();
    bridge.child.stdout.destroy();
    bridge.begin('tools/list');
    expect((await bridge.exited).code).to.equal(0);
    expect(backend.view.requests({ method: 'DELETE' })).to.have.length(1);
  });
});

/** An endpoint whose one call says more than anybody reads at once. */
class Flood {
  static readonly EVENTS = 512;
  static readonly TOTAL = Flood.EVENTS * 64 * 1024;
  readonly url: string;
  written = 0;
  #heldSince: number | undefined;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  static async start(): Promise<Flood> {
    const flood = new Flood();
    flood.#server.listen(0, '127.0.0.1');
    await once(flood.#server, 'listening');
    return Object.assign(flood, {
      url: `http://127.0.0.1:${(flood.#server.address() as AddressInfo).port}/mcp`,
    });
  }

  private constructor() {
    this.url = '';
  }

  /** How long it has been waiting for its reader. */
  get heldForMs(): number {
    return this.#heldSince === undefined ? 0 : performance.now() - this.#heldSince;
  }

  stop(): Promise<unknown> {
    this.#server.close();
    this.#server.closeAllConnections();
    return once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { id, method } = (body === '' ? {} : JSON.parse(body)) as JsonRpc;
    if (id === undefined) {
      response.writeHead(request.method === 'GET' ? 405 : 202).end();
    } else if (method !== 'tools/call') {
      const result = { protocolVersion: '2025-11-25', capabilities: {} };
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ jsonrpc: '2.0', id, result }));
    } else {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (let n = 0; n < Flood.EVENTS; n += 1)
        await this.#event(response, {
          method: 'notifications/message',
          params: { n, level: 'info', data: 'x'.repeat(64 * 1024) },
        });
      await this.#event(response, { id, result: {} });
      response.end();
    }
  }

  async #event(response: ServerResponse, message: JsonRpc): Promise<void> {
    const text = `data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`;
    this.written += text.length;
    if (response.write(text)) return;
    this.#heldSince = performance.now();
    await once(response, 'drain');
    this.#heldSince = undefined;
  }
}
