import { once } from 'node:events';
import { createServer, request as forward, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { Bridge, reason, resultText } from '../support/bridge.ts';
import { McpClient } from '../support/mcp-client.ts';
import type { ScriptedTool } from '../support/recording-backend.ts';
import { metric, type Setting, startSetting, until } from '../support/story.ts';

describe('outrigger connect, while the mesh fails around it', function () {
  this.timeout(30_000);

  let setting: Setting;
  let watcher: Watcher;
  let bridge: Bridge;

  before(async () => {
    setting = await startSetting({ store: 'embedded', anonymous: true, limits: { streamAfter: '200ms' } });
  });
  after(() => setting?.[Symbol.asyncDispose]());

  beforeEach(async () => {
    await setting.whole();
    watcher = await Watcher.start(setting.mesh.url);
    bridge = new Bridge(['--url', watcher.url]);
    await bridge.initialize({ elicitation: {} });
  });

  afterEach(async () => {
    await bridge?.[Symbol.asyncDispose]();
    await watcher?.stop();
  });

  const runs = (tag: string) =>
    setting.backend.view.record.executions.filter((each) => (each.arguments as { tag?: string }).tag === tag);
  const owner = async () => {
    const { replicas } = setting.mesh;
    const counts = await Promise.all(replicas.map((each) => metric(each, 'outrigger_sessions')));
    const found = replicas.find((_, at) => (counts[at] ?? 0) > 0);
    if (found === undefined) throw new Error('no replica owns a session');
    return found;
  };

  it(verifies('RST-1', 'RST-11')('the owner replica is killed: the client never notices'), async () => {
    expect(resultText(await bridge.call('count'))).to.equal('1');
    await (await owner()).kill('SIGKILL');
    expect(resultText(await bridge.call('count'))).to.equal('2');
    const reads = await Promise.all(
      ['tools/list', 'prompts/list', 'ping'].map((each) => bridge.request(each)),
    );
    for (const read of reads) expect(read).to.have.property('result');
  });

  it(
    verifies('RST-11')('the owner replica is killed during a call: one answer, and it says so'),
    async () => {
      const id = bridge.beginCall('effect', { ms: 1_500, tag: 'killed' });
      await until('the call runs', () => runs('killed').length === 1);
      await (await owner()).kill('SIGKILL');
      expect(reason(await bridge.answer(id))).to.equal('outcome_unknown');
      expect(resultText(await bridge.call('echo', { after: 1 }))).to.equal('{"after":1}');
      expect(bridge.answers(id)).to.have.length(1);
      expect(runs('killed')).to.have.length(1);
    },
  );

  it(
    verifies(
      'RST-14',
      'HTTP-18',
      'HTTP-19',
    )('the sidecar is killed and started again: the session goes on, and a call that streams has its answer'),
    async () => {
      await bridge.request('tools/list');
      expect(resultText(await bridge.call('count'))).to.equal('1');
      const id = bridge.beginCall('effect', { ms: 2_000, tag: 'through' });
      await until('it streams', () => watcher.streaming('effect'));
      await setting.mesh.sidecar.restart();
      const [answer, next] = await Promise.all([bridge.answer(id), bridge.call('count')]);
      expect(resultText(answer)).to.equal('slept');
      expect(resultText(next)).to.equal('2');
      expect(bridge.answers(id)).to.have.length(1);
      expect(runs('through')).to.have.length(1);
      expect(watcher.sessions.size).to.equal(1);
      await setting.whole();
      await setting.backend.listeners(1);
      setting.backend.script({ tools: [...TOOLS, { name: 'later' }] });
      setting.backend.push({ method: 'notifications/tools/list_changed' });
      await bridge.message(({ method }) => method === 'notifications/tools/list_changed');
    },
  );

  it('the sidecar is away: what is asked meanwhile waits, and is answered when it is back', async () => {
    await using direct = new Bridge(['--url', setting.mesh.url]);
    await direct.initialize();
    expect(resultText(await direct.call('count'))).to.equal('1');
    await setting.mesh.sidecar.kill('SIGKILL');
    const asked = [direct.call('echo', { n: 1 }), direct.request('tools/list'), direct.call('count')];
    await setting.mesh.sidecar.start();
    const [echo, list, count] = await Promise.all(asked);
    expect(resultText(echo ?? {})).to.equal('{"n":1}');
    expect(list).to.have.property('result');
    expect(resultText(count ?? {})).to.equal('2');
  });

  describe('the session is deleted behind its back', () => {
    const remove = async () => {
      const [sessionId = ''] = [...watcher.sessions].slice(-1);
      const stranger = new McpClient({ url: setting.mesh.url }).alias({ sessionId });
      expect((await stranger.end()).status).to.equal(200);
    };

    it(
      verifies('HTTP-11')(
        'another one takes its place, with the client’s own initialize, and knows what was set',
      ),
      async () => {
        expect(resultText(await bridge.call('count'))).to.equal('1');
        await bridge.request('logging/setLevel', { level: 'error' });
        await bridge.request('resources/subscribe', { uri: 'memo://one' });
        await remove();
        expect(resultText(await bridge.call('count'))).to.equal('1');
        await bridge.message(({ method }) => method === 'notifications/tools/list_changed');
        expect(watcher.sessions.size).to.equal(2);
        const hellos = watcher.bodies.filter((body) => body.includes('"initialize"'));
        expect(hellos).to.have.length(2);
        expect(hellos[0]).to.equal(hellos[1]);
        expect(bridge.answers(1), 'its answer is not for the client').to.have.length(1);
        const heard = setting.backend.view;
        const [last] = heard.sessions.slice(-1);
        await until('the backend knows both', () => {
          const told = setting.backend.view.requests({ sessionId: last?.id ?? '' }).map(({ rpc }) => rpc);
          return told.includes('logging/setLevel') && told.includes('resources/subscribe');
        });
      },
    );

    it('a call that ran in it is not run again, and has one answer', async () => {
      const id = bridge.beginCall('effect', { ms: 60_000, tag: 'gone' });
      await until('it streams', () => watcher.streaming('effect'));
      await remove();
      expect(await bridge.answer(id)).to.have.property('error');
      expect(resultText(await bridge.call('echo', { on: true }))).to.equal('{"on":true}');
      expect(bridge.answers(id)).to.have.length(1);
      expect(runs('gone')).to.have.length(1);
    });

    it('many calls at once find out: one new session for all of them', async () => {
      await remove();
      const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => bridge.call('echo', { n })));
      expect(answers.map(resultText)).to.deep.equal(answers.map((_, n) => `{"n":${n}}`));
      expect(watcher.sessions.size).to.equal(2);
    });
  });

  it('the end of its input ends the session too', async () => {
    expect(await bridge.end()).to.deep.equal({ code: 0, signal: null });
    expect(watcher.deletes).to.equal(1);
  });

  it('SIGTERM ends it and the session, whatever it is doing', async () => {
    const id = bridge.beginCall('hang');
    await until('it streams', () => watcher.streaming('hang'));
    bridge.child.kill('SIGTERM');
    expect(await bridge.exited).to.deep.equal({ code: 0, signal: null });
    expect(bridge.answers(id)).to.have.length(1);
    expect(watcher.deletes).to.equal(1);
  });
});

