import { ChurningSet } from '../../shared/churning.ts';
import { BackendFault } from './backend.ts';

/** A call that is begun when there is room for it. `begin` must not throw: a call that cannot be sent ends by itself. */
export interface SlottedCall {
  begin(): void;
}

export interface SlotLimits {
  /** Calls under way at once. */
  readonly concurrency: number;
  /** Calls that may wait for their turn. */
  readonly queue: number;
}

/**
 * How many calls one backend has at once, for connectors whose calls do not each
 * hold a connection. The first come is the first begun; a call that waits is
 * bounded by its own deadline.
 */
export class CallSlots {
  readonly #limits: SlotLimits;
  readonly #running = new ChurningSet<SlottedCall>();
  readonly #waiting = new ChurningSet<SlottedCall>();
  #advancing = false;

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  /** Begins it now or when its turn comes; `leave` must follow. Throws BackendFault `busy` when no more may wait. */
  enter(call: SlottedCall): void {
    if (this.#running.size < this.#limits.concurrency) {
      this.#running.add(call);
      call.begin();
    } else if (this.#waiting.size < this.#limits.queue) this.#waiting.add(call);
    else throw new BackendFault('busy', 'Too many calls wait for the backend.', { executed: 'no' });
  }

  /** It is over, begun or not. Harmless for a call that never entered. */
  leave(call: SlottedCall): void {
    if (this.#waiting.delete(call) || !this.#running.delete(call)) return;
    // A call that ends as it begins leaves from within this loop.
    if (this.#advancing) return;
    this.#advancing = true;
    for (const next of this.#waiting) {
      if (this.#running.size >= this.#limits.concurrency) break;
      this.#waiting.delete(next);
      this.#running.add(next);
      next.begin();
    }
    this.#advancing = false;
  }
}
