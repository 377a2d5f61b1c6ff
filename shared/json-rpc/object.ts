/** Reading single objects and arrays out of a message that has been scanned. */
import { JsonRpcFault } from './fault.ts';
import type { Span } from './message.ts';
import { type Fields, found, Walker } from './walker.ts';

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const QUOTE = 0x22;
const COMMA = 0x2c;

/** Whether the value that begins here is an object. */
export function isObject(bytes: Buffer, span: Span): boolean {
  return bytes[span.start] === OPEN_BRACE;
}

/** Whether the value that begins here is an array. */
export function isArray(bytes: Buffer, span: Span): boolean {
  return bytes[span.start] === OPEN_BRACKET;
}

/** Whether the value that begins here is a string. */
export function isString(bytes: Buffer, span: Span): boolean {
  return bytes[span.start] === QUOTE;
}

/**
 * The spans of some fields of an object, in the order of their names. Throws
 * `JsonRpcFault` (-32600) when a field occurs twice or in another case.
 */
export function readFields(bytes: Buffer, object: Span, wanted: Fields): (Span | undefined)[] {
  const { spans, refusal } = walk(bytes, object, wanted);
  if (refusal === undefined) return spans;
  throw new JsonRpcFault(-32600, `The member "${refusal}" occurs twice, or in another case.`);
}

/** The same for fields on whose reading nothing depends: of two the last counts, other cases are other names. */
export function peekFields(bytes: Buffer, object: Span, wanted: Fields): (Span | undefined)[] {
  return walk(bytes, object, wanted).spans;
}

function walk(bytes: Buffer, object: Span, wanted: Fields) {
  const findings = new Array<number>(2 * wanted.names.length).fill(0);
  const walker = new Walker(bytes, findings);
  walker.fields(object.start, 1, wanted);
  return { spans: wanted.names.map((_, slot) => found(findings, slot)), refusal: walker.refusal };
}

/** The spans of an array's elements. */
export function readElements(bytes: Buffer, array: Span): Span[] {
  const spans: Span[] = [];
  new Walker(bytes, []).array(array.start, 1, (start, end) => spans.push({ start, end }));
  return spans;
}

/** A member of an object: its raw key, with the quotes, and its raw value. */
export interface Member {
  readonly key: Span;
  readonly value: Span;
}

/** The members of an object, in order. */
export function readMembers(bytes: Buffer, object: Span): Member[] {
  const walker = new Walker(bytes, []);
  const members: Member[] = [];
  for (let p = walker.space(object.start + 1); walker.at(p) === QUOTE; ) {
    const key = { start: p, end: walker.value(p, 1) };
    const start = walker.space(walker.space(key.end) + 1);
    const value = { start, end: walker.value(start, 1) };
    members.push({ key, value });
    const end = walker.space(value.end);
    if (walker.at(end) !== COMMA) break;
    p = walker.space(end + 1);
  }
  return members;
}

/** Whether the object has no members. */
export function isEmptyObject(bytes: Buffer, object: Span): boolean {
  return bytes[new Walker(bytes, []).space(object.start + 1)] === CLOSE_BRACE;
}
