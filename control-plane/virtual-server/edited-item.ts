import { createHash } from 'node:crypto';
import { insertMember, type Splice, splice } from '../../shared/json-rpc/envelope.ts';
import type { Span } from '../../shared/json-rpc/message.ts';
import { isObject, readMembers } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import type { Item, ListKind } from './item.ts';
import { WeakPool } from './weak-pool.ts';

/** Members of a definition that configuration sets. */
export interface ItemValues {
  readonly title?: string | undefined;
  readonly description?: string | undefined;
  /** Set one by one; others of the definition stay. */
  readonly annotations?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * The item with these members in the place of its own, every other byte verbatim.
 * Of a member that occurs twice each is replaced, so that no reader finds what was
 * there. Equal items are the same object in one process.
 */
export function withValues(
  kind: ListKind,
  item: Item,
  { title, description, annotations }: ItemValues,
): Item {
  // What is undefined is not written.
  const values = JSON.stringify({ title, description, annotations });
  if (values === '{}') return item;
  const id = createHash('sha256').update(`${kind} ${item.hash} ${values}`).digest('base64url');
  return pool.get(id, () => edit(item, Object.entries(JSON.parse(values) as ItemValues)));
}

const pool = new WeakPool<Item>();

type Values = readonly (readonly [name: string, value: unknown])[];

function edit(given: Item, values: Values): Item {
  return spliced(given, overlay(given.bytes, { start: 0, end: given.bytes.length }, values));
}

/** The item with these changes in its bytes, none of them in its key. */
export function spliced(given: Item, splices: readonly Splice[]): Item {
  const { bytes, key, keySpan } = given;
  const whole = { start: 0, end: bytes.length };
  const pieces = splice(bytes, whole, splices);
  // A buffer of its own, which keeps no page and no pool of small buffers alive.
  const own = Buffer.allocUnsafeSlow(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    own.set(piece, at);
    at += piece.length;
  }
  const shift = splices
    .filter(({ span }) => span.start < keySpan.start)
    .reduce((sum, { span, bytes: { length } }) => sum + length - (span.end - span.start), 0);
  return {
    bytes: own,
    hash: createHash('sha256').update(own).digest('base64url'),
    key,
    keySpan: { start: keySpan.start + shift, end: keySpan.end + shift },
    given: given.given ?? given,
  };
}

function overlay(bytes: Buffer, object: Span, values: Values): Splice[] {
  const members = readMembers(bytes, object).map(({ key, value }) => ({
    name: decodeString(bytes, key),
    value,
  }));
  const missing: string[] = [];
  const splices = values.flatMap(([name, value]) => {
    const present = members.filter((member) => member.name === name);
    if (present.length === 0) missing.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`);
    return present.flatMap(({ value: span }) => replacement(bytes, span, value));
  });
  if (missing.length === 0) return splices;
  return [...splices, insertMember(bytes, object, Buffer.from(missing.join()))];
}

/** Of an object its members, of anything else the whole. */
function replacement(bytes: Buffer, span: Span, value: unknown): Splice[] {
  if (typeof value === 'object' && value !== null && isObject(bytes, span))
    return overlay(bytes, span, Object.entries(value));
  return [{ span, bytes: Buffer.from(JSON.stringify(value)) }];
}
