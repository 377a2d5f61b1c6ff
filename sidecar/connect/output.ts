import type { Writable } from 'node:stream';
import { toLine } from './framing.ts';

/**
 * Where messages for the client go. Nothing is dropped: while the client does not
 * read, whoever writes is to wait for `drained` before it fetches more, so that
 * what waits is bounded by what was already on its way.
 */
export class Output {
  readonly #stream: Writable;
  #waiting: (() => void)[] = [];
  #closed = false;

  constructor(stream: Writable, onClosed: () => void) {
    this.#stream = stream;
    stream.on('drain', () => this.#release());
    const closed = () => {
      if (this.#closed) return;
      this.#closed = true;
      this.#release();
      onClosed();
    };
    stream.on('error', closed);
    stream.on('close', closed);
  }

  /** Whether the client is behind with reading. */
  get full(): boolean {
    return !this.#closed && this.#stream.writableNeedDrain;
  }

  write(message: Uint8Array | readonly Uint8Array[]): void {
    if (this.#closed) return;
    this.#stream.write(toLine(message instanceof Uint8Array ? message : Buffer.concat(message)));
  }

  /** Resolves when the client has caught up, or is gone. */
  async drained(): Promise<void> {
    while (this.full) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
