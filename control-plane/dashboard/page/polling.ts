export interface PollOptions {
  /** Never called while it runs. */
  readonly poll: () => Promise<void>;
  readonly everyMs: number;
}

const MOST_WAIT_MS = 60_000;

/** Asks again and again, one question at a time, more rarely while it fails, and not while nobody looks. */
export class Polling {
  readonly #options: PollOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;
  #again = false;
  #on = false;
  #failures = 0;

  constructor(options: PollOptions) {
    this.#options = options;
    document.addEventListener('visibilitychange', () => {
      if (this.#on && !document.hidden) this.now();
      else clearTimeout(this.#timer);
    });
  }

  start(): void {
    this.#on = true;
    this.now();
  }

  stop(): void {
    this.#on = false;
    clearTimeout(this.#timer);
  }

  /** At once, also while it is stopped. */
  now(): void {
    if (this.#running) this.#again = true;
    else void this.#run();
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer);
    this.#running = true;
    try {
      await this.#options.poll();
      this.#failures = 0;
    } catch {
      // Whoever polls has said why.
      this.#failures += 1;
    }
    this.#running = false;
    if (this.#again) {
      this.#again = false;
      void this.#run();
    } else if (this.#on && !document.hidden) {
      const wait = Math.min(MOST_WAIT_MS, this.#options.everyMs * 2 ** Math.min(this.#failures, 4));
      this.#timer = setTimeout(() => this.now(), wait);
    }
  }
}
