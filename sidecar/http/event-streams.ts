import type { EventStream } from './event-stream.ts';

/**
 * The open event streams of an edge. One timer writes a comment to all of them, so
 * that no proxy or client takes a quiet stream for a dead one; it runs only while
 * there are streams.
 */
export class EventStreams {
  readonly #streams = new Set<EventStream>();
  readonly #keepAliveMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** Streams whose reader was too slow. */
  cut = 0;

  constructor(keepAliveMs: number) {
    this.#keepAliveMs = keepAliveMs;
  }

  get size(): number {
    return this.#streams.size;
  }

  add(stream: EventStream): void {
    this.#streams.add(stream);
    this.#timer ??= setInterval(() => this.#keepAlive(), this.#keepAliveMs);
  }

  delete(stream: EventStream): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #keepAlive(): void {
    for (const stream of this.#streams) stream.keepAlive();
  }
}
