import { type Call, createCaller } from './callers.ts';
import { HttpConnection } from './http-connection.ts';
import type { Load } from './loads.ts';
import { type BenchSession, type Endpoint, openSession } from './mcp-session.ts';
import { percentile } from './statistics.ts';

/** What the client of a load saw. */
export interface LoadResult {
  readonly calls: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** A load to run against an MCP endpoint. */
export interface RunLoad {
  readonly endpoint: Endpoint;
  readonly load: Load;
  /** Seconds of calls before anything counts, and of calls that count. */
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** Called between the two; what it returns is waited for, with no call in flight. */
  onWarm(): Promise<void>;
}

/**
 * Runs one load: sessions, connections, warm-up, then the calls that count. Every answer is checked
 * against its request (status, id, the value it must echo, the size), and the first that is wrong ends
 * the run with an error: a fast wrong answer is no result.
 */
export async function runLoad({ endpoint, load, ...run }: RunLoad): Promise<LoadResult> {
  const url = new URL(endpoint.url);
  const sessions = await Promise.all(Array.from({ length: load.sessions }, () => openSession(endpoint)));
  const connections = await Promise.all(
    Array.from({ length: load.concurrency }, () => HttpConnection.open(url)),
  );
  try {
    const callers = connections.map((connection, index) =>
      createCaller({
        connection,
        session: sessions[index % sessions.length] as BenchSession,
        load,
        endpoint,
      }),
    );
    await callFor(callers, run.warmUpSeconds, () => {});
    await run.onWarm();
    const latenciesUs: number[] = [];
    const started = performance.now();
    await callFor(callers, run.seconds, (milliseconds) => latenciesUs.push(milliseconds * 1000));
    const seconds = (performance.now() - started) / 1000;
    return {
      calls: latenciesUs.length,
      seconds,
      p50Us: percentile(latenciesUs, 0.5),
      p99Us: percentile(latenciesUs, 0.99),
    };
  } finally {
    for (const connection of connections) connection.close();
    await Promise.all(sessions.map((session) => session.end()));
  }
}

/** Every caller calls again as soon as it has its answer, until the time is over. */
async function callFor(
  callers: readonly Call[],
  seconds: number,
  onLatency: (milliseconds: number) => void,
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  await Promise.all(
    callers.map(async (call) => {
      for (let now = performance.now(); now < end; ) {
        await call();
        const answered = performance.now();
        onLatency(answered - now);
        now = answered;
      }
    }),
  );
}
