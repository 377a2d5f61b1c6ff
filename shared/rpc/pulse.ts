/**
 * The heartbeat of one mesh stream, on one timer that runs only while an exchange
 * is open. Says when to send an empty message, and when the peer's silence means
 * that the stream is lost. A frozen process, a dead node and a path that swallows
 * packets send no reset; only silence tells.
 */

export interface PulseTimes {
  /** Something is sent at least this often, in milliseconds. */
  readonly beatMs: number;
  /** Nothing for longer than this is a lost stream, in milliseconds. */
  readonly silenceMs: number;
}

export const PULSE: PulseTimes = { beatMs: 1_000, silenceMs: 3_000 };

export interface PulseOptions extends PulseTimes {
  /** Sends an empty message. */
  beat(): void;
  /** The peer was silent for too long. */
  silent(): void;
  /** Each tick while an exchange is open, a few times per beat; `now` is monotonic, in milliseconds. */
  tick(now: number): void;
  /** Whether an exchange is open. */
  busy(): boolean;
}

/** Ticks per beat: how much later than due a beat or a silence may be noticed. */
const RESOLUTION = 4;

export class Pulse {
  readonly #options: PulseOptions;
  readonly #tickMs: number;
  #timer: NodeJS.Timeout | undefined;
  #heard = false;
  #spoke = false;
  #heardAt = 0;
  #spokeAt = 0;
  #tickedAt = 0;

  constructor(options: PulseOptions) {
    this.#options = options;
    this.#tickMs = options.beatMs / RESOLUTION;
  }

  /** A message came. */
  heard(): void {
    this.#heard = true;
  }

  /** A message was sent. */
  spoke(): void {
    this.#spoke = true;
  }

  /** An exchange was opened. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#heardAt = this.#spokeAt = this.#tickedAt = performance.now();
    this.#timer = setInterval(() => this.#tick(), this.#tickMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    if (!this.#options.busy()) return this.stop();
    const now = performance.now();
    // After a pause of our own (a frozen process, a long collection) what the peer
    // sent meanwhile is still unread: its silence is counted from now.
    const paused = now - this.#tickedAt > this.#options.silenceMs / 2 + this.#tickMs;
    this.#tickedAt = now;
    if (this.#heard || paused) this.#heardAt = now;
    if (this.#spoke) this.#spokeAt = now;
    this.#heard = this.#spoke = false;
    if (now - this.#heardAt > this.#options.silenceMs) return this.#options.silent();
    if (now - this.#spokeAt >= this.#options.beatMs - this.#tickMs) this.#options.beat();
    this.#options.tick(now);
  }
}
