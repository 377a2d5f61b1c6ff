/**
 * Messages on standard input and output: one a line, UTF-8, no line end within
 * (MCP, stdio transport).
 */

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;

/** The longest message, in bytes: the most that a sidecar can be configured to take. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** A whole line, or that there was one that is too long to be kept. */
export type Line = Buffer | 'too long';

/** Cuts a stream of bytes into lines, wherever its chunks are cut. Blank lines are no messages. */
export class LineReader {
  readonly #limit: number;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(limit: number = MAX_MESSAGE_BYTES) {
    this.#limit = limit;
  }

  /** The lines that this chunk ends. */
  push(chunk: Buffer): Line[] {
    const lines: Line[] = [];
    let from = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, from)) {
      this.#hold(chunk.subarray(from, end));
      lines.push(...this.end());
      from = end + 1;
    }
    if (from < chunk.length) this.#hold(chunk.subarray(from));
    return lines;
  }

  /** What came after the last line end: the input is over, and with it the line. */
  end(): Line[] {
    const held = this.#held;
    const tooLong = this.#heldBytes > this.#limit;
    this.#held = [];
    this.#heldBytes = 0;
    if (tooLong) return ['too long'];
    const line = held.length === 1 && held[0] !== undefined ? held[0] : Buffer.concat(held);
    return isBlank(line) ? [] : [line];
  }

  #hold(part: Buffer): void {
    this.#heldBytes += part.length;
    if (this.#heldBytes <= this.#limit) this.#held.push(part);
    else this.#held = [];
  }
}

/**
 * A message as a line. Its bytes stay as they are, but for line ends: in a JSON
 * text they stand between tokens only (RFC 8259 §7 keeps them out of strings), where
 * a space means the same. Pretty-printed answers have them.
 */
export function toLine(message: Uint8Array): Buffer {
  const line = Buffer.allocUnsafe(message.length + 1);
  line.set(message);
  line[message.length] = LF;
  for (const end of [LF, CR]) {
    for (let at = line.indexOf(end); at !== -1 && at < message.length; at = line.indexOf(end, at + 1)) {
      line[at] = SPACE;
    }
  }
  return line;
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === SPACE || byte === TAB || byte === CR);
}
