import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { Backend, BackendSession } from '../../control-plane/backend/backend.ts';
import { BackendRegistry, type BackendRegistryOptions } from '../../control-plane/backend/registry.ts';
import type { StdioBackendSettings } from '../../control-plane/settings.ts';
import { request } from '../../shared/json-rpc/envelope.ts';
import { createLogger, silentLogger } from '../../shared/log.ts';
import { verifies } from '../requirements.ts';
import { ALICE, callTool, eventually, faultOf, hear, open, rawCall } from '../support/backend-calls.ts';
import { spawnReady } from '../support/spawn-ready.ts';
import { stdioBackendCommand } from '../support/stdio-backend.ts';

describe('a stdio backend', () => {
  it(verifies('BACK-9')('is one process a session, and the process ends with the session'), async () => {
    await using children = start();
    const [first, second] = await Promise.all([open(children.backend), open(children.backend)]);
    const pids = await Promise.all([first, second].map(async (each) => Number(await callTool(each, 'pid'))));
    expect(pids[0]).to.not.equal(pids[1]);
    expect(first.hint).to.equal(undefined);
    expect(first.fingerprint).to.not.equal(second.fingerprint);
    await first.close({ terminate: true, credential: {} });
    expect(isRunning(pids[0]!)).to.equal(false);
    expect(await callTool(second, 'pid')).to.equal(String(pids[1]));
    await children.registry.stop();
    expect(isRunning(pids[1]!)).to.equal(false);
    expect(readdirSync(join(children.folder, 'children'))).to.deep.equal([]);
  });

  it(verifies('RPC-12')('is heard to the byte, and sent messages of several lines on one'), async () => {
    await using children = start();
    const session = await open(children.backend);
    const result = '{ "content":[], "z":1.0,"a":12345678901234567890123, "s":"\\u00e9\\/" }';
    const { bytes, scanned } = await rawCall(session, 'raw', { arguments: { result } });
    expect(bytes.toString('utf8', scanned.result!.start, scanned.result!.end)).to.equal(result);
    const id = 4_001;
    const text = `{"jsonrpc":"2.0",\r\n"id":${id},\n"method":"tools/call","params":\n{"name":"echo","arguments":{"a":1}}}`;
    const pretty = { id, pieces: [Buffer.from(text)], method: 'tools/call', credential: {} };
    const answer = await session.call({ ...pretty, timeoutMs: 5_000, maxTimeoutMs: 5_000, onMessage() {} });
    expect(JSON.parse(answer.bytes.toString()).result.content[0].text).to.equal('{"a":1}');
  });

  it(
    verifies('RPC-4')('gives progress to the call it belongs to, and everything else to the session'),
    async () => {
      await using children = start();
      const events = hear();
      const session = await open(children.backend, { events });
      const said: string[] = [];
      const onMessage = ({ scanned }: { scanned: { method: string | undefined } }) =>
        void said.push(scanned.method!);
      expect(await callTool(session, 'progress', { progress: true, onMessage })).to.equal('done');
      expect(said).to.deep.equal(['notifications/progress']);
      const asking = callTool(session, 'ask');
      await eventually(() => events.messages.length === 2);
      expect(events.messages.map(({ scanned }) => scanned.method)).to.deep.equal([
        'notifications/tools/list_changed',
        'elicitation/create',
      ]);
      await session.respond([Buffer.from('{"jsonrpc":"2.0","id":"ask-1","result":{"action":"cancel"}}')], {});
      expect(await asking).to.equal('{"action":"cancel"}');
    },
  );

  it(
    verifies('BACK-9')('may be one process for all sessions, and confuses neither ids nor progress'),
    async () => {
      await using children = start({ shared: true });
      const heard = [hear(), hear()];
      const sessions = await Promise.all(heard.map((events) => open(children.backend, { events })));
      const pids = await Promise.all(sessions.map((each) => callTool(each, 'pid')));
      expect(new Set(pids).size).to.equal(1);
      // The same id in both sessions, at once.
      const answers = await Promise.all(
        sessions.map((each, i) => rawCall(each, 'slow', { id: 5_001, arguments: { ms: 20 * (2 - i) } })),
      );
      for (const { bytes } of answers) expect(JSON.parse(bytes.toString()).id).to.equal(5_001);
      const tokens: unknown[] = [];
      await callTool(sessions[1]!, 'progress', {
        id: 5_002,
        progress: true,
        onMessage: ({ bytes }) => void tokens.push(JSON.parse(bytes.toString()).params.progressToken),
      });
      expect(tokens).to.deep.equal([5_002]);
      for (const { messages } of heard) expect(messages).to.have.length(1);
      // Nobody could tell whose client it asks.
      expect(await callTool(sessions[0]!, 'ask')).to.contain('-32601');
      await sessions[0]!.close({ terminate: true, credential: {} });
      expect(await callTool(sessions[1]!, 'pid')).to.equal(pids[0]);
    },
  );

  it(
    verifies(
      'AGG-11',
      'BACK-9',
    )(
      'hears of a subscription that sessions share once it ends for the last of them, and a session ends its own',
    ),
    async () => {
      await using children = start({ shared: true });
      const [one, other] = [await open(children.backend), await open(children.backend)];
      let id = 6_000;
      const say = async (session: BackendSession, method: string, uri: string) => {
        id += 1;
        const params = [Buffer.from(JSON.stringify({ uri }))];
        const pieces = request({ id: Buffer.from(String(id)), method, params });
        const limits = { timeoutMs: 5_000, maxTimeoutMs: 5_000 };
        const answer = await session.call({ id, pieces, method, credential: {}, onMessage() {}, ...limits });
        expect(JSON.parse(answer.bytes.toString())).to.deep.equal({ jsonrpc: '2.0', id, result: {} });
      };
      await say(one, 'resources/subscribe', 'memo://a');
      for (const uri of ['memo://a', 'memo://b']) await say(other, 'resources/subscribe', uri);
      await say(one, 'resources/unsubscribe', 'memo://a');
      expect(await callTool(one, 'subscriptions')).to.equal('memo://a,memo://a,memo://b');
      await say(one, 'resources/subscribe', 'memo://c');
      await other.close({ terminate: false });
      expect(await callTool(one, 'subscriptions')).to.equal('memo://a,memo://c');
    },
  );

  it(
    verifies('BACK-9')('that ends is told of once, with its calls, and started again for the next session'),
    async () => {
      await using children = start();
      const events = hear();
      const session = await open(children.backend, { events });
      const hanging = faultOf(callTool(session, 'slow', { arguments: { ms: 60_000 } }));
      expect(await faultOf(callTool(session, 'crash'))).to.include({
        kind: 'session_lost',
        executed: 'unknown',
      });
      expect(await hanging).to.include({ kind: 'session_lost', executed: 'unknown' });
      expect(events.faults.map(({ kind }) => kind)).to.deep.equal(['session_lost']);
      expect(await faultOf(callTool(session, 'echo'))).to.include({ kind: 'session_lost', executed: 'no' });
      expect(await callTool(await open(children.backend), 'echo')).to.equal('{}');
    },
  );

  it(verifies('BACK-9')('that keeps ending is not started again at once'), async () => {
    await using children = start({}, '--die');
    for (let i = 0; i < 3; i += 1) {
      expect(await faultOf(open(children.backend))).to.include({ kind: 'unreachable', executed: 'no' });
    }
    const { kind, retryAfterMs } = await faultOf(open(children.backend));
    expect(kind).to.equal('unreachable');
    expect(retryAfterMs).to.be.greaterThan(0);
  });

  it(verifies('BACK-9')('that does not exist is unreachable'), async () => {
    await using children = start({ command: '/nowhere/at-all' });
    expect(await faultOf(open(children.backend))).to.include({ kind: 'unreachable', executed: 'no' });
  });

  it(verifies('BACK-9')('is refused when the replica has as many children as it may'), async () => {
    await using children = start({}, '--no-such-flag');
    const opened = await Promise.all([open(children.backend), open(children.backend)]);
    expect(await faultOf(open(children.backend))).to.include({ kind: 'busy', executed: 'no' });
    await opened[0]!.close({ terminate: false });
    expect(await callTool(await open(children.backend), 'echo')).to.equal('{}');
  });

  it(
    verifies('BACK-9')('ends with all it started, even when it ignores the end of its input and SIGTERM'),
    async () => {
      await using children = start({}, '--deaf');
      const session = await open(children.backend);
      const pids = [Number(await callTool(session, 'pid')), Number(await callTool(session, 'spawn'))];
      await session.close({ terminate: false });
      await eventually(() => !pids.some(isRunning));
    },
  );

  it(verifies('BACK-9')('says on standard error what the log then holds'), async () => {
    const lines: string[] = [];
    const log = createLogger({ format: 'json', destination: { write: (line) => void lines.push(line) } });
    await using children = start({}, '', { log });
    const session = await open(children.backend);
    expect(await callTool(session, 'garbage')).to.equal('after the garbage');
    await eventually(() => lines.some((line) => line.includes('"detail":"a warning"')));
    expect(children.registry.health('kid')!.dropped).to.equal(2);
  });

  it(verifies('BACK-8')('that answers too much fails that call alone'), async () => {
    await using children = start();
    const session = await open(children.backend);
    const fault = await faultOf(callTool(session, 'flood', { arguments: { bytes: 100_000 } }));
    expect(fault).to.include({ kind: 'protocol' });
    expect(await callTool(session, 'echo')).to.equal('{}');
  });

  it(verifies('RPC-6')('that does not answer in time is told that the call is over'), async () => {
    await using children = start();
    const session = await open(children.backend);
    const call = callTool(session, 'slow', { arguments: { ms: 300 }, timeoutMs: 50 });
    expect(await faultOf(call)).to.include({ kind: 'timeout', executed: 'unknown' });
    // Its late answer belongs to nobody.
    await eventually(() => children.registry.health('kid')!.dropped === 1);
  });

  it('leaves nobody waiting when the session closes', async () => {
    await using children = start();
    const session = await open(children.backend);
    const waiting = faultOf(callTool(session, 'slow', { arguments: { ms: 60_000 } }));
    const { signal } = new AbortController();
    const listening = session.listen({ credential: ALICE, signal, onGap() {}, onState() {} });
    await session.close({ terminate: false });
    expect(await waiting).to.include({ kind: 'aborted' });
    expect(await listening).to.equal('closed');
    expect(await faultOf(session.notify([], {}))).to.be.an('error');
  });

  it(
    verifies('BACK-9')('is ended by the next start when its replica was killed, and nobody else is'),
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'outrigger-sweep-'));
      try {
        const program = fileURLToPath(new URL('../support/stdio-replica.ts', import.meta.url));
        const ready = (line: string) => (/^\d+$/.test(line) ? Number(line) : undefined);
        const replica = await spawnReady({ args: ['--import', 'tsx', program, folder], ready });
        const bystander = await spawnReady({
          args: ['-e', 'console.log(1); setInterval(() => {}, 1e3)'],
          ready,
        });
        // A note with the pid of somebody who started later.
        const stale = {
          child: { pid: bystander.pid, started: 'x 1' },
          owner: { pid: 1_999_999, started: 'x 1' },
        };
        mkdirSync(join(folder, 'children'), { recursive: true });
        writeFileSync(join(folder, 'children', '1.json'), JSON.stringify(stale));
        await using neighbour = start({}, '', { stateFolder: folder });
        await neighbour.registry.swept;
        expect(isRunning(replica.ready), 'the child of a living replica').to.equal(true);
        process.kill(replica.pid, 'SIGKILL');
        await eventually(() => !isRunning(replica.pid));
        await using next = start({}, '', { stateFolder: folder });
        await next.registry.swept;
        await eventually(() => !isRunning(replica.ready));
        expect(isRunning(bystander.pid), 'somebody else').to.equal(true);
        await Promise.all([bystander.stop(), replica.stop()]);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});

/** A registry with one stdio backend, in a state folder of its own unless one is given. */
function start(
  change: Partial<StdioBackendSettings> = {},
  flag = '',
  options: Partial<BackendRegistryOptions> = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-children-'));
  const settings: StdioBackendSettings = {
    kind: 'stdio',
    name: 'kid',
    ...stdioBackendCommand(...(flag === '' ? [] : [flag])),
    shared: false,
    credential: { strategy: 'none' },
    timeouts: { initializeMs: 5_000, requestMs: 5_000, humanPacedMs: 5_000 },
    limits: { concurrency: 64, queue: 64 },
    handshakes: { atOnce: 32, perSecond: 200 },
    replaySafe: new Set(),
    onStateLoss: 'continue',
    ...change,
  };
  const registry = new BackendRegistry({
    backends: [settings],
    messageBytes: 64 * 1024,
    stdioChildren: 2,
    tokenGraceMs: 30_000,
    stateFolder: folder,
    log: silentLogger,
    ...options,
  });
  return {
    registry,
    folder,
    backend: registry.get('kid') as Backend,
    async [Symbol.asyncDispose]() {
      await registry.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
