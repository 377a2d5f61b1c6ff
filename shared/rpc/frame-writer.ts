import protobuf from 'protobufjs/minimal.js';

/** Bytes in order, that nobody joins before they are written. */
export type Pieces = readonly Uint8Array[];

/** How much the writer keeps from one message to the next, in bytes. */
const KEPT_BYTES = 256 * 1024;
/** The most that a varint takes, in bytes. */
const VARINT_BYTES = 5;
/** The length of what is nested always takes so many bytes: it is not known when they are passed. */
const LENGTH_BYTES = 4;

/** Up to this length a string is written faster here than by the runtime, in characters; its length takes one byte. */
const SHORT_STRING = 80;

/**
 * Writes one protobuf message after another, in one pass, into memory that it uses
 * again: no object for each field, as the writer of protobufjs makes them, and a
 * body in pieces is copied once, to where it leaves from. A varint need not be the
 * shortest that there is: a length is one of four bytes.
 *
 * Of the fields that protobuf knows it takes those that `mesh.proto` has; none of its
 * enums has a number below zero.
 */
export class FrameWriter extends protobuf.Writer {
  #bytes = Buffer.allocUnsafeSlow(KEPT_BYTES);
  #end = 0;
  /** Where what is open began. */
  readonly #forks: number[] = [];

  override uint32(value: number): this {
    this.#reserve(VARINT_BYTES);
    const bytes = this.#bytes;
    let rest = value >>> 0;
    while (rest > 0x7f) {
      bytes[this.#end++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[this.#end++] = rest;
    return this;
  }

  override int32(value: number): this {
    return this.uint32(value);
  }

  override bool(value: boolean): this {
    return this.uint32(value ? 1 : 0);
  }

  override string(value: string): this {
    if (value.length <= SHORT_STRING && this.#ascii(value)) return this;
    const length = Buffer.byteLength(value);
    this.uint32(length);
    this.#reserve(length);
    this.#bytes.write(value, this.#end);
    this.#end += length;
    return this;
  }

  /** A string is base64, as protobufjs has it. */
  override bytes(value: Uint8Array | string | Pieces): this {
    if (typeof value === 'string') return this.bytes(Buffer.from(value, 'base64'));
    const pieces = value instanceof Uint8Array ? [value] : value;
    const length = lengthOf(pieces);
    this.uint32(length);
    this.#reserve(length);
    for (const piece of pieces) {
      this.#bytes.set(piece, this.#end);
      this.#end += piece.length;
    }
    return this;
  }

  override fork(): this {
    this.#reserve(LENGTH_BYTES);
    this.#end += LENGTH_BYTES;
    this.#forks.push(this.#end);
    return this;
  }

  override ldelim(): this {
    const start = this.#forks.pop() ?? 0;
    const bytes = this.#bytes;
    const length = this.#end - start;
    bytes[start - 4] = (length & 0x7f) | 0x80;
    bytes[start - 3] = ((length >>> 7) & 0x7f) | 0x80;
    bytes[start - 2] = ((length >>> 14) & 0x7f) | 0x80;
    bytes[start - 1] = (length >>> 21) & 0x7f;
    return this;
  }

  /** Drops what was begun and not finished: a message that could not be encoded is no part of the next one. */
  override reset(): this {
    this.#end = 0;
    this.#forks.length = 0;
    return this;
  }

  /** What was written since the last time. Valid until something is written again. */
  override finish(): Buffer {
    const message = this.#bytes.subarray(0, this.#end);
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafeSlow(KEPT_BYTES);
    this.#end = 0;
    return message;
  }

  /** Writes a short string, unless it has more than ASCII. */
  #ascii(value: string): boolean {
    this.#reserve(1 + SHORT_STRING);
    const bytes = this.#bytes;
    const start = this.#end + 1;
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      bytes[start + i] = code;
    }
    bytes[this.#end] = value.length;
    this.#end = start + value.length;
    return true;
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(2 * needed);
    grown.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = grown;
  }
}

/** In bytes. */
export function lengthOf(pieces: Pieces): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}
