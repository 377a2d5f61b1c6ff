import type { AdminConnection } from '../../rpc/admin-client.ts';
import { type AdminOptions, type Command, connected, plain, printed } from './asking.ts';
import { type CallRates, type Rates, type ReplicaLoad, ratesBetween } from './rates.ts';
import { onScreen, pause, type ScreenTerminal } from './screen.ts';
import { type Column, table } from './table.ts';
import { joined, mib, type Row } from './values.ts';

export interface TopOptions extends AdminOptions {
  /** Between two looks. */
  readonly intervalMs: number;
  readonly once?: boolean;
}

interface TopCommand extends Command {
  readonly options: TopOptions;
}

interface Sample {
  readonly stats: Row;
  /** On the monotonic clock, in milliseconds. */
  readonly at: number;
}

/** What the mesh does at this moment: once where nobody watches, else again and again until q or Ctrl-C. */
export async function top(command: TopCommand): Promise<void> {
  const { options, terminal } = command;
  const once = options.once === true || options.output !== 'table';
  const on = once ? undefined : terminal.screen;
  await connected(command, (admin) =>
    on === undefined ? lookOnce(command, admin) : follow(command, { admin, on }),
  );
}

async function lookOnce({ options, terminal, program }: TopCommand, admin: AdminConnection): Promise<void> {
  const before = await look(admin);
  await pause(program, options.intervalMs);
  const after = await look(admin);
  const rates = ratesOf(before, after);
  const { unreachable = [] } = after.stats;
  terminal.write(
    printed(options.output, { ...rates, unreachable }) ??
      topView(rates, { width: terminal.width, missing: joined(unreachable) }),
  );
}

async function follow(
  command: TopCommand,
  { admin, on }: { readonly admin: AdminConnection; readonly on: ScreenTerminal },
): Promise<void> {
  const { options, terminal } = command;
  let before = await look(admin);
  await onScreen(command, {
    on,
    intervalMs: options.intervalMs,
    first: `A first look: the next one, in ${options.intervalMs / 1_000} s, has what happened meanwhile.\n`,
    async look() {
      const after = await look(admin);
      const rates = ratesOf(before, after);
      before = after;
      return topView(rates, { width: terminal.width, missing: joined(after.stats['unreachable']) });
    },
    height: () => terminal.height,
  });
}

async function look(admin: AdminConnection): Promise<Sample> {
  const stats = plain(await admin.ask('GetStats', {}));
  return { stats, at: performance.now() };
}

function ratesOf(before: Sample, after: Sample): Rates {
  return ratesBetween(before.stats, after.stats, (after.at - before.at) / 1_000);
}

type Columns<Of> = readonly Column<Of>[];

const CALLS: Columns<CallRates> = [
  { title: 'CALLS/S', text: ({ callsPerSecond }) => rate(callsPerSecond) },
  { title: 'FAILED/S', text: ({ failuresPerSecond }) => rate(failuresPerSecond) },
  { title: 'P50', text: ({ p50Ms, callsPerSecond }) => duration(p50Ms, callsPerSecond) },
  { title: 'P99', text: ({ p99Ms, callsPerSecond }) => duration(p99Ms, callsPerSecond) },
];

const REPLICAS: Columns<ReplicaLoad> = [
  { title: 'REPLICA', text: ({ replica }) => replica },
  { title: 'SESSIONS', text: ({ sessions }) => String(sessions) },
  { title: 'BUSY', text: ({ busySessions }) => String(busySessions) },
  { title: 'SIDECARS', text: ({ sidecars }) => String(sidecars) },
  { title: 'OPEN', text: ({ exchanges }) => String(exchanges) },
  ...CALLS,
  { title: 'RESTORED', text: restoresOf },
  { title: 'CPU', text: ({ cpu }) => `${Math.round(cpu * 100)}%` },
  { title: 'MEMORY', text: ({ residentBytes }) => mib(residentBytes) },
  { title: 'LOOP', text: ({ loopDelayMs }) => duration(loopDelayMs, 1) },
];

const BACKENDS: Columns<Rates['backends'][number]> = [
  { title: 'BACKEND', text: ({ backend }) => backend },
  ...CALLS,
];

function topView(
  { total, replicas, backends }: Rates,
  { width, missing }: { readonly width: number | undefined; readonly missing: string },
): string {
  const { sessions, callsPerSecond, failuresPerSecond, p50Ms, p99Ms } = total;
  const head = [
    `${sessions} sessions`,
    `${rate(callsPerSecond)} calls/s`,
    `p50 ${duration(p50Ms, callsPerSecond)}`,
    `p99 ${duration(p99Ms, callsPerSecond)}`,
    `${rate(failuresPerSecond)} failed/s`,
    `restored ${restoresOf(total)}`,
  ];
  return [
    `${head.join(', ')}\n`,
    ...(missing === '' ? [] : [`not asked, for they cannot be reached: ${missing}\n`]),
    '\n',
    table(replicas, { columns: REPLICAS, width }),
    ...(backends.length === 0 ? [] : ['\n', table(backends, { columns: BACKENDS, width })]),
  ].join('');
}

function restoresOf({
  restores,
  failedRestores,
}: Pick<Rates['total'], 'restores' | 'failedRestores'>): string {
  return failedRestores === 0 ? String(restores) : `${restores} (${failedRestores} not)`;
}

function rate(perSecond: number): string {
  return perSecond >= 100 || perSecond === 0 ? String(Math.round(perSecond)) : perSecond.toFixed(1);
}

/** The last bound is a minute: what is slower than that is not told apart. */
function duration(ms: number | null, calls: number): string {
  if (ms === null) return calls > 0 ? '>60s' : '-';
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(1)}s`;
  return ms >= 10 ? `${Math.round(ms)}ms` : `${ms.toFixed(1)}ms`;
}
