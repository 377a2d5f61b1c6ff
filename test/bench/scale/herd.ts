import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis } from '../../support/redis.ts';
import type { HttpConnection } from '../http-connection.ts';
import { percentile } from '../statistics.ts';
import type { StreamableSession } from '../streamable-session.ts';
import { type Measurement, sized } from './curve.ts';
import { startSidecars } from './many-sidecars.ts';
import { startMerged } from './merged-mesh.ts';
import { Opened } from './opened.ts';
import { callTool, connections, openSessions } from './traffic.ts';

const SIDECARS = 200;
const SESSIONS_EACH = 5;
const BACKENDS = 3;
/** As a replica has it unless it is told otherwise: that a backend is spared is of the matter here. */
const HANDSHAKES_PER_SECOND = 200;
const RETRY_MS = 100;
const WITHIN_MS = 60_000;

/** One of two replicas dies under many sidecars, and everybody calls at once: who comes back when, and what the backends see of it. */
export const HERD: Measurement = {
  name: 'reconnect of sidecars after a replica’s death',
  async measure(options) {
    await using stage = new Opened();
    const sidecars = sized(SIDECARS, options);
    const redis = stage.use(await startRedis());
    const { mesh, backend } = await startMerged(stage, {
      backends: BACKENDS,
      toolsPerBackend: 10,
      handshakesPerSecond: HANDSHAKES_PER_SECOND,
      replicas: 2,
      store: 'redis',
      redisUrl: redis.url,
    });
    const urls = await startSidecars(
      stage,
      mesh.replicas.map(({ grpc }) => grpc),
      sidecars,
    );
    const callers: Caller[] = [];
    for (const url of urls) {
      const over = await connections(url, 1);
      const [connection] = over;
      if (connection === undefined) throw new Error('there is no connection');
      stage.defer(() => connection.close());
      const sessions = await openSessions(over, { url }, SESSIONS_EACH);
      for (const session of sessions) await callTool(connection, session, 'b0__echo');
      callers.push({ connection, sessions });
    }
    const [lost, kept] = mesh.replicas;
    if (lost === undefined || kept === undefined) throw new Error('there are not two replicas');
    const before = await handshakes(backend.ready);
    const watch = await RestoreWatch.start(kept.ops);
    stage.defer(() => watch.stop());
    await lost.kill('SIGKILL');
    const started = performance.now();
    const back = (await Promise.all(callers.map((caller) => comeBack(caller, started)))).flat();
    const after = await handshakes(backend.ready);
    return {
      name: this.name,
      along: 'sidecars',
      points: [
        {
          at: sidecars,
          values: {
            sessions: back.length,
            'back p50 ms': percentile(back, 0.5),
            'back last ms': Math.max(...back),
            'most restores/s': await watch.most(),
            'most handshakes/s': Math.max(0, ...after.map((count, second) => count - (before[second] ?? 0))),
          },
        },
      ],
    };
  },
};

interface Caller {
  readonly connection: HttpConnection;
  readonly sessions: readonly StreamableSession[];
}

/** Calls in each session until it is answered: how long after the death that was, in milliseconds. What cannot be called again is an error. */
async function comeBack({ connection, sessions }: Caller, started: number): Promise<number[]> {
  const times: number[] = [];
  for (const session of sessions) {
    for (;;) {
      try {
        await callTool(connection, session, 'b0__echo');
        break;
      } catch (thrown) {
        const mayRetry = /HTTP (503|429)|outcome_unknown/.test(String(thrown));
        if (!mayRetry || performance.now() - started > WITHIN_MS) throw thrown;
        await sleep(RETRY_MS);
      }
    }
    times.push(performance.now() - started);
  }
  return times;
}

async function handshakes(url: string): Promise<number[]> {
  const answer = await fetch(new URL('/counts', url));
  const seconds = (await answer.json()) as readonly Readonly<Record<string, number>>[];
  return seconds.map((counts) => counts['initialize'] ?? 0);
}

/** Reads a replica's own count of its restores, twice a second. */
class RestoreWatch {
  readonly #ops: string;
  readonly #counts: { readonly at: number; readonly count: number }[] = [];
  readonly #timer: NodeJS.Timeout;

  private constructor(ops: string) {
    this.#ops = ops;
    this.#timer = setInterval(() => void this.#read(), 500);
  }

  static async start(ops: string): Promise<RestoreWatch> {
    const watch = new RestoreWatch(ops);
    await watch.#read();
    return watch;
  }

  /** In any one second. */
  async most(): Promise<number> {
    this.stop();
    await this.#read();
    const rates = this.#counts.slice(1).map(({ at, count }, index) => {
      const before = this.#counts[index];
      return before === undefined ? 0 : ((count - before.count) * 1_000) / (at - before.at);
    });
    return Math.max(0, ...rates);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #read(): Promise<void> {
    const text = await (await fetch(`${this.#ops}/metrics`)).text();
    const lines = text.matchAll(/^outrigger_restore_seconds_count\{[^}]*\} (\d+)$/gm);
    const count = [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
    this.#counts.push({ at: performance.now(), count });
  }
}
