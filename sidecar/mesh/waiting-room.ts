import type { ClientExchange } from './client-exchange.ts';

/**
 * Exchanges that wait for a home stream, in their order, each for the same time:
 * one timer for the first of them serves all.
 */
export class WaitingRoom {
  readonly #patienceMs: number;
  readonly #giveUp: (exchange: ClientExchange) => void;
  readonly #waiting = new Set<ClientExchange>();
  #timer: NodeJS.Timeout | undefined;

  constructor(patienceMs: number, giveUp: (exchange: ClientExchange) => void) {
    this.#patienceMs = patienceMs;
    this.#giveUp = giveUp;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** `again`: it was on a stream before, and is not sent away by `dismiss`. */
  enter(exchange: ClientExchange, { again }: { again: boolean }): void {
    exchange.again = again;
    exchange.waitsUntil = performance.now() + this.#patienceMs;
    this.#waiting.add(exchange);
    this.#arm();
  }

  leave(exchange: ClientExchange): void {
    this.#waiting.delete(exchange);
  }

  /** Takes everybody out, first come first. */
  empty(): ClientExchange[] {
    const all = [...this.#waiting];
    this.#waiting.clear();
    this.#disarm();
    return all;
  }

  /** Nobody can be reached: those that never had a stream need not wait. */
  dismiss(): void {
    for (const exchange of [...this.#waiting]) {
      if (exchange.again) continue;
      this.#waiting.delete(exchange);
      this.#giveUp(exchange);
    }
  }

  close(): void {
    for (const exchange of this.empty()) this.#giveUp(exchange);
  }

  #arm(): void {
    if (this.#timer !== undefined) return;
    for (const { waitsUntil } of this.#waiting) {
      this.#timer = setTimeout(() => this.#expire(), Math.max(0, waitsUntil - performance.now()) + 1);
      return;
    }
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #expire(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const exchange of [...this.#waiting]) {
      if (exchange.waitsUntil > now) break;
      this.#waiting.delete(exchange);
      this.#giveUp(exchange);
    }
    this.#arm();
  }
}
