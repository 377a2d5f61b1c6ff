import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Mesh, startMesh } from '../../support/mesh.ts';
import { startRedis } from '../../support/redis.ts';
import { readUrlLine, spawnReady } from '../../support/spawn-ready.ts';
import { HttpConnection } from '../http-connection.ts';
import { rssBytes } from '../process-use.ts';
import { compilePrograms } from '../programs.ts';
import { ROOMY } from '../scale/merged-mesh.ts';
import { Opened } from '../scale/opened.ts';
import { connections, inTurn, openSessions } from '../scale/traffic.ts';
import type { StreamableSession } from '../streamable-session.ts';
import { Asker } from './asker.ts';
import { type Holding, judge, Tally, type Verdict } from './tally.ts';

/** How long, how much, and how often a replica dies. */
export interface SoakPlan {
  readonly minutes: number;
  readonly sessions: number;
  /** Requests a second. */
  readonly rate: number;
  readonly killEverySeconds: number;
  say(line: string): void;
}

export interface SoakReport extends Omit<Tally, 'complain' | 'diedAt'> {
  readonly deaths: number;
  readonly holdings: readonly Holding[];
  readonly verdicts: readonly Verdict[];
}

const SIDECARS = 2;
/** Of which the first lives on, so that its memory tells something. */
const REPLICAS = 3;
const CONNECTIONS = 16;
const DEAD_MS = 5_000;

/** A mesh under mixed load for long, whose replicas are killed in turn. */
export async function soak(plan: SoakPlan): Promise<SoakReport> {
  await using opened = new Opened();
  const { minutes, say } = plan;
  const mesh = await startMeshOf(opened);
  const tally = new Tally();
  const askers: Asker[] = [];
  for (const url of mesh.urls) {
    const over = await connections(url, CONNECTIONS);
    const sessions = await openSessions(over, { url }, Math.ceil(plan.sessions / SIDECARS));
    for (const connection of over) connection.close();
    askers.push(...askersOf(url, sessions, tally));
  }
  say(`${plan.sessions} sessions, ${plan.rate} requests a second, ${minutes} min`);
  const ends = new AbortController();
  opened.defer(() => ends.abort());
  const endsAt = performance.now() + minutes * 60_000;
  const asking = askers.map((asker) =>
    asker.askUntil(endsAt, { everyMs: (1_000 * askers.length) / plan.rate }),
  );
  const killing = killInTurn(mesh, { ...plan, tally }, ends.signal);
  const holdings = await watch(mesh, { plan, tally, endsAt });
  await Promise.all(asking);
  ends.abort();
  const deaths = await killing;
  const verdicts = judge(tally, holdings, minutes);
  const { right, again, unknown, lost, wrong, complaints } = tally;
  return { right, again, unknown, lost, wrong, complaints, deaths, holdings, verdicts };
}

async function startMeshOf(opened: Opened): Promise<Mesh> {
  const redis = opened.use(await startRedis());
  const { backend: program } = await compilePrograms();
  const backend = opened.use(await spawnReady({ args: [program, '70'], ready: readUrlLine }));
  return opened.use(
    await startMesh({
      replicas: REPLICAS,
      sidecars: SIDECARS,
      store: 'redis',
      redisUrl: redis.url,
      config: { mcpServers: { bench: { type: 'http', url: backend.ready } }, limits: ROOMY },
      anonymous: true,
      logLevel: 'error',
    }),
  );
}

/** Each asks in sessions of its own, so that what a session is answered is one after the other. */
function askersOf(url: string, sessions: readonly StreamableSession[], tally: Tally): Asker[] {
  const shares = Array.from({ length: CONNECTIONS }, (_, n) =>
    sessions.filter((_session, index) => index % CONNECTIONS === n),
  );
  const open = () => HttpConnection.open(new URL(url));
  return shares
    .filter((share) => share.length > 0)
    .map((share) => new Asker({ open, next: inTurn(share), tally }));
}

/** All replicas but the first, in turn; each comes back after a while. Resolves to how many died, at the end. */
async function killInTurn(
  mesh: Mesh,
  { killEverySeconds, tally }: Pick<SoakPlan, 'killEverySeconds'> & { readonly tally: Tally },
  ends: AbortSignal,
): Promise<number> {
  const next = inTurn(mesh.replicas.slice(1));
  for (let deaths = 0; ; deaths += 1) {
    const waited = await sleep(killEverySeconds * 1_000, true, { signal: ends }).catch(() => false);
    if (!waited) return deaths;
    const replica = next();
    tally.diedAt = performance.now();
    await replica.kill('SIGKILL');
    await sleep(DEAD_MS);
    await replica.start();
  }
}

/** Looks at the processes that live through it, once a minute, and ten times at the least. */
async function watch(
  mesh: Mesh,
  { plan, tally, endsAt }: { plan: SoakPlan; tally: Tally; endsAt: number },
): Promise<Holding[]> {
  const started = performance.now();
  const everyMs = Math.min(60_000, (plan.minutes * 60_000) / 10);
  const processes = [...mesh.sidecars, ...mesh.replicas.slice(0, 1)];
  const holdings: Holding[] = [];
  while (performance.now() < endsAt) {
    await sleep(Math.min(everyMs, Math.max(0, endsAt - performance.now())));
    const minute = (performance.now() - started) / 60_000;
    const now = await Promise.all(
      processes.map(async ({ name, pid }) => ({
        minute,
        process: name,
        rssMiB: (await rssBytes(pid)) / 2 ** 20,
        handles: (await readdir(`/proc/${pid}/fd`)).length,
      })),
    );
    holdings.push(...now);
    const held = now.map((each) => `${each.process} ${each.rssMiB.toFixed(0)} MiB ${each.handles} handles`);
    const { right, again, unknown, lost, wrong } = tally;
    plan.say(
      `${minute.toFixed(1)} min  ${right} right, ${again} again, ${unknown} unknown, ${lost} lost, ${wrong} wrong  ${held.join(', ')}`,
    );
  }
  return holdings;
}
