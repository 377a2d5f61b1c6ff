import type { Clock } from '../../shared/clock.ts';
import type { Caller } from '../identity/caller.ts';

/** Read anew each time: configuration may change them. */
export interface GateRules {
  /** What may be under way at once. */
  readonly atOnce: number;
  /** What may begin in a second, after as many at once; Infinity: no bound. */
  readonly perSecond: number;
  /** How many may wait for their turn. */
  readonly queue: number;
  /** How long each may wait, in milliseconds. */
  readonly waitMs: number;
}

export interface GateOptions {
  readonly rules: GateRules;
  readonly clock: Clock;
  /** For whoever finds the queue full, or has waited long enough. */
  readonly refuse: () => Error;
}

interface Waiter {
  readonly admit: () => void;
  readonly refuse: () => void;
}

/**
 * Bounds work that comes in herds: how much of it is under way, and how fast it
 * begins. Where there is room, work begins in the same turn. What waits is taken in
 * turns, one of each party: whoever has much to do holds up nobody else, nor has the
 * queue for itself.
 */
export class FairGate {
  readonly #options: GateOptions;
  /** By party, first come first; the party whose turn it is comes first. */
  readonly #parties = new Map<string, Set<Waiter>>();
  #waiting = 0;
  #running = 0;
  #tokens: number;
  #refilledAt: number;
  #stopTimer: (() => void) | undefined;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#tokens = options.rules.perSecond;
    this.#refilledAt = options.clock.elapsed();
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting;
  }

  /** How many are under way. */
  get running(): number {
    return this.#running;
  }

  /** Does the work in its turn. Rejects as the work does, with the refusal, or with the signal's reason while it waits. */
  async run<Result>(
    party: string,
    work: () => Promise<Result>,
    signal?: AbortSignal | undefined,
  ): Promise<Result> {
    if (this.#waiting > 0 || !this.#enter()) await this.#turn(party, signal);
    try {
      return await work();
    } finally {
      this.#running -= 1;
      this.#advance();
    }
  }

  /** Takes a place, where there is one. */
  #enter(): boolean {
    const { atOnce, perSecond } = this.#options.rules;
    if (this.#running >= atOnce) return false;
    if (perSecond !== Number.POSITIVE_INFINITY) {
      this.#refill(perSecond);
      if (this.#tokens < 1) return false;
      this.#tokens -= 1;
    }
    this.#running += 1;
    return true;
  }

  #refill(perSecond: number): void {
    const now = this.#options.clock.elapsed();
    this.#tokens = Math.min(perSecond, this.#tokens + ((now - this.#refilledAt) / 1_000) * perSecond);
    this.#refilledAt = now;
  }

  #turn(party: string, signal: AbortSignal | undefined): Promise<void> {
    const { rules, clock, refuse } = this.#options;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (this.#waiting >= rules.queue && !this.#makeRoom(party)) return Promise.reject(refuse());
    return new Promise<void>((resolve, reject) => {
      const over = () => {
        stop();
        signal?.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter = {
        admit() {
          over();
          resolve();
        },
        refuse: () => giveUp(refuse()),
      };
      const giveUp = (why: unknown) => {
        this.#leave(party, waiter);
        over();
        reject(why);
      };
      const onAbort = () => giveUp(signal?.reason);
      const stop = clock.after(rules.waitMs, () => giveUp(refuse()));
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#join(party, waiter);
      this.#advance();
    });
  }

  /** In a full queue the party that waits most often gives up the place that it took last; not to one that has as many. */
  #makeRoom(party: string): boolean {
    const own = this.#parties.get(party)?.size ?? 0;
    const [first = new Set<Waiter>(), ...others] = this.#parties.values();
    const most = others.reduce((a, b) => (b.size > a.size ? b : a), first);
    if (most.size <= own + 1) return false;
    [...most].at(-1)?.refuse();
    return true;
  }

  #join(party: string, waiter: Waiter): void {
    const waiters = this.#parties.get(party) ?? new Set();
    this.#parties.set(party, waiters.add(waiter));
    this.#waiting += 1;
  }

  #leave(party: string, waiter: Waiter): void {
    const waiters = this.#parties.get(party);
    if (waiters?.delete(waiter) !== true) return;
    this.#waiting -= 1;
    if (waiters.size === 0) this.#parties.delete(party);
  }

  #advance(): void {
    while (this.#waiting > 0 && this.#enter()) this.#next()?.admit();
    if (this.#waiting === 0 || this.#stopTimer !== undefined) return;
    const { atOnce, perSecond } = this.#options.rules;
    // Whoever ends lets the next one in; only the rate needs a clock.
    if (this.#running >= atOnce) return;
    const untilMs = Math.max(1, Math.ceil(((1 - this.#tokens) * 1_000) / perSecond));
    this.#stopTimer = this.#options.clock.after(untilMs, () => {
      this.#stopTimer = undefined;
      this.#advance();
    });
  }

  #next(): Waiter | undefined {
    for (const [party, waiters] of this.#parties) {
      this.#parties.delete(party);
      for (const waiter of waiters) {
        waiters.delete(waiter);
        this.#waiting -= 1;
        if (waiters.size > 0) this.#parties.set(party, waiters);
        return waiter;
      }
    }
    return undefined;
  }
}

/** Who takes turns with whom: principals, and the sidecars of those that show none. */
export function partyOf(caller: Caller): string {
  return caller.kind === 'anonymous' ? `node ${caller.node}` : caller.bindingKey;
}
