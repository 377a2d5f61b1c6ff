import { setTimeout as sleep } from 'node:timers/promises';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { type Measurement, type Point, sized } from './curve.ts';
import { startMerged } from './merged-mesh.ts';
import { Opened } from './opened.ts';
import { callTool, connections, inTurn, listTools, openSessions, repeat } from './traffic.ts';

const SESSIONS = [100, 1_000];
const BACKENDS = 5;
const AT_ONCE = 16;
const IDLE_MS = 20_000;

/** What sessions cost the store: memory, and commands to open one, to call in one, and to leave it alone. */
export const REDIS: Measurement = {
  name: 'redis by sessions',
  async measure(options) {
    const points: Point[] = [];
    for (const whole of SESSIONS) points.push(await measureAt(sized(whole, options), options.seconds));
    return { name: this.name, along: 'sessions', points };
  },
};

async function measureAt(at: number, seconds: number): Promise<Point> {
  await using stage = new Opened();
  const redis = stage.use(await startRedis());
  const { mesh } = await startMerged(stage, {
    backends: BACKENDS,
    toolsPerBackend: 14,
    store: 'redis',
    redisUrl: redis.url,
  });
  const over = await connections(mesh.url, AT_ONCE);
  for (const connection of over) stage.defer(() => connection.close());
  const empty = await memory(redis);
  const before = await commands(redis);
  const sessions = await openSessions(over, { url: mesh.url }, at);
  const next = inTurn(sessions);
  const [first] = over;
  if (first === undefined) throw new Error('there is no connection');
  for (const session of sessions) await listTools(first, session);
  const opened = await commands(redis);
  const full = await memory(redis);
  const asked = await commands(redis);
  const calls = await repeat(over, seconds, (connection) => callTool(connection, next(), 'b0__echo'));
  const called = await commands(redis);
  await sleep(IDLE_MS);
  const idle = (await commands(redis)) - called;
  return {
    at,
    values: {
      'KiB/session': (full - empty) / 1_024 / at,
      'commands/new session': (opened - before) / at,
      'commands/call': (called - asked) / calls,
      'commands/s, all idle': idle / (IDLE_MS / 1_000),
    },
  };
}

async function memory(redis: RedisServer): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.cli('info', 'memory'))?.[1]);
}

async function commands(redis: RedisServer): Promise<number> {
  return Number(/^total_commands_processed:(\d+)/m.exec(await redis.cli('info', 'stats'))?.[1]);
}
