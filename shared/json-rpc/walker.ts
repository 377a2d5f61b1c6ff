import { isUtf8 } from 'node:buffer';
import { JsonRpcFault } from './fault.ts';
import type { Span } from './message.ts';

/** Objects and arrays within each other, the outermost counted. */
export const MAX_DEPTH = 64;

/**
 * Objects, arrays and object members in one message. Reading a body within the
 * message limit then takes well under 100 ms, whatever its shape, and so does
 * a parser behind us; scalars in an array are cheap and not counted.
 */
const MAX_NODES = 200_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const LOWER_U = 0x75;
/** What may follow a backslash, apart from u. */
const SHORT_ESCAPE = new Uint8Array(256);
for (const c of Buffer.from('"\\/bfnrt')) SHORT_ESCAPE[c] = 1;

/** A string is read byte by byte this far, then by search. */
const LONG_STRING = 48;
const LONGEST_NAME = 32;
const HIGH_BITS = 0x80808080 | 0;

/** The fields of one kind of object that a walk looks for, each with its slot in the list of findings. */
export interface Fields {
  readonly names: readonly string[];
  readonly codes: readonly Uint8Array[];
  readonly folded: readonly string[];
  readonly slot: number;
  /** The fields to look for in the object that is a field's value, by index. */
  readonly below: readonly (Fields | undefined)[];
}

/** Where the walk found the fields: start and end of the value of slot n at 2n and 2n+1; no value starts at 0. */
export type Findings = number[];

export interface FieldsOptions {
  /** The slot of the first name; the others follow. */
  readonly slot?: number;
  readonly below?: Readonly<Record<string, Fields>>;
}

export function fields(names: readonly string[], options: FieldsOptions = {}): Fields {
  return {
    names,
    codes: names.map((name) => Buffer.from(name)),
    folded: names.map(fold),
    slot: options.slot ?? 0,
    below: names.map((name) => options.below?.[name]),
  };
}

/** The span of slot `slot`, or undefined where the field was absent. */
export function found(findings: Findings, slot: number): Span | undefined {
  const start = findings[2 * slot] as number;
  return start === 0 ? undefined : { start, end: findings[2 * slot + 1] as number };
}

/**
 * One strict walk over JSON text (RFC 8259). It builds nothing: it checks the
 * grammar, the limits, and notes where the fields asked for lie. A field that
 * occurs twice, or in another case, is refused, because readers differ on which
 * of them counts; the refusal is kept until the walk is over, so that what is
 * not JSON at all is said to be that.
 *
 * A position is an offset into the bytes; each method takes the position where
 * its subject begins and returns the one behind it.
 */
export class Walker {
  /** The first field that occurred twice or in another case. */
  refusal: string | undefined;
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #maxDepth: number;
  readonly #findings: Findings;
  #nodes = 0;
  #words: Int32Array | undefined;
  #nextQuote = -1;
  #nextBackslash = -1;

  constructor(bytes: Buffer, findings: Findings, maxDepth: number = MAX_DEPTH) {
    this.#bytes = bytes;
    this.#end = bytes.length;
    this.#findings = findings;
    this.#maxDepth = maxDepth;
  }

