import { PIECE_BYTES, WINDOW_BYTES } from './mesh-protocol.ts';

/**
 * One end's way in: puts the pieces of messages together and gives credit back.
 * What the unfinished messages of a stream hold is bounded: beyond `holdBytes`
 * only the one that was begun first gets more credit, so that it can be finished,
 * and then the next.
 */

/** What one exchange has coming in. Both ends' exchanges are one. */
export interface Reader {
  readonly exchange: number;
  /** Bytes that arrived and were not credited yet. */
  owed: number;
  /** The pieces of an unfinished message, and their length. */
  pieces: Uint8Array[] | undefined;
  assembled: number;
  /** The consumer asked to wait: no credit until `Inflow.resume`. */
  paused: boolean;
}

/** The peer sent more than its credit. Ends the stream. */
export class WindowExceeded extends Error {
  override readonly name = 'WindowExceeded';
}

/** One message is longer than the limit. Ends its exchange. */
export class MessageTooLong extends Error {
  override readonly name = 'MessageTooLong';
}

export interface InflowOptions {
  /** The longest message, in bytes. */
  readonly maxMessageBytes: number;
  /** What unfinished messages may hold together before credit is kept back, in bytes. */
  readonly holdBytes: number;
  /** Tells the peer that `bytes` were consumed. */
  credit(exchange: number, bytes: number): void;
}

export class Inflow {
  /** Bytes of unfinished messages. */
  held = 0;
  /** The longest message, in bytes. */
  maxMessageBytes: number;
  readonly #options: InflowOptions;
  readonly #unfinished = new Set<Reader>();
  #pressed = false;

  constructor(options: InflowOptions) {
    this.#options = options;
    this.maxMessageBytes = options.maxMessageBytes;
  }

  /**
   * Takes a piece. Returns the pieces of the message when it is whole; `settle` is
   * then due once the consumer has it. Throws `WindowExceeded` or `MessageTooLong`.
   */
  take(reader: Reader, body: Uint8Array, more: boolean): readonly Uint8Array[] | undefined {
    reader.owed += body.length;
    if (reader.owed > WINDOW_BYTES) throw new WindowExceeded('more was sent than there was credit for');
    if (reader.assembled + body.length > this.maxMessageBytes) {
      throw new MessageTooLong(`a message is longer than ${this.maxMessageBytes} bytes`);
    }
    if (reader.pieces === undefined) {
      if (!more) return body.length === 0 ? NOTHING : [body];
      reader.pieces = [];
      this.#unfinished.add(reader);
    }
    if (body.length > 0) reader.pieces.push(body);
    reader.assembled += body.length;
    this.held += body.length;
    if (more) {
      this.settle(reader);
      return undefined;
    }
    const { pieces } = reader;
    this.release(reader);
    return pieces;
  }

  /** Gives back what is owed, when it is worth a frame and nothing speaks against it. */
  settle(reader: Reader): void {
    if (reader.paused || reader.owed < PIECE_BYTES) return;
    if (this.held > this.#options.holdBytes && this.#unfinished.has(reader) && !this.#isFirst(reader)) {
      this.#pressed = true;
      return;
    }
    const { owed } = reader;
    reader.owed = 0;
    this.#options.credit(reader.exchange, owed);
  }

  /** The exchange is over, or its message is whole: lets go of the pieces. */
  release(reader: Reader): void {
    if (reader.pieces === undefined) return;
    this.held -= reader.assembled;
    reader.pieces = undefined;
    reader.assembled = 0;
    this.#unfinished.delete(reader);
    if (!this.#pressed) return;
    this.#pressed = false;
    for (const waiting of this.#unfinished) this.settle(waiting);
  }

  #isFirst(reader: Reader): boolean {
    for (const first of this.#unfinished) return first === reader;
    return false;
  }
}

/** A short piece of much longer memory, a gRPC message or what came from a backend, would keep all of it for as long as its exchange lives: it is copied. */
export function unpinned(piece: Uint8Array): Uint8Array {
  return piece.buffer.byteLength > 8 * piece.length + PINNED_BYTES ? Buffer.from(piece) : piece;
}

const PINNED_BYTES = 8 * 1024;
const NOTHING: readonly Uint8Array[] = [];
