/**
 * When a replica may be tried again: full jitter over a bound that doubles from
 * 100 ms to 30 s. Only an answered exchange resets it: a replica that accepts
 * connections and serves nothing must not be hammered (gRFC A57).
 */

const FIRST_MS = 100;
const LONGEST_MS = 30_000;

export class Backoff {
  #attempt = 0;
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** The delay before the next attempt, in milliseconds; not shorter than what the peer asked for. */
  next(askedMs = 0): number {
    const bound = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#attempt);
    this.#attempt += 1;
    return askedMs + this.#random() * bound;
  }

  reset(): void {
    this.#attempt = 0;
  }
}
