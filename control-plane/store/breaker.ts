/**
 * Keeps calls away from a server that has stopped answering. Only unanswered
 * calls count: a refusal is an answer.
 *
 *   closed --failures in a row--> open --after a while, one call--> probing
 *   probing --answered--> closed, --unanswered--> open
 */
type State =
  | { readonly kind: 'closed'; readonly failures: number }
  | { readonly kind: 'open'; readonly until: number }
  | { readonly kind: 'probing' };

export interface BreakerOptions {
  /** Unanswered calls in a row that open it. */
  readonly failures: number;
  /** How long it stays open before one call may probe. */
  readonly openMs: number;
  /** Monotonic, in milliseconds. */
  readonly clock: () => number;
}

export class Breaker {
  readonly #options: BreakerOptions;
  #state: State = { kind: 'closed', failures: 0 };

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  get closed(): boolean {
    return this.#state.kind === 'closed';
  }

  /** Whether a call may be made now. True claims the probe, if one is due. */
  admit(): boolean {
    if (this.#state.kind === 'closed') return true;
    if (this.#state.kind === 'probing' || this.#options.clock() < this.#state.until) return false;
    this.#state = { kind: 'probing' };
    return true;
  }

  /** Reports the end of a call that was admitted. */
  settle(answered: boolean): void {
    if (answered) {
      this.#state = { kind: 'closed', failures: 0 };
      return;
    }
    const failures = this.#state.kind === 'closed' ? this.#state.failures + 1 : this.#options.failures;
    this.#state =
      failures < this.#options.failures
        ? { kind: 'closed', failures }
        : { kind: 'open', until: this.#options.clock() + this.#options.openMs };
  }
}
