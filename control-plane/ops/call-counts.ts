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

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Partial<Record<string, string | number>>>;
  readonly value: number;
}

/** Reads them out of the metrics, which count each of them already. */
export async function readCallCounts({
  backendCalls,
  restores,
}: Pick<Metrics, 'backendCalls' | 'restores'>): Promise<CallCounts> {
  const [calls, taken] = await Promise.all([backendCalls.get(), restores.get()]);
  const names = new Set(calls.values.map(({ labels }) => String(labels.backend)));
  const ended = countsIn(taken.values);
  const restored = (...results: string[]) =>
    sum(ended.filter(({ labels }) => results.includes(String(labels['result']))));
  return {
    backends: [...names].sort().map((backend) =>
      backendCounts(
        backend,
        calls.values.filter(({ labels }) => labels.backend === backend),
      ),
    ),
    restores: restored('ok'),
    failedRestores: restored('busy', 'unavailable', 'corrupt'),
  };
}

function backendCounts(backend: string, samples: readonly Sample[]): BackendCallCounts {
  const counts = countsIn(samples);
  const buckets = new Map<number, number>();
  for (const { metricName, labels, value } of samples) {
    const seconds = Number(labels['le']);
    if (metricName?.endsWith('_bucket') !== true || !Number.isFinite(seconds)) continue;
    buckets.set(seconds, (buckets.get(seconds) ?? 0) + value);
  }
  return {
    backend,
    calls: sum(counts),
    failures: sum(counts.filter(({ labels }) => labels['outcome'] !== 'ok')),
    latency: [...buckets]
      .sort(([one], [other]) => one - other)
      .map(([seconds, calls]) => ({ withinMs: seconds * 1_000, calls })),
  };
}

function countsIn(samples: readonly Sample[]): Sample[] {
  return samples.filter(({ metricName }) => metricName?.endsWith('_count') === true);
}

function sum(samples: readonly Sample[]): number {
  return samples.reduce((total, { value }) => total + value, 0);
}
