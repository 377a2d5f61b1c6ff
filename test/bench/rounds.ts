import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readUrlLine, spawnReady } from '../support/spawn-ready.ts';
import type { FromClient, ToClient } from './load-client.ts';
import type { Load } from './loads.ts';
import { cpuUs, rssBytes } from './process-use.ts';
import { compilePrograms } from './programs.ts';
import type { Row, RunningRow } from './rows.ts';
import type { LoadResult } from './run-load.ts';
import type { IdleMemory, Measured, ProcessUse, Sample } from './sample.ts';

/** What to measure, and how long. */
export interface Rounds {
  readonly rows: readonly Row[];
  readonly loads: readonly Load[];
  readonly rounds: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  onSample(sample: Sample): void;
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
    for (const row of plan.rows)
      standing.push({
        name: row.name,
        beside: row.beside,
        row: await row.start({ backendUrl: backend.ready, programs }),
      });
    const idle = await idleMemory(standing);
    const samples = await measureRounds({ plan, standing, client, backendPid: backend.pid });
    return { samples, idle };
  } finally {
    await Promise.all(standing.map(({ row }) => row[Symbol.asyncDispose]()));
  }
}

interface Standing {
  readonly name: string;
  readonly beside: true | undefined;
  readonly row: RunningRow;
}

async function idleMemory(standing: readonly Standing[]): Promise<IdleMemory[]> {
  const processes = standing.flatMap(({ name, row }) =>
    row.processes.map((process) => ({ row: name, ...process })),
  );
  return Promise.all(
    processes.map(async ({ row, name, pid }) => ({ row, process: name, rssBytes: await rssBytes(pid) })),
  );
}

interface MeasureRounds {
  readonly plan: Rounds;
  readonly standing: readonly Standing[];
  readonly client: Client;
  readonly backendPid: number;
}

async function measureRounds({ plan, standing, client, backendPid }: MeasureRounds): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < plan.rounds; round += 1)
    for (const load of plan.loads)
      for (const { name, row } of rotated(
        standing.filter(({ beside }) => beside === load.beside),
        round,
      )) {
        const processes = [
          { name: 'backend', pid: backendPid },
          { name: 'client', pid: client.pid },
          ...row.processes,
        ];
        row.neighbour?.work();
        const { result, use } = await measureOnce({ client, url: row.url, load, processes, plan });
        row.neighbour?.rest();
        const [backend, own, ...rest] = use as [ProcessUse, ProcessUse, ...ProcessUse[]];
        const sample = {
          row: name,
          load: load.name,
          round,
          ...result,
          processes: rest,
          backend,
          client: own,
        };
        samples.push(sample);
        plan.onSample(sample);
      }
  return samples;
}

interface Once {
  readonly client: Client;
  readonly url: string;
  readonly load: Load;
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
  readonly plan: Rounds;
}

async function measureOnce({
  client,
  url,
  load,
  processes,
  plan,
}: Once): Promise<{ result: LoadResult; use: ProcessUse[] }> {
  const pids = processes.map(({ pid }) => pid);
  let before: number[] = [];
  const result = await client.run({
    url,
    load,
    warmUpSeconds: plan.warmUpSeconds,
    seconds: plan.seconds,
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
          `${job.load.name} against ${job.url}: ${message.kind === 'error' ? message.message : message.kind}`,
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

function rotated<Item>(items: readonly Item[], by: number): Item[] {
  const start = by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}
