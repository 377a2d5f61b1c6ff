import type { Clock } from '../../shared/clock.ts';
import type { LiveSession } from './live-session.ts';

/** So often in the time of a lease it is looked which of them end soon. */
const STEPS = 20;
/** A lease ends soon when this share of it is left: time for the store to answer, even where a step comes late. */
const SOON = 4 / STEPS;

/**
 * Renews the leases of sessions in use before they end, so that no request waits for
 * that: those that fall due within one step at once, for the store to take them together,
 * and each once, however many requests there were. What is not used is not renewed.
 */
export class LeaseRenewals {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  /** Under their present leases. */
  readonly #used = new Set<LiveSession>();
  #stopWaiting: (() => void) | undefined;

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  /** A request was served under the session's lease. */
  used(session: LiveSession): void {
    this.#used.add(session);
    this.#stopWaiting ??= this.#clock.after(this.#leaseMs / STEPS, () => this.#step());
  }

  stop(): void {
    this.#stopWaiting?.();
    this.#used.clear();
  }

  #step(): void {
    this.#stopWaiting = undefined;
    const soon = this.#clock.elapsed() + this.#leaseMs * SOON;
    for (const session of this.#used) {
      if (session.leaseUntil > soon) continue;
      this.#used.delete(session);
      // A store that cannot be asked now is asked again by the next request.
      if (session.state === 'live') void session.touch().catch(() => {});
    }
    if (this.#used.size > 0) this.#stopWaiting = this.#clock.after(this.#leaseMs / STEPS, () => this.#step());
  }
}
