import type { Clock } from '../../shared/clock.ts';

export interface BucketRate {
  readonly perMinute: number;
  readonly burst: number;
}

const MOST_KEYS = 10_000;

/** One token bucket per key, in this replica's memory. Full buckets are forgotten, so the map stays small. */
export class TokenBuckets {
  readonly #rate: BucketRate;
  readonly #clock: Clock;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(rate: BucketRate, clock: Clock) {
    this.#rate = rate;
    this.#clock = clock;
  }

  /** Takes one token: 0, or the milliseconds until there is one again. */
  take(key: string): number {
    const now = this.#clock.now();
    const { perMinute, burst } = this.#rate;
    const perMs = perMinute / 60_000;
    const bucket = this.#buckets.get(key) ?? { tokens: burst, at: now };
    // A clock that is set back takes nothing away.
    const tokens = Math.min(burst, bucket.tokens + Math.max(0, now - bucket.at) * perMs);
    this.#buckets.delete(key);
    if (this.#buckets.size >= MOST_KEYS) this.#forgetOldest();
    this.#buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now });
    return tokens >= 1 ? 0 : Math.ceil((1 - tokens) / perMs);
  }

  #forgetOldest(): void {
    const oldest = this.#buckets.keys().next();
    if (!oldest.done) this.#buckets.delete(oldest.value);
  }
}
