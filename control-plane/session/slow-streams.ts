import type { Clock } from '../../shared/clock.ts';
import type { ClientStream } from './client-stream.ts';

interface Waiting {
  readonly stream: ClientStream;
  readonly due: number;
}

/**
 * Turns answers that take long into streams, so that a client that loses its
 * connection can resume. Every exchange waits equally long, so they come due in
 * the order in which they came: one queue and one timer serve them all.
 */
export class SlowStreams {
  readonly #clock: Clock;
  readonly #afterMs: number;
  #queue: Waiting[] = [];
  #stop: (() => void) | undefined;

  constructor(clock: Clock, afterMs: number) {
    this.#clock = clock;
    this.#afterMs = afterMs;
  }

  add(stream: ClientStream): void {
    this.#queue.push({ stream, due: this.#clock.now() + this.#afterMs });
    this.#stop ??= this.#clock.after(this.#afterMs, () => this.#look());
  }

  #look(): void {
    this.#stop = undefined;
    const now = this.#clock.now();
    const waiting = this.#queue.findIndex(({ stream, due }) => due > now && !stream.done);
    const due = this.#queue.slice(0, waiting < 0 ? undefined : waiting);
    this.#queue = waiting < 0 ? [] : this.#queue.slice(waiting);
    for (const { stream } of due) if (stream.attached) stream.start();
    const next = this.#queue[0];
    if (next !== undefined) this.#stop = this.#clock.after(Math.max(1, next.due - now), () => this.#look());
  }
}
