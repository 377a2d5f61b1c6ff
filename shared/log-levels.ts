import type { Clock } from './clock.ts';
import type { LogLevel, RootLogger } from './log.ts';

/**
 * How much a running program says: what its configuration asks for, or for a time
 * what an admin asks for instead. The last word counts: a configuration with another
 * level ends an admin's.
 */
export class LogLevels {
  readonly #log: RootLogger;
  readonly #clock: Clock;
  #configured: LogLevel;
  #level: LogLevel;
  #endsAt: number | undefined;
  #cancel = () => {};

  constructor(log: RootLogger, options: { readonly configured: LogLevel; readonly clock: Clock }) {
    this.#log = log;
    this.#clock = options.clock;
    this.#configured = this.#level = options.configured;
  }

  get configured(): LogLevel {
    return this.#configured;
  }

  get current(): LogLevel {
    return this.#level;
  }

  /** When the configured level counts again, in milliseconds since the epoch; undefined where no end was set. */
  get endsAt(): number | undefined {
    return this.#endsAt;
  }

  /** What the configuration says now. */
  follow(configured: LogLevel): void {
    if (configured === this.#configured) return;
    this.#configured = configured;
    this.#set(configured);
  }

  /** Another level, `forMs` long; without an end, until the configuration says another one. */
  override(level: LogLevel, forMs: number | undefined): void {
    this.#set(level);
    if (forMs === undefined) return;
    this.#endsAt = this.#clock.now() + forMs;
    this.#cancel = this.#clock.after(forMs, () => this.restore());
  }

  /** Back to what is configured. */
  restore(): void {
    this.#set(this.#configured);
  }

  #set(level: LogLevel): void {
    this.#cancel();
    this.#cancel = () => {};
    this.#endsAt = undefined;
    this.#level = level;
    this.#log.setLevel(level);
  }
}
