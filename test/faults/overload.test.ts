import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { McpClient, reasonOf } from '../support/mcp-client.ts';
import { TestProcess } from '../support/process.ts';
import { metric, type Stage, startStage, until } from '../support/stage.ts';
import { stdioBackendCommand } from '../support/stdio-backend.ts';

/** So few that a flood takes them all. */
const FEW = '-n 96';
const FLOOD = 300;

describe('a program that runs short of something', function () {
  this.timeout(120_000);

  const start = (options: Partial<Parameters<typeof startStage>[0]> = {}): Promise<Stage> =>
    startStage({ backends: { rec: {} }, naming: { mode: 'none' }, ...options });

  it(
    verifies('C10', 'G8')('a sidecar with no file descriptor left serves whom it serves, and then everybody'),
    async () => {
      await using stage = await start();
      const { sidecar, replicas } = stage.mesh;
      await sidecar.kill();
      await using crowded = await startLimited(sidecar, { limits: FEW });
      const client = await stage.open();
      using kept = keptConnection(client);
      expect(await kept.ping()).to.equal(200);
      const flood = await floodOf(portOf(sidecar.url));
      expect(await kept.ping()).to.equal(200);
      await until('it turns the others away', async () => (await metric(sidecar, REFUSED)) > 0);
      await until(
        'it ends those that say nothing',
        async () => (await client.call('echo')).status === 200,
        30_000,
      );
      expect(await kept.ping()).to.equal(200);
      for (const socket of flood) socket.destroy();
      expect(crowded.alive && replicas.every(({ alive }) => alive)).to.equal(true);
    },
  );

  it(
    verifies(
      'C10',
      'G8',
    )('a replica with no file descriptor left lives on, says so, and takes new work again'),
    async () => {
      const { command, args, env, cwd } = stdioBackendCommand();
      await using stage = await start({ more: { kid: { command, args, env, cwd } } });
      const [replica] = stage.mesh.replicas;
      if (replica === undefined) throw new Error('no replica');
      await replica.kill();
      await using crowded = await startLimited(replica, { limits: FEW });
      await until(
        'the sidecar has it',
        async () => (await stage.open().catch(() => undefined)) !== undefined,
      );
      const client = await stage.open();
      const flood = await floodOf(Number(replica.grpc.split(':')[1]));
      const hears = (state: string) => () => saysOverload(crowded, { state, kind: 'descriptors' });
      await until('it begins nothing new', hears('shedding'));
      const refused = await client.call('echo');
      expect([refused.status, reasonOf(refused)]).to.deep.equal([503, 'overloaded']);
      expect(Number(refused.headers['retry-after'])).to.be.within(1, 6);
      for (const socket of flood) socket.destroy();
      await until('it has some again', hears('normal'));
      await until('it serves', async () => (await client.call('echo')).status === 200);
      expect((await stage.open()).sessionId).to.be.a('string');
      expect(await metric(replica, 'outrigger_shed_total')).to.be.at.least(1);
    },
  );

  it(
    verifies('C10')(
      'a replica with a small heap refuses sessions before it dies of them, and keeps those it has',
    ),
    async () => {
      await using stage = await start({
        limits: { anonymousPerSidecar: 10_000, initializePerMinute: 600_000, initializeBurst: 10_000 },
      });
      const [replica] = stage.mesh.replicas;
      if (replica === undefined) throw new Error('no replica');
      await replica.kill();
      await using small = await startLimited(replica, {
        node: ['--max-old-space-size=44', '--max-semi-space-size=1'],
      });
      await until(
        'the sidecar has it',
        async () => (await stage.open().catch(() => undefined)) !== undefined,
      );
      const clients: McpClient[] = [];
      const refused: (string | undefined)[] = [];
      const openSome = async () => {
        while (refused.length < 20 && clients.length < 5_000) {
          const client = new McpClient({
            url: stage.mesh.url,
            capabilities: { experimental: { padding: { text: 'x'.repeat(14_000) } } },
          });
          const reply = await client.initialize();
          if (client.sessionId === undefined) refused.push(`${reply.status} ${reasonOf(reply)}`);
          else clients.push(client);
        }
      };
      await Promise.all(Array.from({ length: 16 }, openSome));

      expect(new Set(refused)).to.deep.equal(new Set(['503 overloaded']));
      expect(small.alive).to.equal(true);
      for (const client of clients.filter((_, at) => at % 100 === 0))
        await until('its session is there', async () => (await client.call('echo')).status === 200);
      expect(small.alive).to.equal(true);
    },
  );

  it(
    verifies('C10')('a replica that has more memory than it may refuses, until it may have more'),
    async () => {
      await using stage = await start();
      const [replica] = stage.mesh.replicas;
      if (replica === undefined) throw new Error('no replica');
      const client = await stage.open();
      const mayHave = (limit: string) =>
        stage.mesh.configure({
          mcpServers: { rec: { url: stage.backend('rec').url } },
          virtualServers: { default: { naming: { mode: 'none' } } },
          overload: { memory: { limit } },
        });
      await mayHave('64MiB');
      const state = (of: string) => () => saysOverload(replica, { state: of, kind: 'memory' });
      await until('it begins nothing new', state('shedding'));
      const refused = await client.call('echo');
      expect([refused.status, reasonOf(refused)]).to.deep.equal([503, 'overloaded']);
      expect((await fetch(`${replica.ops}/readyz`)).status).to.equal(503);
      await mayHave('8GiB');
      await until('it has enough', state('normal'));
      await until('it serves', async () => (await client.call('echo')).status === 200);
      expect((await fetch(`${replica.ops}/readyz`)).status).to.equal(200);
    },
  );

  it(
    verifies('C10')(
      'a replica whose event loop does not keep up begins nothing new, and finishes what it began',
    ),
    async () => {
      await using stage = await start({
        config: { overload: TIMELY },
      });
      const [replica] = stage.mesh.replicas;
      if (replica === undefined) throw new Error('no replica');
      const client = await stage.open();
      const other = await stage.open();
      const held = stage.backend('rec').hold('tools/call');
      const running = client.beginCall('echo', { n: 1 });
      await held.arrived;
      const hears = (state: string) => saysOverload(replica, { state, kind: 'event_loop' });
      await holdUp(replica, () => hears('shedding'));
      const refused = await other.call('echo');
      expect([refused.status, reasonOf(refused)]).to.deep.equal([503, 'overloaded']);
      held.release();
      expect((await running.reply()).status).to.equal(200);
      await until('it keeps up', () => hears('normal'));
      await until('it serves', async () => (await other.call('echo')).status === 200);
      expect(stage.backend('rec').view.executionsOf('echo')).to.equal(2);
    },
  );

  it(
    verifies('C10')(
      'the sidecars of a replica that begins nothing new go to another, and nothing runs twice',
    ),
    async () => {
      await using stage = await start({ replicas: 2, config: { overload: TIMELY } });
      const client = await stage.open();
      const replicas = await Promise.all(
        stage.mesh.replicas.map(async (replica) => ({
          replica,
          sessions: await metric(replica, 'outrigger_sessions'),
        })),
      );
      const [home, other] = replicas.sort((a, b) => b.sessions - a.sessions).map(({ replica }) => replica);
      if (home === undefined || other === undefined) throw new Error('no replicas');
      const held = stage.backend('rec').hold('tools/call');
      const running = client.beginCall('echo', { n: 1 });
      await held.arrived;
      await holdUp(home, () => saysOverload(home, { state: 'shedding', kind: 'event_loop' }));
      held.release();
      expect((await running.reply()).status).to.equal(200);
      await until('the other serves it', async () => (await client.call('echo')).status === 200);
      await until('the other has it', async () => (await metric(other, 'outrigger_sessions')) > 0);
      expect(stage.backend('rec').view.executionsOf('echo')).to.equal(2);
    },
  );

  it(verifies('C10')('a sidecar whose event loop does not keep up refuses by itself'), async () => {
    await using stage = await start({ sidecarConfig: { overload: TIMELY } });
    const { sidecar } = stage.mesh;
    const client = await stage.open();
    await holdUp(sidecar, () => saysOverload(sidecar, { state: 'shedding', kind: 'event_loop' }));
    const refused = await client.call('echo');
    expect([refused.status, reasonOf(refused)]).to.deep.equal([503, 'overloaded']);
    expect((await fetch(`${sidecar.ops}/readyz`)).status, 'its agent stays in service').to.equal(200);
    expect(await metric(sidecar, 'outrigger_sidecar_shed_total')).to.be.at.least(1);
    await until('it serves', async () => (await client.call('echo')).status === 200);
  });

  it(
    verifies('C10')(
      'a replica whose disk is full refuses what it cannot keep, says so, and goes on when there is room',
    ),
    async () => {
      await using stage = await start({
        limits: { anonymousPerSidecar: 10_000, initializePerMinute: 600_000, initializeBurst: 10_000 },
        config: { audit: { file: '/dev/full' } },
      });
      const [replica] = stage.mesh.replicas;
      if (replica === undefined) throw new Error('no replica');
      await replica.kill();
      // A file that may not grow fails as a full disk does, and may be let grow again.
      await using full = await startLimited(replica, { limits: '-S -f 512' });
      await until(
        'the sidecar has it',
        async () => (await stage.open().catch(() => undefined)) !== undefined,
      );
      const before = await stage.open();
      let refused: string | undefined;
      const openSome = async () => {
        for (let n = 0; refused === undefined && n < 500; n += 1) {
          const padding = { padding: { text: 'x'.repeat(14_000) } };
          const client = new McpClient({ url: stage.mesh.url, capabilities: { experimental: padding } });
          const reply = await client.initialize();
          if (client.sessionId === undefined) refused = `${reply.status} ${reasonOf(reply)}`;
        }
      };
      await Promise.all(Array.from({ length: 8 }, openSome));
      expect(refused).to.equal('503 store_unavailable');
      await until('it alarms', async () => full.log().some((line) => line.includes('"event":"store_full"')));
      execFileSync('prlimit', ['--pid', String(full.pid), '--fsize=unlimited']);
      await until('it goes on', async () => (await stage.open().catch(() => undefined)) !== undefined);
      expect((await before.call('echo')).status).to.equal(200);
      expect(await metric(replica, 'outrigger_audit_lost_total')).to.be.at.least(1);
      expect(full.alive).to.equal(true);
    },
  );
});

