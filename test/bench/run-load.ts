import { HttpConnection } from './http-connection.ts';
import type { Load } from './loads.ts';
import { type BenchSession, openSession } from './mcp-session.ts';
import type { HttpAnswer } from './response-reader.ts';
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
  readonly url: string;
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
export async function runLoad(run: RunLoad): Promise<LoadResult> {
  const url = new URL(run.url);
  const sessions = await Promise.all(Array.from({ length: run.load.sessions }, () => openSession(url)));
  const connections = await Promise.all(
    Array.from({ length: run.load.concurrency }, () => HttpConnection.open(url)),
  );
  try {
    const callers = connections.map((connection, index) =>
      createCaller(connection, sessions[index % sessions.length] as BenchSession, run.load),
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

/** Makes one call and checks its answer. */
type Call = () => Promise<void>;

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

let lastId = 0;

function createCaller(connection: HttpConnection, session: BenchSession, load: Load): Call {
  return async () => {
    lastId += 1;
    const id = lastId;
    const echo = `echo-${id}-${(id * 7919) % 100_003}`;
    const answer = await connection.send(session.post(messageOf(load, id, echo)));
    check(answer, { load, id, echo });
  };
}

function messageOf(load: Load, id: number, echo: string): string {
  if (load.method === 'tools/list') return `{"jsonrpc":"2.0","id":${id},"method":"tools/list","params":{}}`;
  const head = `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"echo","arguments":{"echo":"${echo}","bytes":${load.answerBytes},"sse":${load.sse},"pad":"`;
  const padding = Math.max(0, load.requestBytes - head.length - 5);
  return `${head}${'x'.repeat(padding)}"}}}`;
}

function check(answer: HttpAnswer, of: { load: Load; id: number; echo: string }): void {
  const { body } = answer;
  const right =
    answer.status === 200 &&
    body.includes(`"id":${of.id}`) &&
    (of.load.method === 'tools/list'
      ? body.includes('"tools":[')
      : // The text begins and ends with the value, so that a cut or mixed answer shows.
        body.indexOf(of.echo) !== body.lastIndexOf(of.echo) && body.length > of.load.answerBytes);
  if (!right)
    throw new Error(
      `a wrong answer to ${of.load.method} ${of.id} (${of.echo}): HTTP ${answer.status} ${body.toString('utf8', 0, 300)}`,
    );
}
