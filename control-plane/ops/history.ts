import type { Clock } from '../../shared/clock.ts';
import { type BackendCallCounts, type CallCounts, readCallCounts } from './call-counts.ts';
import type { Metrics } from './metrics.ts';

/** What a replica did in one period. */
export interface Sample {
  /** The end of the period, in milliseconds since 1970. */
  readonly at: number;
  readonly periodMs: number;
  /** Calls of backends that ended, and those of them that failed. */
  readonly calls: number;
  readonly failures: number;
  /** Of these calls: half took at most so long, and 95 in 100; 0 without calls. */
  readonly medianMs: number;
  readonly p95Ms: number;
  /** Sessions that were taken up again, and those that could not be. */
  readonly restores: number;
  readonly failedRestores: number;
  /** Requests that named a session of another principal. */
  readonly mismatches: number;
}

/** Everything that is counted, since the start. */
export interface Counts extends CallCounts {
  readonly mismatches: number;
}

/** Reads them out of the metrics. */
export async function readCounts(
  metrics: Pick<Metrics, 'backendCalls' | 'restores' | 'bindingMismatches'>,
): Promise<Counts> {
  const [counts, { values }] = await Promise.all([readCallCounts(metrics), metrics.bindingMismatches.get()]);
  return { ...counts, mismatches: values.reduce((sum, { value }) => sum + value, 0) };
}

export interface HistoryOptions {
  readonly read: () => Promise<Counts>;
  readonly clock: Clock;
}

const PERIOD_MS = 5_000;
/** A quarter of an hour. */
const MOST_SAMPLES = 180;

/** The last quarter of an hour, in memory: for people who look now at what just happened. */
export class History {
  readonly #options: HistoryOptions;
  readonly #samples: Sample[] = [];
  #before: { readonly counts: Counts; readonly elapsed: number } | undefined;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: HistoryOptions) {
    this.#options = options;
    void this.#beat();
  }

  /** The samples that ended after this moment, the oldest first. */
  since(ms: number): readonly Sample[] {
    return this.#samples.filter(({ at }) => at > ms);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  async #beat(): Promise<void> {
    const { read, clock } = this.#options;
    const [counts] = await Promise.allSettled([read()]);
    if (this.#stopped) return;
    this.#cancel = clock.after(PERIOD_MS, () => void this.#beat());
    // A period without a count is part of the next one.
    if (counts.status === 'rejected') return;
    const now = { counts: counts.value, elapsed: clock.elapsed() };
    if (this.#before !== undefined) {
      const periodMs = now.elapsed - this.#before.elapsed;
      this.#samples.push({ at: clock.now(), periodMs, ...difference(now.counts, this.#before.counts) });
      if (this.#samples.length > MOST_SAMPLES) this.#samples.shift();
    }
    this.#before = now;
  }
}

function difference(now: Counts, before: Counts): Omit<Sample, 'at' | 'periodMs'> {
  const calls = total(now, 'calls') - total(before, 'calls');
  const earlier = latencies(before);
  const latency = [...latencies(now)].map(([withinMs, count]) => ({
    withinMs,
    calls: count - (earlier.get(withinMs) ?? 0),
  }));
  return {
    calls,
    failures: total(now, 'failures') - total(before, 'failures'),
    medianMs: quantile(0.5, { calls, latency }),
    p95Ms: quantile(0.95, { calls, latency }),
    restores: now.restores - before.restores,
    failedRestores: now.failedRestores - before.failedRestores,
    mismatches: now.mismatches - before.mismatches,
  };
}

function total({ backends }: Counts, count: 'calls' | 'failures'): number {
  return backends.reduce((sum, each) => sum + each[count], 0);
}

/** Of all backends, by bucket; the buckets of each are the same, the shortest first. */
function latencies({ backends }: Counts): Map<number, number> {
  const sums = new Map<number, number>();
  for (const { latency } of backends)
    for (const { withinMs, calls } of latency) sums.set(withinMs, (sums.get(withinMs) ?? 0) + calls);
  return sums;
}

/** Within its bucket a call counts as evenly spread; beyond the last bucket it is as long as that. */
function quantile(part: number, { calls, latency }: Pick<BackendCallCounts, 'calls' | 'latency'>): number {
  if (calls === 0) return 0;
  const rank = part * calls;
  let lower = { withinMs: 0, calls: 0 };
  for (const bucket of latency) {
    if (bucket.calls >= rank) {
      const inside = (rank - lower.calls) / (bucket.calls - lower.calls);
      return lower.withinMs + inside * (bucket.withinMs - lower.withinMs);
    }
    lower = bucket;
  }
  return lower.withinMs;
}
