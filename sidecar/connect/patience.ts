import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff } from '../mesh/backoff.ts';

/**
 * How long a request is tried, and what must be told before it: together a little
 * less than the 60 s after which clients give up, for they are to hear why.
 */
export const REQUEST_MS = 50_000;
export const NOTICE_MS = 8_000;

/** How long something is tried again, and when. */
export class Patience {
  readonly #signal: AbortSignal;
  readonly #lastsMs: number;
  #backoff = new Backoff();
  #endsAt: number;

  constructor(lastsMs: number, signal: AbortSignal) {
    this.#lastsMs = lastsMs;
    this.#signal = signal;
    this.#endsAt = performance.now() + lastsMs;
  }

  /** Waits until the next attempt, at least `ms`. False, at once, where that would be too late. Rejects when the signal says so. */
  async wait(ms = 0): Promise<boolean> {
    const delay = Math.max(ms, this.#backoff.next({ homeless: true }));
    if (performance.now() + delay > this.#endsAt) return false;
    await sleep(delay, undefined, { signal: this.#signal });
    return true;
  }

  /** It worked: what fails from here on is new. */
  restore(): void {
    this.#backoff = new Backoff();
    this.#endsAt = performance.now() + this.#lastsMs;
  }
}
