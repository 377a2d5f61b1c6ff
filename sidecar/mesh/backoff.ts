/**
 * When a replica may be tried again: full jitter over a bound that doubles from
 * 100 ms to 30 s. Only an answered exchange resets it: a replica that accepts
 * connections and serves nothing must not be hammered (gRFC A57). While a sidecar
 * has no home at all the bound is 4 s, so that it serves again within 5 s of a
 * replica's return; full jitter and the replicas' own rate spread the fleet.
 */

const FIRST_MS = 100;
const LONGEST_MS = 30_000;
const LONGEST_WITHOUT_HOME_MS = 4_000;

export class Backoff {
  #attempt = 0;
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** The delay before the next attempt, in milliseconds. */
  next({ homeless }: { homeless: boolean }): number {
    const delay = this.#draw(homeless);
    this.#attempt += 1;
    return delay;
  }

  /** The delay that would do now, for an attempt that was put off while there was a home. */
  again(): number {
    return this.#draw(true);
  }

  #draw(homeless: boolean): number {
    const bound = homeless ? LONGEST_WITHOUT_HOME_MS : LONGEST_MS;
    return this.#random() * Math.min(bound, FIRST_MS * 2 ** this.#attempt);
  }

  reset(): void {
    this.#attempt = 0;
  }
}