  /** Throws unless the bytes are UTF-8. A byte order mark is UTF-8; the grammar refuses it. */
  checkEncoding(): void {
    if (!isUtf8(this.#bytes)) throw new JsonRpcFault(-32700, 'The message is not valid UTF-8.');
  }

  /** The byte at a position; -1 behind the end. */
  at(p: number): number {
    return p < this.#end ? (this.#bytes[p] as number) : -1;
  }

  space(start: number): number {
    let p = start;
    for (;;) {
      const c = this.at(p);
      if (c !== SPACE && c !== 0x0a && c !== 0x0d && c !== 0x09) return p;
      p++;
    }
  }

  /** Throws unless nothing but white space follows. */
  finish(p: number): void {
    if (this.space(p) !== this.#end) throw syntax();
  }

  value(p: number, depth: number): number {
    const c = this.at(p);
    if (c === QUOTE) return this.#string(p + 1);
    if (c === OPEN_BRACE) return this.#object(p, depth);
    if (c === OPEN_BRACKET) return this.array(p, depth);
    if (c === MINUS || isDigit(c)) return this.#number(p);
    if (c === 0x74) return this.#literal(p, 'true');
    if (c === 0x66) return this.#literal(p, 'false');
    if (c === 0x6e) return this.#literal(p, 'null');
    throw syntax();
  }

  /** An array; `visit` hears where each element begins and ends. */
  array(start: number, depth: number, visit?: (start: number, end: number) => void): number {
    this.#enter(depth);
    let p = this.space(start + 1);
    if (this.at(p) === CLOSE_BRACKET) return p + 1;
    for (;;) {
      const first = p;
      p = this.value(p, depth + 1);
      visit?.(first, p);
      p = this.space(p);
      const c = this.at(p);
      if (c === CLOSE_BRACKET) return p + 1;
      if (c !== COMMA) throw syntax();
      p = this.space(p + 1);
    }
  }

  /** An object in which some fields are looked for. */
  fields(start: number, depth: number, wanted: Fields): number {
    this.#enter(depth);
    let p = this.space(start + 1);
    if (this.at(p) === CLOSE_BRACE) return p + 1;
    for (;;) {
      if (this.at(p) !== QUOTE) throw syntax();
      const keyStart = p + 1;
      p = this.#string(keyStart);
      const index = this.#match(wanted, keyStart, p - 1);
      p = this.#colon(p);
      const valueStart = p;
      const below = index < 0 ? undefined : wanted.below[index];
      p =
        below !== undefined && this.at(p) === OPEN_BRACE
          ? this.fields(p, depth + 1, below)
          : this.value(p, depth + 1);
      if (index >= 0) {
        const slot = 2 * (wanted.slot + index);
        this.#findings[slot] = valueStart;
        this.#findings[slot + 1] = p;
      }
      p = this.space(p);
      const c = this.at(p);
      if (c === CLOSE_BRACE) return p + 1;
      if (c !== COMMA) throw syntax();
      p = this.space(p + 1);
    }
  }

  #object(start: number, depth: number): number {
    this.#enter(depth);
    let p = this.space(start + 1);
    if (this.at(p) === CLOSE_BRACE) return p + 1;
    for (;;) {
      if (this.at(p) !== QUOTE) throw syntax();
      p = this.#colon(this.#string(p + 1));
      p = this.space(this.value(p, depth + 1));
      const c = this.at(p);
      if (c === CLOSE_BRACE) return p + 1;
      if (c !== COMMA) throw syntax();
      p = this.space(p + 1);
    }
  }

  #enter(depth: number): void {
    if (depth > this.#maxDepth)
      throw new JsonRpcFault(-32600, `The message is nested deeper than ${MAX_DEPTH} levels.`);
    this.#count();
  }

  #count(): void {
    if (++this.#nodes > MAX_NODES) throw new JsonRpcFault(-32600, 'The message has too many parts.');
  }

  /** From behind a key to its value. */
  #colon(start: number): number {
    this.#count();
    const p = this.space(start);
    if (this.at(p) !== COLON) throw syntax();
    return this.space(p + 1);
  }

  /** The rest of a string whose opening quote has been read. */
  #string(start: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let p = start;
    for (;;) {
      const stop = Math.min(p + LONG_STRING, end);
      while (p < stop) {
        const c = bytes[p] as number;
        if (c === QUOTE) return p + 1;
        if (c === BACKSLASH)
          p = SHORT_ESCAPE[bytes[p + 1] as number] === 1 ? p + 2 : this.#unicodeEscape(p + 1);
        else if (c < SPACE) throw syntax();
        else p++;
      }
      if (p >= end) throw syntax();
      p = this.#plain(p);
    }
  }

