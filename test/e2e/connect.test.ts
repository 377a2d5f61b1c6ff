import { Client as ClientV2 } from '@modelcontextprotocol/client';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { CreateMessageRequestSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { expect } from 'chai';
import { spawnEverything } from '../clients/backends.ts';
import { resultText as textIn, visitWith } from '../clients/visit.ts';
import { verifies } from '../requirements.ts';
import { Bridge, resultText } from '../support/bridge.ts';
import { OUTRIGGER } from '../support/build.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import type { ReadyProcess } from '../support/spawn-ready.ts';
import { metric, until } from '../support/story.ts';

const BIG = 3 * 1024 * 1024;
const SAMPLE = { role: 'assistant', content: { type: 'text', text: 'four' }, model: 'none' } as const;

describe('outrigger connect', function () {
  this.timeout(30_000);

  let backend: RecordingBackend;
  let everything: ReadyProcess<string>;
  let mesh: Mesh;

  before(async () => {
    backend = await RecordingBackend.start();
    everything = await spawnEverything();
    mesh = await startMesh({
      replicas: 2,
      anonymous: true,
      config: {
        mcpServers: {
          rec: { url: backend.url },
          everything: { url: everything.ready },
        },
      },
    });
  });

  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
    await everything?.stop();
    await backend?.stop();
  });

  const sessions = async () => {
    const counts = await Promise.all(mesh.replicas.map((each) => metric(each, 'outrigger_sessions')));
    return counts.reduce((sum, count) => sum + count, 0);
  };
  const parameters = () => ({
    command: process.execPath,
    args: [OUTRIGGER, 'connect', '--url', mesh.url],
    stderr: 'ignore' as const,
  });

  describe('with the stdio client of the SDK v1', () => {
    let client: ClientV1;
    let transport: StdioV1;

    before(async () => {
      const capabilities = { sampling: {}, elicitation: {}, roots: { listChanged: true } };
      client = new ClientV1({ name: 'stdio-v1', version: '1.0.0' }, { capabilities });
      client.setRequestHandler(CreateMessageRequestSchema, () => SAMPLE);
      client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { name: 'Ada' } }));
      transport = new StdioV1(parameters());
      await client.connect(transport);
    });
    after(() => client?.close());

    it(verifies('HTTP-7', 'AGG-2')('lists the tools of all backends and calls one of each'), async () => {
      const seen = await visitWith(client, {
        url: mesh.url,
        calls: [{ name: 'everything__echo', arguments: { message: 'over pipes' } }],
      });
      expect(seen.texts).to.deep.equal(['Echo: over pipes']);
      expect(seen.tools).to.include.members(['rec__echo', 'everything__echo']);
      const echo = await client.callTool({ name: 'rec__echo', arguments: { n: 1 } });
      expect(textIn(echo)).to.equal('{"n":1}');
    });

    it(verifies('RPC-4')('hears the progress of its call, in order, before the answer'), async () => {
      const seen: number[] = [];
      const result = await client.callTool({ name: 'rec__progress', arguments: { steps: 5 } }, undefined, {
        onprogress: ({ progress }) => seen.push(progress),
      });
      expect(textIn(result)).to.equal('done');
      // The SDK forgets who listens as soon as it reads the answer; the last step that came in the same
      // chunk as the answer is then told to nobody.
      expect(seen).to.deep.equal([1, 2, 3, 4, 5].slice(0, seen.length));
      expect(seen).to.have.length.greaterThan(3);
    });

    it(
      verifies('RPC-7')('is asked for a sample and for a person’s input, and its replies arrive'),
      async () => {
        const params = {
          messages: [{ role: 'user', content: { type: 'text', text: '2+2' } }],
          maxTokens: 5,
          requestedSchema: { type: 'object', properties: { name: { type: 'string' } } },
          message: 'your name?',
        };
        const asked = async (request: string) =>
          textIn(await client.callTool({ name: 'rec__ask', arguments: { request, params } }));
        expect(JSON.parse(await asked('sampling/createMessage'))).to.deep.equal(SAMPLE);
        expect(JSON.parse(await asked('elicitation/create'))).to.deep.equal({
          action: 'accept',
          content: { name: 'Ada' },
        });
      },
    );

    it(verifies('RPC-5')('cancels at the backend, even before the call had time to arrive'), async () => {
      const count = () => backend.view.requests({ rpc: 'notifications/cancelled' }).length;
      const before = count();
      for (const delay of [100, 0]) {
        const stop = new AbortController();
        const call = client.callTool({ name: 'rec__hang', arguments: {} }, undefined, {
          signal: stop.signal,
        });
        setTimeout(() => stop.abort('enough'), delay);
        const error = await call.then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        expect(String(error)).to.contain('enough');
      }
      await until('the cancellations', () => count() === before + 2);
    });

    it(verifies('AGG-10')('hears that a backend’s tools have changed'), async () => {
      await backend.listeners(1);
      const heard = new Promise<void>((resolve) => {
        client.fallbackNotificationHandler = async ({ method }) => {
          if (method === 'notifications/tools/list_changed') resolve();
        };
      });
      backend.script({ tools: [{ name: 'echo' }, { name: 'brand-new' }] });
      backend.push({ method: 'notifications/tools/list_changed' });
      await heard;
      expect((await client.listTools()).tools.map(({ name }) => name)).to.include('rec__brand-new');
    });

    it(verifies('HTTP-11')('is gone without a trace when it closes: no process, no session'), async () => {
      const before = await sessions();
      const deletes = backend.view.requests({ method: 'DELETE' }).length;
      const { pid } = transport;
      await client.close();
      expect(() => process.kill(pid ?? 0, 0)).to.throw('ESRCH');
      await until('the session is gone', async () => (await sessions()) === before - 1);
      await until('its backend hears', () => backend.view.requests({ method: 'DELETE' }).length > deletes);
    });
  });

  for (const mode of ['legacy', 'auto'] as const) {
    it(verifies('HTTP-8')(`serves the stdio client of the SDK v2 (${mode})`), async () => {
      const client = new ClientV2({ name: 'stdio-v2', version: '1.0.0' }, { versionNegotiation: { mode } });
      try {
        await client.connect(new StdioV2(parameters()));
        const seen = await visitWith(client, {
          url: mesh.url,
          calls: [{ name: 'everything__echo', arguments: { message: mode } }],
        });
        expect(seen.texts).to.deep.equal([`Echo: ${mode}`]);
      } finally {
        await client.close();
      }
    });
  }

  describe('byte for byte', () => {
    let bridge: Bridge;

    before(async () => {
      backend.script({ tools: [{ name: 'raw' }, { name: 'echo', behaviour: 'echo' }] });
      bridge = new Bridge(['--url', mesh.url]);
      await bridge.initialize();
    });
    after(() => bridge?.[Symbol.asyncDispose]());

    it(verifies('RPC-1', 'RPC-12')('carries ids, numbers, key order and escapes as they are'), async () => {
      const result =
        '{"x":1.0,"big":9007199254740993,"e":1e-07,"content":[{"type":"text","text":"\\u0041\\/ü"}],"a":{"b":[],"10":1,"2":2}}';
      backend.script({ results: { raw: result } });
      const args = '{"n":1.0,"big":12345678901234567890,"s":"\\u00e9\\/","z":1,"a":2}';
      for (const id of ['0', '""', '"0"', '-7', '"\\u0041"']) {
        bridge.send(
          `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"rec__raw","arguments":${args}}}`,
        );
        await bridge.answer(JSON.parse(id) as string | number);
        expect(bridge.lines.at(-1)).to.equal(`{"jsonrpc":"2.0","id":${id},"result":${result}}`);
      }
      expect(backend.view.requests({ rpc: 'tools/call' }).at(-1)?.body).to.contain(`"arguments":${args}`);
    });

    it(verifies('RPC-12')('puts a pretty-printed answer on one line and changes nothing else'), async () => {
      const result = '{\r\n  "content": [\n    { "type": "text",\n "text": "a\\nb" }\n  ],\n  "n": 1.0\n}';
      backend.script({ results: { raw: result } });
      await bridge.call('rec__raw');
      expect(bridge.lines.at(-1)).to.contain('{ "type": "text",  "text": "a\\nb" }');
      expect(bridge.lines.at(-1)).to.contain('"n": 1.0');
    });

    it('carries messages of megabytes, both ways at once', async () => {
      const text = 'ü'.repeat(BIG / 2);
      const answers = await Promise.all([1, 2, 3].map((n) => bridge.call('rec__echo', { n, text })));
      expect(answers.map((answer) => JSON.parse(resultText(answer)).text.length)).to.deep.equal(
        Array.from({ length: 3 }, () => BIG / 2),
      );
    });

    it('says what the mesh says of a message that is too big, under its id', async () => {
      const answer = await bridge.call('rec__echo', { text: 'x'.repeat(5 * 1024 * 1024) });
      expect(answer.error?.data).to.deep.include({ reason: 'message_too_large' });
    });

    it('ends by itself when its input ends', async () => {
      expect(await bridge.end()).to.deep.equal({ code: 0, signal: null });
    });
  });

  it(
    verifies('HTTP-6')(
      'takes an array of messages where 2025-03-26 was negotiated; each request has its answer',
    ),
    async () => {
      await using bridge = new Bridge(['--url', mesh.url]);
      await bridge.initialize({}, '2025-03-26');
      const call = { jsonrpc: '2.0', id: 'c', method: 'tools/call', params: { name: 'everything__echo' } };
      const params = { ...call.params, arguments: { message: 'one of two' } };
      bridge.send(
        JSON.stringify([
          { jsonrpc: '2.0', id: 'p', method: 'ping' },
          { ...call, params },
        ]),
      );
      expect(await bridge.answer('p')).to.have.property('result');
      expect(resultText(await bridge.answer('c'))).to.equal('Echo: one of two');
      await bridge.end();
    },
  );

  it('answers a whole conversation that is piped into it', async () => {
    await using bridge = new Bridge(['--url', mesh.url]);
    const initialize = {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'pipe', version: '1' },
    };
    bridge.begin('initialize', initialize);
    bridge.send({ method: 'notifications/initialized' });
    bridge.begin('tools/list');
    bridge.beginCall('everything__echo', { message: 'piped' });
    expect(await bridge.end()).to.deep.equal({ code: 0, signal: null });
    expect(bridge.messages.map(({ id }) => id)).to.have.members([1, 2, 3]);
    expect(resultText(bridge.messages.find(({ id }) => id === 3) ?? {})).to.equal('Echo: piped');
  });
});
