import type { ServerResponse } from 'node:http';
import { KEEP_ALIVE } from '../../shared/sse/writer.ts';
import type { EdgeState } from './edge-state.ts';

/** Beyond this many unread bytes the sender is asked to hold. */
const HOLD_BYTES = 256 * 1024;
/** What may still arrive after that, in bytes; a stream that gets more is cut. */
const OVERRUN_BYTES = 768 * 1024;

const HEADERS = [
  'Content-Type',
  'text/event-stream',
  'Cache-Control',
  'no-cache, no-transform',
  'X-Accel-Buffering',
  'no',
];

/**
 * One answer as an event stream. A slow reader costs a bounded buffer and nobody
 * else's speed: above 256 KiB unread the sender is asked to hold, and a reader that
 * takes nothing for the stall time, or whose sender does not hold, is cut. The call
 * behind a cut stream goes on, as it does for any client that leaves.
 */
export class EventStream {
  readonly #response: ServerResponse;
  readonly #edge: EdgeState;
  readonly #drained: () => void;
  #unread = 0;
  #held = false;
  #overrun = 0;

  /** `drained` is called when the reader has caught up after `send` returned false. */
  constructor(response: ServerResponse, edge: EdgeState, drained: () => void) {
    this.#response = response;
    this.#edge = edge;
    this.#drained = drained;
    edge.streams.add(this);
    response.on('close', () => {
      edge.streams.delete(this);
      this.#count(0);
    });
    response.on('drain', () => this.#onDrain());
    // Node counts what the kernel took since: this fires without any progress alone.
    response.setTimeout(edge.limits.stallMs, () => {
      if (response.writableLength > 0) this.#cut();
    });
    // The head leaves with what this turn of the event loop still brings, or alone.
    response.cork();
    response.writeHead(200, HEADERS);
    response.flushHeaders();
    process.nextTick(() => response.uncork());
  }

  /** False when the sender is to hold until `drained`. */
  send(pieces: readonly Uint8Array[]): boolean {
    const response = this.#response;
    if (response.destroyed) return false;
    const frame = Buffer.concat(pieces);
    if (this.#held) this.#overrun += frame.length;
    if (this.#overrun > OVERRUN_BYTES) {
      this.#cut();
      return false;
    }
    response.write(frame);
    // Below Node's own mark no drain is announced, and what waits leaves with this turn.
    this.#count(response.writableNeedDrain ? response.writableLength : 0);
    this.#held ||= this.#unread > HOLD_BYTES || (this.#edge.buffers.full && this.#unread > 0);
    return !this.#held;
  }

  /** A stream with something unread needs no comment, and must not look busy because of one. */
  keepAlive(): void {
    if (this.#response.writableLength === 0) this.#response.write(KEEP_ALIVE);
  }

  end(): void {
    this.#response.end();
  }

  #onDrain(): void {
    this.#count(0);
    if (!this.#held) return;
    this.#held = false;
    this.#overrun = 0;
    this.#drained();
  }

  #count(unread: number): void {
    this.#edge.buffers.held += unread - this.#unread;
    this.#unread = unread;
  }

  #cut(): void {
    this.#edge.streams.cut += 1;
    this.#response.destroy();
  }
}