  #unicodeEscape(p: number): number {
    if (this.at(p) !== LOWER_U) throw syntax();
    for (let i = 1; i <= 4; i++) if (!isHex(this.at(p + i))) throw syntax();
    return p + 5;
  }

  /** From within a long string to the next quote or backslash. Both are remembered, so that each byte is searched once. */
  #plain(start: number): number {
    if (this.#nextQuote < start) this.#nextQuote = this.#search(QUOTE, start);
    if (this.#nextBackslash < start) this.#nextBackslash = this.#search(BACKSLASH, start);
    const stop = Math.min(this.#nextQuote, this.#nextBackslash);
    if (this.#hasControl(start, stop)) throw syntax();
    return stop;
  }

  #search(code: number, start: number): number {
    const p = this.#bytes.indexOf(code, start);
    return p < 0 ? this.#end : p;
  }

  /**
   * Whether a byte below 0x20 lies in the range. Sixteen bytes at a time:
   * a byte is at least 0x20 iff one of its three upper bits is set.
   */
  #hasControl(start: number, stop: number): boolean {
    const bytes = this.#bytes;
    const lead = bytes.byteOffset & 3;
    this.#words ??= new Int32Array(bytes.buffer, bytes.byteOffset - lead, (lead + this.#end) >> 2);
    const words = this.#words;
    let p = start;
    for (; p < stop && ((p + lead) & 3) !== 0; p++) if ((bytes[p] as number) < SPACE) return true;
    for (let i = (p + lead) >> 2; p + 16 <= stop; p += 16, i += 4) {
      const a = words[i] as number;
      const b = words[i + 1] as number;
      const c = words[i + 2] as number;
      const d = words[i + 3] as number;
      const high =
        (a | (a << 1) | (a << 2)) &
        (b | (b << 1) | (b << 2)) &
        (c | (c << 1) | (c << 2)) &
        (d | (d << 1) | (d << 2));
      if ((high & HIGH_BITS) !== HIGH_BITS) return true;
    }
    for (; p < stop; p++) if ((bytes[p] as number) < SPACE) return true;
    return false;
  }

  #number(start: number): number {
    let p = this.at(start) === MINUS ? start + 1 : start;
    p = this.at(p) === ZERO ? p + 1 : this.#digits(p);
    if (this.at(p) === DOT) p = this.#digits(p + 1);
    if ((this.at(p) | SPACE) === 0x65) {
      const sign = this.at(p + 1);
      p = this.#digits(sign === PLUS || sign === MINUS ? p + 2 : p + 1);
    }
    return p;
  }

  #digits(start: number): number {
    let p = start;
    while (isDigit(this.at(p))) p++;
    if (p === start) throw syntax();
    return p;
  }

  #literal(p: number, word: string): number {
    for (let i = 1; i < word.length; i++) if (this.at(p + i) !== word.charCodeAt(i)) throw syntax();
    return p + word.length;
  }

  /** The index of the wanted field that this key names, or -1. */
  #match(wanted: Fields, start: number, end: number): number {
    for (let i = 0; i < wanted.codes.length; i++) {
      const code = wanted.codes[i] as Uint8Array;
      if (end - start !== code.length) continue;
      const likeness = this.#compare(start, code);
      if (likeness === 'same') return this.#first(wanted, i);
      if (likeness === 'variant') this.refusal ??= wanted.names[i];
    }
    // Each of a name's characters takes six bytes at most, as an escape.
    const last = Math.min(end, start + 6 * LONGEST_NAME);
    for (let p = start; p < last; p++) {
      const c = this.#bytes[p] as number;
      if (c === BACKSLASH || c > 0x7f) return last === end ? this.#matchDecoded(wanted, start, end) : -1;
    }
    return -1;
  }

  #compare(start: number, code: Uint8Array): 'same' | 'variant' | 'other' {
    let difference = 0;
    for (let i = 0; i < code.length; i++) {
      const wanted = code[i] as number;
      const d = (this.#bytes[start + i] as number) ^ wanted;
      // Letters of either case differ in the bit 0x20 alone; the underscore has no case.
      if (d !== 0 && (d !== SPACE || wanted === 0x5f)) return 'other';
      difference |= d;
    }
    return difference === 0 ? 'same' : 'variant';
  }

  /** For a key spelled with escapes, or with letters that fold to ASCII (U+017F, U+212A), as case-insensitive readers do. */
  #matchDecoded(wanted: Fields, start: number, end: number): number {
    const key = JSON.parse(this.#bytes.toString('utf8', start - 1, end + 1)) as string;
    const exact = wanted.names.indexOf(key);
    if (exact >= 0) return this.#first(wanted, exact);
    const variant = wanted.folded.indexOf(fold(key));
    if (variant >= 0) this.refusal ??= wanted.names[variant];
    return -1;
  }

  #first(wanted: Fields, index: number): number {
    if (this.#findings[2 * (wanted.slot + index)] !== 0) this.refusal ??= wanted.names[index];
    return index;
  }
}

function syntax(): JsonRpcFault {
  return new JsonRpcFault(-32700, 'The message is not valid JSON.');
}

function fold(text: string): string {
  return text.toUpperCase().toLowerCase();
}

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

function isHex(c: number): boolean {
  return isDigit(c) || ((c | SPACE) >= 0x61 && (c | SPACE) <= 0x66);
}