/** What a loop that is stopped again and again does not keep. */
const TIMELY = { eventLoop: { shrink: '100ms', shed: '200ms' } };
const REFUSED = 'outrigger_sidecar_connections_refused_total';

/** In the place of one that was killed, with less: file descriptors, or memory. */
async function startLimited(
  program: TestProcess,
  { limits, node = [] }: { readonly limits?: string; readonly node?: readonly string[] },
): Promise<TestProcess & AsyncDisposable> {
  const limited = new TestProcess({
    ...program.spec,
    args: [...node, ...program.spec.args],
    ...(limits === undefined ? {} : { limits }),
  });
  await limited.start();
  return Object.assign(limited, { [Symbol.asyncDispose]: () => limited.kill() });
}

/** The client's one connection, which it keeps. */
function keptConnection(client: McpClient): Disposable & { ping(): Promise<number> } {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    async ping() {
      const own = { ...client.headers(), 'content-type': 'application/json' };
      const asking = request(client.url, { method: 'POST', agent, headers: own });
      asking.end(JSON.stringify({ jsonrpc: '2.0', id: randomUUID(), method: 'ping' }));
      const [response] = (await once(asking, 'response')) as [IncomingMessage];
      for await (const _ of response);
      return response.statusCode ?? 0;
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

/** Lets the program run for moments only, until it shows. */
async function holdUp(program: TestProcess, shows: () => boolean): Promise<void> {
  for (const giveUpAt = performance.now() + 30_000; !shows() && performance.now() < giveUpAt; ) {
    await program.kill('SIGSTOP');
    await sleep(400);
    await program.kill('SIGCONT');
    await sleep(20);
  }
}

/** Connections that say nothing; many of them are turned away. */
async function floodOf(port: number): Promise<Socket[]> {
  const sockets = Array.from({ length: FLOOD }, () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    return socket;
  });
  await Promise.all(sockets.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
  return sockets;
}

function saysOverload(program: TestProcess, { state, kind }: { state: string; kind: string }): boolean {
  const said = program.log().filter((line) => line.includes('"event":"overload"'));
  return said.at(-1)?.includes(`"state":"${state}","kind":"${kind}"`) === true;
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}
