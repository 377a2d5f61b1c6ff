import { MeshError } from '../errors.ts';

/** One event of a stream, dispatched by its blank line (WHATWG HTML §9.2.6). */
export interface SseEvent {
  /** The last id the stream has named, by this event or an earlier one; empty when there was none. */
  readonly id: string;
  /** The event's type; "message" where it names none. */
  readonly event: string;
  /** The data lines, joined by line feeds. Shares memory with the chunk when one line lay within it. */
  readonly data: Buffer;
  /** The reconnection time in milliseconds, when this event set it. */
  readonly retry: number | undefined;
}

export interface SseParserOptions {
  /** Bytes of one event: its data, and the line that is still coming. */
  readonly maxEventBytes: number;
  readonly onEvent: (event: SseEvent) => void;
}

/**
 * An incremental parser of event streams over bytes that may be split anywhere:
 * CR, LF and CRLF end lines, a byte order mark at the start is skipped, comments
 * are dropped without being kept, and an event cut off by the stream's end is
 * never dispatched. Bytes of `data` are not decoded.
 */
export class SseParser {
  /** What to send as Last-Event-ID. An event without data sets it too, though it is not dispatched. */
  lastEventId = '';
  /** The reconnection time that the stream asked for last, in milliseconds. */
  retryMs: number | undefined;
  readonly #maxEventBytes: number;
  readonly #onEvent: (event: SseEvent) => void;
  /** The beginning of a line whose end has not come yet. */
  #partial: Buffer[] = [];
  #partialBytes = 0;
  #isComment = false;
  #firstLine = true;
  /** The last chunk ended in CR: a LF at the start of the next belongs to it. */
  #afterCr = false;
  #data: Buffer[] = [];
  #dataBytes = 0;
  #event = '';
  #id = '';
  #retry: number | undefined;

  constructor(options: SseParserOptions) {
    this.#maxEventBytes = options.maxEventBytes;
    this.#onEvent = options.onEvent;
  }

  /** Whether an event, or a line, has begun and not ended: silence now is a stall, not rest. */
  get midway(): boolean {
    return this.#partialBytes > 0 || this.#data.length > 0;
  }

  /** Takes the next bytes. Throws MeshError `backend_protocol_error` when an event grows too large; the stream is then of no more use. */
  push(chunk: Buffer): void {
    let p = 0;
    if (this.#afterCr && chunk.length > 0) {
      this.#afterCr = false;
      if (chunk[0] === LF) p = 1;
    }
    let cr = chunk.indexOf(CR, p);
    let lf = chunk.indexOf(LF, p);
    while (cr >= 0 || lf >= 0) {
      const end = cr >= 0 && (lf < 0 || cr < lf) ? cr : lf;
      this.#endLine(chunk.subarray(p, end));
      p = end + 1;
      if (end === cr) {
        if (p === chunk.length) this.#afterCr = true;
        else if (lf === p) p++;
        cr = chunk.indexOf(CR, p);
      }
      if (lf >= 0 && lf < p) lf = chunk.indexOf(LF, p);
    }
    if (p < chunk.length) this.#keep(chunk.subarray(p));
  }

  #keep(bytes: Buffer): void {
    if (this.#partialBytes === 0 && !this.#firstLine) this.#isComment = bytes[0] === COLON;
    if (this.#isComment) {
      this.#partialBytes = 1;
      return;
    }
    this.#partial.push(bytes);
    this.#partialBytes += bytes.length;
    this.#checkSize();
  }

  #endLine(rest: Buffer): void {
    const isComment = this.#isComment;
    let line = this.#partial.length === 0 ? rest : Buffer.concat([...this.#partial, rest]);
    this.#partial = [];
    this.#partialBytes = 0;
    this.#isComment = false;
    if (this.#firstLine) {
      this.#firstLine = false;
      if (line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf) line = line.subarray(3);
    }
    if (isComment) return;
    if (line.length === 0) this.#dispatch();
    else this.#field(line);
  }

  #field(line: Buffer): void {
    const colon = line.indexOf(COLON);
    if (colon === 0) return;
    const name = line.toString('latin1', 0, colon < 0 ? line.length : Math.min(colon, LONGEST_FIELD));
    const start = colon < 0 ? line.length : line[colon + 1] === SPACE ? colon + 2 : colon + 1;
    if (name === 'data') {
      const value = line.subarray(start);
      this.#data.push(value);
      // Each line counts its line feed, or empty lines would grow the list for free.
      this.#dataBytes += value.length + 1;
      this.#checkSize();
    } else if (name === 'event') this.#event = line.toString('utf8', start);
    else if (name === 'id') this.#setId(line.toString('utf8', start));
    else if (name === 'retry') this.#setRetry(line.toString('latin1', start));
  }

  #setId(value: string): void {
    if (!value.includes('\0')) this.#id = value;
  }

  #setRetry(value: string): void {
    for (const c of value) if (c < '0' || c > '9') return;
    const ms = Number(value);
    if (value === '' || !Number.isSafeInteger(ms)) return;
    this.#retry = ms;
    this.retryMs = ms;
  }

  #dispatch(): void {
    const data = this.#data;
    const event = this.#event === '' ? 'message' : this.#event;
    const retry = this.#retry;
    this.lastEventId = this.#id;
    this.#data = [];
    this.#dataBytes = 0;
    this.#event = '';
    this.#retry = undefined;
    if (data.length > 0) this.#onEvent({ id: this.#id, event, data: joinLines(data), retry });
  }

  #checkSize(): void {
    if (this.#dataBytes + this.#partialBytes > this.#maxEventBytes + LINE_ALLOWANCE) {
      throw new MeshError('backend_protocol_error', 'An event of the stream is larger than the limit.');
    }
  }
}

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const SPACE = 0x20;
const LONGEST_FIELD = 8;
/** The name of a field, its colon and space, and line ends do not count as data. */
const LINE_ALLOWANCE = 64;
const NEWLINE = Buffer.from('\n');

function joinLines(lines: Buffer[]): Buffer {
  const [only] = lines;
  if (only !== undefined && lines.length === 1) return only;
  return Buffer.concat(lines.flatMap((line, i) => (i === 0 ? [line] : [NEWLINE, line])));
}
