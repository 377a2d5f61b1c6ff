import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis } from '../../support/redis.ts';
import type { HttpConnection } from '../http-connection.ts';
import { median, percentile } from '../statistics.ts';
import type { StreamableSession } from '../streamable-session.ts';
import { asked, type Measurement, type Point, sized } from './curve.ts';
import { startMerged } from './merged-mesh.ts';
import { Opened } from './opened.ts';
import { callTool, connections, openSessions } from './traffic.ts';

const BACKENDS = [1, 5, 20, 50];
const SESSIONS = 300;
/** Restored one after the other, for the latency; the rest at once, for the rate. */
const ALONE = 50;
const AT_ONCE = 32;
/** What the first call of a session takes beyond its second, which follows it. */
export const RESTORE_ADDS = 'restore adds p50 ms';

/** Sessions whose replica was killed, called again: what the first call takes beyond the second one, and how many come back in a second. */
export const RESTORES: Measurement = {
  name: 'restores by backends',
  async measure(options) {
    const points: Point[] = [];
    for (const at of asked(BACKENDS, options)) points.push(await measureAt(at, sized(SESSIONS, options)));
    return { name: this.name, along: 'backends', points };
  },
};

async function measureAt(at: number, count: number): Promise<Point> {
  await using stage = new Opened();
  const redis = stage.use(await startRedis());
  const { mesh } = await startMerged(stage, {
    backends: at,
    toolsPerBackend: 10,
    replicas: 2,
    spread: true,
    store: 'redis',
    redisUrl: redis.url,
  });
  const over = await connections(mesh.url, AT_ONCE);
  for (const connection of over) stage.defer(() => connection.close());
  const tool = 'b0__echo';
  const sessions = await openSessions(over, { url: mesh.url }, count);
  const [first, ...rest] = over;
  if (first === undefined) throw new Error('there is no connection');
  for (const session of sessions) await callTool(first, session, tool);
  const [scout, ...others] = sessions;
  if (scout === undefined) throw new Error('there is no session');
  await mesh.replicas[0]?.kill('SIGKILL');
  await untilServed(first, scout, tool);

  const alone = others.splice(0, Math.min(ALONE, Math.floor(others.length / 2)));
  const cold: number[] = [];
  const warm: number[] = [];
  for (const session of alone) {
    cold.push(await callTool(first, session, tool));
    warm.push(await callTool(first, session, tool));
  }
  const started = performance.now();
  const left = [...others];
  await Promise.all(
    rest.map(async (connection) => {
      for (let session = left.pop(); session !== undefined; session = left.pop())
        await callTool(connection, session, tool);
    }),
  );
  const seconds = (performance.now() - started) / 1_000;
  return {
    at,
    values: {
      'first call p50 ms': percentile(cold, 0.5),
      'first call p99 ms': percentile(cold, 0.99),
      [RESTORE_ADDS]: median(cold.map((took, n) => took - (warm[n] ?? Number.NaN))),
      'restores/s': others.length / seconds,
    },
  };
}

/** Until the sidecar has found the other replica. */
async function untilServed(
  connection: HttpConnection,
  session: StreamableSession,
  tool: string,
): Promise<void> {
  for (const end = performance.now() + 15_000; ; await sleep(50)) {
    try {
      await callTool(connection, session, tool);
      return;
    } catch (thrown) {
      if (performance.now() > end) throw thrown;
    }
  }
}
