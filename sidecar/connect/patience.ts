import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff } from '../mesh/backoff.ts';

/** A little less than the 60 s after which clients give up: they are to hear why. */
const PATIENCE_MS = 55_000;

/** How long something is tried again, and when. */
export class Patience {
  readonly #signal: AbortSignal;
  #backoff = new Backoff();
  #endsAt = performance.now() + PATIENCE_MS;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
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
    this.#endsAt = performance.now() + PATIENCE_MS;
  }
}
