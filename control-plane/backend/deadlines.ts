import { ChurningSet } from '../../shared/churning.ts';
/** Something that ends by itself at a time. */
export interface Watched {
  /** When, in milliseconds of `performance.now()`. May be moved while it is watched. */
  dueAt: number;
  /** Called once, up to `TICK_MS` late; it is not watched any more then. */
  expire(): void;
}

const TICK_MS = 50;

/**
 * Deadlines of many short things on one timer. A timer of its own for each call
 * costs more than the rest of the call's bookkeeping, and almost none ever fires:
 * here a call is one entry in a set, and moving its deadline is an assignment.
 * The timer runs only while something is watched and never keeps the process alive.
 */
export class Deadlines {
  readonly #watched = new ChurningSet<Watched>();
  #timer: NodeJS.Timeout | undefined;

  watch(watched: Watched): void {
    this.#watched.add(watched);
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  forget(watched: Watched): void {
    this.#watched.delete(watched);
  }

  /** Watches nothing any more; nothing expires. */
  clear(): void {
    this.#watched.clear();
    this.#tick();
  }

  #tick(): void {
    if (this.#watched.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    const now = performance.now();
    for (const watched of this.#watched) {
      if (watched.dueAt <= now && this.#watched.delete(watched)) watched.expire();
    }
  }
}
