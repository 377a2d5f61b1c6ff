import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Agent, get, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { SIDECAR_NODE_FLAGS } from '../../../shared/sidecar-node-flags.ts';
import { OUTRIGGER } from '../../support/build.ts';
import { startMesh } from '../../support/mesh.ts';
import { freePorts } from '../../support/ports.ts';
import { TestProcess } from '../../support/process.ts';
import { readUrlLine, spawnReady } from '../../support/spawn-ready.ts';
import { rssBytes } from '../process-use.ts';
import { compilePrograms } from '../programs.ts';
import { median } from '../statistics.ts';
import { type Measurement, type Point, sized } from './curve.ts';
import { ROOMY } from './merged-mesh.ts';
import { Opened } from './opened.ts';
import { callTool, connections, inTurn, openSessions } from './traffic.ts';

const MIB = 2 ** 20;
const STARTS = 9;
const RATE = 1_000;
const RATE_SECONDS = 15;
const STREAMS = 100;
const REST_MS = 3_000;
const POLL_MS = 2;
const READY_WITHIN_MS = 20_000;

/** From the start of the process until a replica serves it. */
export const READY_MS = 'ready ms';
/** The same for a program that is nothing but an HTTP server: what Node itself takes here. */
export const EMPTY_MS = 'empty program ms';
export const PRIVATE_MIB = 'private MiB';
export const STREAMS_MIB = 'MiB with 100 streams';
const EMPTY = `require('node:http').createServer((_, answer) => answer.end()).listen(Number(process.argv[1]), '127.0.0.1')`;

/** What a sidecar takes to start, and holds while it does nothing, while it carries a thousand calls a second, and with a hundred streams open. */
export const SIDECAR_SIZE: Measurement = {
  name: 'a sidecar by calls a second',
  async measure(options) {
    await using stage = new Opened();
    const { backend: program } = await compilePrograms();
    const backend = stage.use(await spawnReady({ args: [program, '70', 'listening'], ready: readUrlLine }));
    const mesh = stage.use(
      await startMesh({
        config: { mcpServers: { bench: { type: 'http', url: backend.ready } }, limits: ROOMY },
        anonymous: true,
      }),
    );
    const { pid } = mesh.sidecar;
    const [replica] = mesh.replicas;
    if (replica === undefined) throw new Error('there is no replica');
    const starts = await startTimes(replica.grpc);
    await sleep(REST_MS);
    const idle: Point = {
      at: 0,
      values: {
        [READY_MS]: median(starts.map(({ sidecar }) => sidecar)),
        [EMPTY_MS]: median(starts.map(({ empty }) => empty)),
        MiB: (await rssBytes(pid)) / MIB,
        [PRIVATE_MIB]: (await privateBytes(pid)) / MIB,
      },
    };
    const over = await connections(mesh.url, 16);
    for (const connection of over) stage.defer(() => connection.close());
    const sessions = await openSessions(over, { url: mesh.url }, STREAMS);
    const next = inTurn(sessions);
    const endsAt = performance.now() + sized(RATE_SECONDS, options) * 1_000;
    const everyMs = (1_000 * over.length) / RATE;
    let calls = 0;
    const started = performance.now();
    await Promise.all(
      over.map(async (connection) => {
        for (let at = performance.now(); at < endsAt; at += everyMs) {
          await sleep(Math.max(0, at - performance.now()));
          await callTool(connection, next(), 'echo');
          calls += 1;
        }
      }),
    );
    const rate = (1_000 * calls) / (performance.now() - started);
    const busy = { at: Math.round(rate), values: { MiB: (await rssBytes(pid)) / MIB } };
    const agent = new Agent();
    stage.defer(() => agent.destroy());
    for (const session of sessions) {
      const asked = request(new URL(mesh.url), {
        headers: { accept: 'text/event-stream', ...session.headers },
        agent,
      });
      asked.on('error', () => {}).end();
      const [response] = await once(asked, 'response');
      response.resume();
      response.on('error', () => {});
    }
    await sleep(REST_MS);
    const streams = { at: 0, values: { [STREAMS_MIB]: (await rssBytes(pid)) / MIB } };
    return { name: this.name, along: 'calls/s', points: [idle, busy, streams] };
  },
};

/** What each start took, in milliseconds: of a sidecar, and of an empty program right after it. */
async function startTimes(replica: string): Promise<{ sidecar: number; empty: number }[]> {
  const times: { sidecar: number; empty: number }[] = [];
  for (let start = 0; start < STARTS; start += 1) {
    const [mcp = 0, ops = 0, port = 0] = await freePorts(3);
    const listen = ['--listen', `127.0.0.1:${mcp}`, '--ops', `127.0.0.1:${ops}`, '--node', `start-${start}`];
    const args = [...SIDECAR_NODE_FLAGS, OUTRIGGER, 'sidecar', '--control-plane', replica, ...listen];
    times.push({
      sidecar: await startTime(args, `http://127.0.0.1:${ops}/readyz`),
      empty: await startTime(['-e', EMPTY, String(port)], `http://127.0.0.1:${port}/`),
    });
  }
  return times;
}

async function startTime(args: readonly string[], readyUrl: string): Promise<number> {
  const program = new TestProcess({ name: 'a program that starts', args, readyUrl });
  const began = performance.now();
  await program.start({ awaitReady: false });
  try {
    while (!(await answersOk(readyUrl))) {
      if (!program.alive || performance.now() - began > READY_WITHIN_MS)
        throw new Error(`it was not ready in time\n${program.log().join('\n')}`);
      await sleep(POLL_MS);
    }
    return performance.now() - began;
  } finally {
    await program.kill('SIGKILL');
  }
}

function answersOk(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = get(url, { agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asked.on('error', () => resolve(false));
  });
}

/** What no other process shares with it. Linux only. */
async function privateBytes(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].map(([, value]) => Number(value));
  return kib.reduce((sum, each) => sum + each, 0) * 1_024;
}
