import type { Metrics } from './metrics.ts';

/** What became of calls and restores since this replica started. */
export interface CallCounts {
  readonly backends: readonly BackendCallCounts[];
  readonly restores: number;
  readonly failedRestores: number;
}

export interface BackendCallCounts {
  readonly backend: string;
  readonly calls: number;
  readonly failures: number;
  /** How many took at most so long, cumulative, shortest first. */
  readonly latency: readonly { readonly withinMs: number; readonly calls: number }[];
}

/** Reads them out of the metrics, which count each of them already. */
export async function readCallCounts({
  backendCalls,
  restores,
}: Pick<Metrics, 'backendCalls' | 'restores'>): Promise<CallCounts> {
  const counts = [...backendCalls.counts()];
  const names = new Set(counts.map(({ values }) => values.backend));
  const { values: taken } = await restores.get();
  const ended = taken.filter(({ metricName }) => metricName?.endsWith('_count') === true);
  const restored = (...results: string[]) =>
    sum(ended.filter(({ labels }) => results.includes(String(labels.result))).map(({ value }) => value));
  return {
    backends: [...names].sort().map((backend) => {
      const own = counts.filter(({ values }) => values.backend === backend);
      const failed = own.filter(({ values }) => values.outcome !== 'ok');
      const upTo = (place: number) => sum(own.flatMap(({ buckets }) => buckets.slice(0, place + 1)));
      return {
        backend,
        calls: sum(own.flatMap(({ buckets }) => buckets)),
        failures: sum(failed.flatMap(({ buckets }) => buckets)),
        latency: backendCalls.bounds.map((seconds, at) => ({ withinMs: seconds * 1_000, calls: upTo(at) })),
      };
    }),
    restores: restored('ok'),
    failedRestores: restored('busy', 'unavailable', 'corrupt'),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
