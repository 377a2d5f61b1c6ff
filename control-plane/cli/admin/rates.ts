import { type Row, rows, text } from './values.ts';

/** What happened between two answers to GetStats, which count since each replica's start. */
export interface Rates {
  /** Between the answers. */
  readonly seconds: number;
  readonly total: Load;
  readonly replicas: readonly ReplicaLoad[];
  /** Over all replicas. */
  readonly backends: readonly (CallRates & { readonly backend: string })[];
}

export interface CallRates {
  readonly callsPerSecond: number;
  /** Of them those that the backend did not answer. */
  readonly failuresPerSecond: number;
  /** Milliseconds; null where there were no calls, or more of them were slower than the last bound. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

export interface Load extends CallRates {
  readonly sessions: number;
  readonly exchanges: number;
  /** Since the start. */
  readonly restores: number;
  readonly failedRestores: number;
}

export interface ReplicaLoad extends Load {
  readonly replica: string;
  readonly busySessions: number;
  readonly sidecars: number;
  /** Of one core. */
  readonly cpu: number;
  readonly residentBytes: number;
  readonly loopDelayMs: number;
}

/** Calls that are over, of one backend or of several. */
interface Counts {
  readonly calls: number;
  readonly failures: number;
  /** By the longest that they took, in milliseconds: how many took at most so long. */
  readonly within: ReadonlyMap<number, number>;
}

const NONE: Counts = { calls: 0, failures: 0, within: new Map() };

/** `seconds` lie between the answers. A replica that was not there, or started anew, begins at nothing. */
export function ratesBetween(before: Row, after: Row, seconds: number): Rates {
  const known = new Map(rows(before['replicas']).map((each) => [text(each['replica']), each]));
  const pairs = rows(after['replicas']).map((each) => {
    const earlier = known.get(text(each['replica']));
    const same = earlier !== undefined && secondsOf(earlier['uptime']) <= secondsOf(each['uptime']);
    return { now: each, past: same ? earlier : {} };
  });
  const changes = pairs.map(({ now, past }) => changeOf(now, past));
  const backends = new Set(changes.flatMap((each) => [...each.keys()]));
  const loads = pairs.map(({ now, past }, at) => {
    const calls = sumOf([...(changes[at]?.values() ?? [])]);
    return { ...loadOf(now), ...callRates(calls, seconds), ...strainOf({ now, past, seconds }) };
  });
  const everything = sumOf(changes.flatMap((each) => [...each.values()]));
  const sum = (field: keyof Omit<Load, keyof CallRates>) =>
    loads.reduce((total, each) => total + each[field], 0);
  return {
    seconds,
    total: {
      sessions: sum('sessions'),
      exchanges: sum('exchanges'),
      restores: sum('restores'),
      failedRestores: sum('failedRestores'),
      ...callRates(everything, seconds),
    },
    replicas: loads,
    backends: [...backends].sort().map((backend) => ({
      backend,
      ...callRates(sumOf(changes.map((each) => each.get(backend) ?? NONE)), seconds),
    })),
  };
}

/** The calls of each backend that ended meanwhile. */
function changeOf(now: Row, past: Row): ReadonlyMap<string, Counts> {
  const before = countsOf(past);
  return new Map(
    [...countsOf(now)].map(([backend, counts]) => {
      const known = before.get(backend) ?? NONE;
      const within = [...counts.within].map(([ms, calls]): [number, number] => [
        ms,
        calls - (known.within.get(ms) ?? 0),
      ]);
      const change = { calls: counts.calls - known.calls, failures: counts.failures - known.failures };
      return [backend, { ...change, within: new Map(within) }];
    }),
  );
}

function countsOf(replica: Row): ReadonlyMap<string, Counts> {
  return new Map(
    rows(replica['backendCalls']).map(({ backend, calls, failures, latency }) => [
      text(backend),
      {
        calls: Number(calls),
        failures: Number(failures),
        within: new Map(rows(latency).map((each) => [millis(each['within']), Number(each['calls'])])),
      },
    ]),
  );
}

function sumOf(all: readonly Counts[]): Counts {
  const within = new Map<number, number>();
  for (const each of all)
    for (const [ms, calls] of each.within) within.set(ms, (within.get(ms) ?? 0) + calls);
  return {
    calls: all.reduce((sum, { calls }) => sum + calls, 0),
    failures: all.reduce((sum, { failures }) => sum + failures, 0),
    within,
  };
}

function callRates(counts: Counts, seconds: number): CallRates {
  return {
    callsPerSecond: counts.calls / seconds,
    failuresPerSecond: counts.failures / seconds,
    p50Ms: quantile(counts, 0.5),
    p99Ms: quantile(counts, 0.99),
  };
}

/** As Prometheus has it (histogram_quantile): calls lie evenly between the bounds of their bucket. */
function quantile({ calls, within }: Counts, part: number): number | null {
  const rank = calls * part;
  let [lower, below] = [0, 0];
  for (const [upper, reached] of [...within].sort(([one], [other]) => one - other)) {
    if (calls > 0 && reached >= rank && reached > below)
      return lower + ((upper - lower) * (rank - below)) / (reached - below);
    [lower, below] = [upper, reached];
  }
  return null;
}

function loadOf(
  now: Row,
): Pick<ReplicaLoad, 'replica' | 'sessions' | 'exchanges' | 'restores' | 'failedRestores'> {
  const { replica, sessions, exchanges, restores, failedRestores } = now;
  return {
    replica: text(replica),
    sessions: Number(sessions),
    exchanges: Number(exchanges),
    restores: Number(restores),
    failedRestores: Number(failedRestores),
  };
}

function strainOf({
  now,
  past,
  seconds,
}: {
  readonly now: Row;
  readonly past: Row;
  readonly seconds: number;
}) {
  return {
    busySessions: Number(now['busySessions']),
    sidecars: Number(now['sidecars']),
    cpu: (secondsOf(now['cpuTime']) - secondsOf(past['cpuTime'])) / seconds,
    residentBytes: Number(now['residentBytes']),
    loopDelayMs: millis(now['loopDelay']),
  };
}

/** Of a duration such as `1.5s`. */
function secondsOf(value: Row[string] | undefined): number {
  return Number.parseFloat(text(value)) || 0;
}

function millis(value: Row[string] | undefined): number {
  return secondsOf(value) * 1_000;
}
