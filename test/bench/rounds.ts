import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readUrlLine, spawnReady } from '../support/spawn-ready.ts';
import type { FromClient, ToClient } from './load-client.ts';
import type { Load } from './loads.ts';
import type { Endpoint } from './mcp-session.ts';
import { cpuUs, rssBytes } from './process-use.ts';
import { compilePrograms } from './programs.ts';
import { rotated } from './rotated.ts';
import { NotHere, type Row, type RunningRow, takes } from './row.ts';
import type { LoadResult } from './run-load.ts';
import type { Measured, ProcessUse, Sample } from './sample.ts';

/** What to measure, and how long. */
export interface Rounds {
  readonly rows: readonly Row[];
  readonly loads: readonly Load[];
  readonly rounds: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  onSample(sample: Sample): void;
  /** A row that cannot stand on this machine is left out. */
  onMissing(row: string, why: string): void;
}

/**
 * Starts one backend, one client and every row, then measures in rounds: in each, every load against every
 * row, one after the other, beginning with another row each time. What stands idle costs nothing, and what
 * the machine does meanwhile hits all rows alike.
 */
export async function measure(plan: Rounds): Promise<Measured> {
  const programs = await compilePrograms();
  await using backend = await spawnReady({ args: [programs.backend], ready: readUrlLine });
  await using client = await startClient(programs.loadClient);
  const standing: Standing[] = [];
  try {
    for (const row of plan.rows) {
      try {
        const running = await row.start({ backendUrl: backend.ready, programs });
        standing.push({ row, running });
      } catch (thrown) {
        if (!(thrown instanceof NotHere)) throw thrown;
        plan.onMissing(row.name, thrown.message);
      }
    }
    return { samples: await measureRounds({ plan, standing, client, backendPid: backend.pid }) };
  } finally {
    await Promise.all(standing.map(({ running }) => running[Symbol.asyncDispose]()));
  }
}

/** Of the round before the first, at most. */
const FIRST_SECONDS = 1;

interface Standing {
  readonly row: Row;
  readonly running: RunningRow;
}

interface MeasureRounds {
  readonly plan: Rounds;
  readonly standing: readonly Standing[];
  readonly client: Client;
  readonly backendPid: number;
}

async function measureRounds({ plan, standing, client, backendPid }: MeasureRounds): Promise<Sample[]> {
  const samples: Sample[] = [];
  // What runs for the first time is being compiled: the round before the first counts for nobody, and is short.
  for (let round = -1; round < plan.rounds; round += 1)
    for (const load of plan.loads)
      for (const { row, running } of rotated(
        standing.filter((each) => takes(each.row, load)),
        round,
      )) {
        const processes = [
          { name: 'backend', pid: backendPid },
          { name: 'client', pid: client.pid },
          ...running.processes,
        ];
        running.neighbour?.work();
        const { result, use } = await measureOnce({
          client,
          endpoint: running.endpoint,
          load,
          processes,
          warmUpSeconds: plan.warmUpSeconds,
          seconds: round < 0 ? Math.min(FIRST_SECONDS, plan.seconds) : plan.seconds,
        });
        running.neighbour?.rest();
        const [backend, own, ...rest] = use as [ProcessUse, ProcessUse, ...ProcessUse[]];
        const sample = {
          row: row.name,
          load: load.name,
          round,
          ...result,
          processes: rest,
          backend,
          client: own,
        };
        if (round < 0) continue;
        samples.push(sample);
        plan.onSample(sample);
      }
  return samples;
}

interface Once {
  readonly client: Client;
  readonly endpoint: Endpoint;
  readonly load: Load;
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

async function measureOnce({
  client,
  processes,
  ...job
}: Once): Promise<{ result: LoadResult; use: ProcessUse[] }> {
  const pids = processes.map(({ pid }) => pid);
  let before: number[] = [];
  const result = await client.run({
    ...job,
    onWarm: async () => {
      before = await Promise.all(pids.map(cpuUs));
    },
  });
  const after = await Promise.all(pids.map(cpuUs));
  const rss = await Promise.all(pids.map(rssBytes));
  const use = processes.map(({ name }, index) => ({
    name,
    cpuUs: (after[index] ?? 0) - (before[index] ?? 0),
    rssBytes: rss[index] ?? 0,
  }));
  return { result, use };
}

/** The load client's process, as the bench drives it. */
interface Client extends AsyncDisposable {
  readonly pid: number;
  run(
    job: Omit<Extract<ToClient, { kind: 'run' }>, 'kind'> & { onWarm(): Promise<void> },
  ): Promise<LoadResult>;
}

async function startClient(program: string): Promise<Client> {
  const child = fork(program, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  await next(child);
  return {
    pid: child.pid as number,
    async run({ onWarm, ...job }) {
      send(child, { kind: 'run', ...job });
      let message = await next(child);
      if (message.kind === 'warm') {
        await onWarm();
        send(child, { kind: 'go' });
        message = await next(child);
      }
      if (message.kind !== 'result')
        throw new Error(
          `${job.load.name} against ${job.endpoint.url}: ${message.kind === 'error' ? message.message : message.kind}`,
        );
      return message.result;
    },
    async [Symbol.asyncDispose]() {
      const gone = once(child, 'exit');
      child.disconnect();
      await gone;
    },
  };
}

function send(child: ChildProcess, message: ToClient): void {
  child.send(message);
}

async function next(child: ChildProcess): Promise<FromClient> {
  const stopped = new AbortController();
  const { signal } = stopped;
  const gone = once(child, 'exit', { signal }).then(() => {
    throw new Error('the load client ended');
  });
  try {
    const [message] = (await Promise.race([once(child, 'message', { signal }), gone])) as [FromClient];
    return message;
  } finally {
    stopped.abort();
    gone.catch(() => {});
  }
}
