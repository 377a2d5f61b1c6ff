import type { ReplicaHistory, SampleView } from '../wire.ts';
import { milliseconds } from './format.ts';

/** What all replicas did in one slot of time. */
export interface Slot {
  /** Its end, in milliseconds since 1970. */
  readonly at: number;
  /** Calls a second; undefined where nothing is known of it. */
  readonly calls: number | undefined;
  readonly failures: number | undefined;
  /** Milliseconds, of the slowest replica; undefined without calls. */
  readonly median: number | undefined;
  readonly p95: number | undefined;
  /** Counts. */
  readonly restores: number;
  readonly failedRestores: number;
  readonly mismatches: number;
}

export const SLOT_MS = 10_000;
const SLOTS = 90;
/** Replicas' clocks differ by less, and late samples are not missed. */
const OVERLAP_MS = 30_000;

/** The samples of all replicas in the last quarter of an hour. */
export class Samples {
  readonly #replicas = new Map<string, Map<number, SampleView>>();
  #newest = 0;

  /** From when on to ask. */
  get since(): number {
    return Math.max(0, Math.floor(this.#newest - OVERLAP_MS));
  }

  add(history: readonly ReplicaHistory[], now: number): void {
    for (const { replica, samples } of history) {
      const known = this.#replicas.get(replica) ?? new Map<number, SampleView>();
      this.#replicas.set(replica, known);
      for (const sample of samples) {
        const at = milliseconds(sample.time) ?? 0;
        known.set(at, sample);
        this.#newest = Math.max(this.#newest, at);
      }
    }
    for (const [replica, known] of this.#replicas) {
      for (const at of known.keys()) if (at < now - (SLOTS + 3) * SLOT_MS) known.delete(at);
      if (known.size === 0) this.#replicas.delete(replica);
    }
  }

  clear(): void {
    this.#replicas.clear();
    this.#newest = 0;
  }

  /** The oldest first; the last one is under way. */
  slots(now: number): readonly Slot[] {
    const last = Math.ceil(now / SLOT_MS) * SLOT_MS;
    const byEnd = new Map<number, SampleView[][]>();
    for (const known of this.#replicas.values()) {
      const mine = new Map<number, SampleView[]>();
      for (const [at, sample] of known) {
        const end = Math.ceil(at / SLOT_MS) * SLOT_MS;
        mine.set(end, [...(mine.get(end) ?? []), sample]);
      }
      for (const [end, samples] of mine) byEnd.set(end, [...(byEnd.get(end) ?? []), samples]);
    }
    return Array.from({ length: SLOTS }, (_, index) => {
      const at = last - (SLOTS - 1 - index) * SLOT_MS;
      const told = byEnd.get(at) ?? [];
      const before = byEnd.get(at - SLOT_MS) ?? [];
      // A rate without those that have not told theirs yet would look like a slump.
      const early = at === last && told.length < before.length;
      return { ...slot(at, told), ...(early ? { calls: undefined, failures: undefined } : {}) };
    });
  }
}

function slot(at: number, replicas: readonly (readonly SampleView[])[]): Slot {
  const all = replicas.flat();
  const slowest = (read: (sample: SampleView) => number | undefined) => {
    const times = all.filter(({ calls }) => calls > 0).map((sample) => read(sample) ?? 0);
    return times.length === 0 ? undefined : Math.max(...times);
  };
  const known = all.length > 0;
  return {
    at,
    calls: known ? sum(replicas.map((samples) => rate(samples, 'calls'))) : undefined,
    failures: known ? sum(replicas.map((samples) => rate(samples, 'failures'))) : undefined,
    median: slowest(({ median }) => milliseconds(median)),
    p95: slowest(({ p95 }) => milliseconds(p95)),
    restores: sum(all.map(({ restores }) => restores)),
    failedRestores: sum(all.map(({ failedRestores }) => failedRestores)),
    mismatches: sum(all.map(({ bindingMismatches }) => bindingMismatches)),
  };
}

/** A second, of one replica: by what its samples cover, which is not quite the slot. */
function rate(samples: readonly SampleView[], count: 'calls' | 'failures'): number {
  const seconds = sum(samples.map(({ period }) => (milliseconds(period) ?? 0) / 1_000));
  return seconds === 0 ? 0 : sum(samples.map((sample) => sample[count])) / seconds;
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
