import { randomBytes } from 'node:crypto';
import type { RedisAlarms } from './redis-alarms.ts';
import { maxmemoryPolicyOf, primariesOf } from './redis-facts.ts';
import type { RedisLink } from './redis-link.ts';
import { number, text } from './redis-replies.ts';
import { HEADER, script } from './redis-script.ts';

const INTERVAL_MS = 1000;
const MAX_SKEW_MS = 2000;

/** KEYS generation. ARGV a fresh name for it. Answers the time and the generation: another one means that the server was emptied. */
const PULSE = script('allow-oom', [
  HEADER,
  `
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return {int(now_ms()), redis.call('GET', KEYS[1])}
`,
]);

export interface RedisPulseOptions {
  readonly link: RedisLink;
  /** The key whose loss shows that the server was emptied. */
  readonly generation: string;
  /** Whether a server that may evict is refused. */
  readonly mustNotEvict: boolean;
  readonly alarms: RedisAlarms;
  readonly onFlushed: () => void;
  /** At every beat, before anything is asked. */
  readonly beforeBeat: () => Promise<void>;
  /** After every good beat. */
  readonly onBeat: () => Promise<void>;
}

type Verdict = 'unknown' | 'good' | 'refused';

/**
 * Asks Redis once a second, and at every new connection, whether it is there,
 * what time it is, whether it was emptied, and, once a connection, whether it is
 * one that a session can be entrusted to.
 */
export class RedisPulse {
  readonly #options: RedisPulseOptions;
  readonly #timer: NodeJS.Timeout;
  #beating: Promise<void> | undefined;
  #first: (() => void) | undefined;
  #healthy = false;
  #verdict: Verdict = 'unknown';
  #refusal: string | undefined;
  #generation: string | undefined;

  constructor(options: RedisPulseOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#beat(), INTERVAL_MS);
    this.#timer.unref();
  }

  /** Whether the last beat was good. */
  get healthy(): boolean {
    return this.#healthy && this.#verdict !== 'refused';
  }

  /** Whether this server is known not to evict. */
  get trusted(): boolean {
    return this.#verdict === 'good';
  }

  /** Why this server is not used, for people. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** A new connection: perhaps to another server, so nothing is known of it. */
  beat(): void {
    this.#verdict = 'unknown';
    this.#beat();
  }

  /** Resolves after the first beat, or after `withinMs`. */
  first(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      this.#first = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#healthy || this.#refusal !== undefined) this.#first();
    });
  }

  async now(): Promise<number> {
    const { link, generation } = this.#options;
    const fresh = randomBytes(9).toString('base64url');
    const reply = await link.run({ script: PULSE, keys: [generation], args: [fresh] });
    this.#compareGeneration(text(reply, 1));
    return number(reply, 0);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    this.#beating ??= this.#examine()
      .catch(() => {
        // Told by the link already; the next beat tries again.
        this.#healthy = false;
      })
      .finally(() => {
        this.#beating = undefined;
      });
  }

  async #examine(): Promise<void> {
    await this.#options.beforeBeat();
    if (!this.#options.link.connected) {
      this.#healthy = false;
      return;
    }
    if (this.#verdict === 'unknown') await this.#inspect();
    const before = Date.now();
    const now = await this.now();
    this.#compareClocks(before, now);
    this.#healthy = true;
    this.#first?.();
    await this.#options.onBeat();
  }

  async #inspect(): Promise<void> {
    const { link, mustNotEvict, alarms } = this.#options;
    const policies = await link.ask(() => Promise.all(primariesOf(link.client).map(maxmemoryPolicyOf)));
    const evicting = policies.find((policy) => policy !== 'noeviction');
    if (evicting === undefined) {
      this.#verdict = 'good';
      this.#refusal = undefined;
      return;
    }
    const finding = `Redis runs with maxmemory-policy ${evicting}: it may evict sessions. Set it to noeviction.`;
    alarms.raise('eviction_policy', finding);
    this.#verdict = mustNotEvict ? 'refused' : 'good';
    if (mustNotEvict) {
      this.#refusal = `${finding} The durability "replicated" requires it.`;
      this.#first?.();
    }
  }

  #compareGeneration(generation: string): void {
    const flushed = this.#generation !== undefined && this.#generation !== generation;
    this.#generation = generation;
    if (!flushed) return;
    this.#options.alarms.raise('store_flushed', 'Redis was emptied.');
    this.#options.onFlushed();
  }

  #compareClocks(before: number, now: number): void {
    const after = Date.now();
    const skew = Math.max(before - now, now - after);
    if (skew > MAX_SKEW_MS) {
      this.#options.alarms.raise(
        'clock_skew',
        "This machine's clock and Redis's differ by more than two seconds.",
      );
    }
  }
}
