import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { startMesh } from '../../support/mesh.ts';
import { readUrlLine, spawnReady } from '../../support/spawn-ready.ts';
import { cpuUs } from '../process-use.ts';
import { compilePrograms } from '../programs.ts';
import { percentile } from '../statistics.ts';
import type { StreamableSession } from '../streamable-session.ts';
import { type Measurement, type Point, sized } from './curve.ts';
import { ROOMY } from './merged-mesh.ts';
import { Opened } from './opened.ts';
import { connections, listTools, openSessions } from './traffic.ts';

const SESSIONS = [10, 100, 1_000];
const AT_ONCE = 32;
const WITHIN_MS = 60_000;

/** A backend's list changes: how long until sessions that listen have heard of it, and what that costs. */
export const FAN_OUT: Measurement = {
  name: 'list_changed by listening sessions',
  async measure(options) {
    const points: Point[] = [];
    for (const whole of SESSIONS) points.push(await measureAt(sized(whole, options)));
    return { name: this.name, along: 'sessions', points };
  },
};

async function measureAt(at: number): Promise<Point> {
  await using stage = new Opened();
  const { backend: program } = await compilePrograms();
  const backend = stage.use(await spawnReady({ args: [program, '70', 'listening'], ready: readUrlLine }));
  const mesh = stage.use(
    await startMesh({
      config: {
        mcpServers: { bench: { type: 'http', url: backend.ready, handshakes: { perSecond: 10_000 } } },
        limits: ROOMY,
      },
      anonymous: true,
      sidecarConfig: { limits: { streams: at + 100, connections: at + 1_000 } },
    }),
  );
  const over = await connections(mesh.url, AT_ONCE);
  for (const connection of over) stage.defer(() => connection.close());
  const sessions = await openSessions(over, { url: mesh.url }, at);
  const [first] = over;
  if (first === undefined) throw new Error('there is no connection');
  for (const session of sessions) await listTools(first, session);
  const agent = new Agent();
  stage.defer(() => agent.destroy());
  const heard = await Promise.all(sessions.map((session) => listen(mesh.url, session, agent)));

  const pids = [mesh.sidecar.pid, ...mesh.replicas.map(({ pid }) => pid)];
  const used = async () => (await Promise.all(pids.map(cpuUs))).reduce((sum, each) => sum + each, 0);
  const listsBefore = await settled(backend.ready);
  const before = await used();
  const started = performance.now();
  process.kill(backend.pid, 'SIGUSR2');
  const times = await Promise.all(heard.map((each) => each()));
  const after = times.map((time) => time - started);
  return {
    at,
    values: {
      'heard p50 ms': percentile(after, 0.5),
      'heard last ms': Math.max(...after),
      'CPU µs/session': ((await used()) - before) / at,
      'reads of the backend': (await listsAsked(backend.ready)) - listsBefore,
    },
  };
}

/** Listens; what is returned waits for the moment at which the change was heard. */
async function listen(url: string, session: StreamableSession, agent: Agent): Promise<() => Promise<number>> {
  const headers = { accept: 'text/event-stream', ...session.headers };
  const asked = request(new URL(url), { headers, agent });
  asked.end();
  const [response] = await once(asked, 'response');
  if (response.statusCode !== 200) throw new Error(`GET: HTTP ${response.statusCode}`);
  const heard = new Promise<number>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('a session never heard of the change')), WITHIN_MS);
    response.on('data', (chunk: Buffer) => {
      if (!chunk.includes('tools/list_changed')) return;
      clearTimeout(late);
      resolve(performance.now());
    });
    response.on('error', () => {});
  });
  heard.catch(() => {});
  return () => heard;
}

/** Whoever begins to listen has its lists compared with what there is: that comes first. Returns how often the backend was asked until then. */
async function settled(url: string): Promise<number> {
  for (let asked = await listsAsked(url); ; ) {
    await sleep(1_000);
    const now = await listsAsked(url);
    if (now === asked) return now;
    asked = now;
  }
}

async function listsAsked(url: string): Promise<number> {
  const answer = await fetch(new URL('/counts', url));
  const seconds = (await answer.json()) as readonly Readonly<Record<string, number>>[];
  return seconds.reduce((sum, counts) => sum + (counts['tools/list'] ?? 0), 0);
}