const TOOLS: readonly ScriptedTool[] = [
  { name: 'effect', behaviour: 'slow' },
  { name: 'echo', behaviour: 'echo' },
  { name: 'count', behaviour: 'count' },
  { name: 'hang', behaviour: 'hang' },
];

/** Stands between the bridge and the sidecar and writes down what a stdio client never sees: the sessions. */
class Watcher {
  readonly url: string;
  readonly sessions = new Set<string>();
  readonly bodies: string[] = [];
  deletes = 0;
  readonly #server: Server;
  readonly #streaming: string[] = [];

  static async start(target: string): Promise<Watcher> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Watcher(server, new URL(target));
  }

  private constructor(server: Server, target: URL) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
    server.on('request', (incoming, answer) => {
      const headers = { ...incoming.headers, host: target.host };
      const onward = forward(target, { method: incoming.method, headers, agent: false });
      let body = '';
      incoming.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      incoming.on('end', () => this.bodies.push(body));
      incoming.pipe(onward);
      onward.on('error', () => answer.destroy());
      answer.on('close', () => onward.destroy());
      onward.on('response', (response) => {
        const session = response.headers['mcp-session-id'];
        if (typeof session === 'string') this.sessions.add(session);
        if (incoming.method === 'DELETE' && response.statusCode === 200) this.deletes += 1;
        // Its first event is what it can be resumed from.
        if (response.headers['content-type'] === 'text/event-stream')
          response.once('data', () => this.#streaming.push(body));
        answer.writeHead(response.statusCode ?? 0, response.headers);
        answer.flushHeaders();
        response.on('error', () => answer.destroy());
        response.pipe(answer);
      });
    });
  }

  /** Whether a call of this tool is answered as a stream by now, with something on it. */
  streaming(tool: string): boolean {
    return this.#streaming.some((body) => body.includes(`"name":"${tool}"`));
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
