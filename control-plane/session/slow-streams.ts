import { ChurningMap } from '../../shared/churning.ts';
import type { Clock } from '../../shared/clock.ts';
import type { ClientStream } from './client-stream.ts';

/**
 * Turns answers that take long into streams, so that a client that loses its
 * connection can resume. Every exchange waits equally long, so they come due in
 * the order in which they came: one queue and one timer serve them all.
 */
export class SlowStreams {
  readonly #clock: Clock;
  readonly #afterMs: number;
  /** When each comes due, the first first. */
  readonly #waiting = new ChurningMap<ClientStream, number>();
  #stop: (() => void) | undefined;

  constructor(clock: Clock, afterMs: number) {
    this.#clock = clock;
    this.#afterMs = afterMs;
  }

  add(stream: ClientStream): void {
    this.#waiting.set(stream, this.#clock.now() + this.#afterMs);
    this.#stop ??= this.#clock.after(this.#afterMs, () => this.#look());
  }

  /** It is done. Kept until it would have been slow, all that a call was made of would grow old with it. */
  forget(stream: ClientStream): void {
    this.#waiting.delete(stream);
  }

  #look(): void {
    this.#stop = undefined;
    const now = this.#clock.now();
    for (const [stream, due] of this.#waiting) {
      if (due > now) {
        this.#stop = this.#clock.after(Math.max(1, due - now), () => this.#look());
        return;
      }
      if (this.#waiting.delete(stream) && stream.attached) stream.start();
    }
  }
}
