const SETTLED_MS = 10_000;
const FORGOTTEN_MS = 60_000;
/** A crash or two happen; a program that keeps ending early is broken. */
const FREE_FAILURES = 2;
const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 30_000;

/** How soon a program that keeps ending may be started again. */
export class Restarts {
  #failures = 0;
  #lastFailure = 0;

  /** A child ended, or was given up, that was started then (in milliseconds of `performance.now()`). */
  ended(startedAt: number): void {
    const now = performance.now();
    const early = now - startedAt < SETTLED_MS;
    if (!early || now - this.#lastFailure > FORGOTTEN_MS) this.#failures = 0;
    if (!early) return;
    this.#failures += 1;
    this.#lastFailure = now;
  }

  /** Milliseconds until the next start; 0 when it may be now. */
  get waitMs(): number {
    const over = this.#failures - FREE_FAILURES;
    if (over <= 0) return 0;
    const backoff = Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(over - 1, 16), LONGEST_BACKOFF_MS);
    return Math.max(Math.ceil(this.#lastFailure + backoff - performance.now()), 0);
  }
}
