import { createHash, createHmac } from 'node:crypto';
import { encodeString } from '../../shared/json-rpc/envelope.ts';
import { PIECE_BYTES, type ReplicaFrame } from '../../shared/rpc/mesh-protocol.ts';
import { BACKENDS_META } from '../session/backend-outages.ts';
import type { KnownList } from '../session/list-view.ts';
import type { ListKind, ListPages } from '../virtual-server/catalogue.ts';
import { byKind } from '../virtual-server/item.ts';
import { WeakPool } from '../virtual-server/weak-pool.ts';

/** The items of one merged list by their hashes; the same object for the same list of the same pages. */
export interface ListContent {
  /** SHA-256 of each item as the client sees it, one after the other. */
  readonly hashes: Buffer;
  /** The items' raw JSON, each in pieces. */
  items(): readonly (readonly Uint8Array[])[];
}

/** One list as one authorization context sees it, as `CapabilitySet` carries it. */
export interface PreparedSet {
  readonly id: Buffer;
  /** The id as text, for maps. */
  readonly key: string;
  readonly head: Buffer;
  readonly content: ListContent;
}

/** Everything that goes into a set's id beside its content. */
export interface SetScope {
  readonly key: Uint8Array;
  readonly contextDigest: string;
  readonly protocolVersion: string;
  readonly kind: ListKind;
}

const HASH_BYTES = 32;

/** The content of a list, or undefined where it comes in pages: such a list is the replica's to answer. */
export function listContent(pages: ListPages, kind: ListKind): ListContent | undefined {
  const known = contents.get(pages) ?? new Map<ListKind, ListContent | undefined>();
  contents.set(pages, known);
  if (!known.has(kind)) known.set(kind, makeContent(pages, kind));
  return known.get(kind);
}

const contents = new WeakMap<ListPages, Map<ListKind, ListContent | undefined>>();

function makeContent(pages: ListPages, kind: ListKind): ListContent | undefined {
  const items = pages.items(kind);
  if (items === undefined) return undefined;
  return { hashes: Buffer.concat(items.map(hashOf)), items: () => pages.items(kind) ?? [] };
}

function hashOf(pieces: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest();
}

const WHOLE = byKind((kind) => Buffer.from(`{"${kind}":[`));

/** What stands before the first item in the result, the missing backends among it. */
export function headOf(kind: ListKind, { missing }: KnownList): Buffer {
  const list = `"${kind}":[`;
  if (missing === undefined) return WHOLE[kind];
  return Buffer.from(`{"_meta":{${encodeString(BACKENDS_META)}:${missing}},${list}`);
}

/** The same object for the same set, whichever session it is for. */
export function prepareSet(
  scope: SetScope,
  { head, content }: Pick<PreparedSet, 'head' | 'content'>,
): PreparedSet {
  const { key, contextDigest, protocolVersion, kind } = scope;
  const id = createHmac('sha256', key)
    .update(JSON.stringify(['capability set', contextDigest, protocolVersion, kind, head.toString('latin1')]))
    .update(content.hashes)
    .digest();
  const name = keyOf(id);
  return sets.get(name, () => ({ id, key: name, head, content }));
}

const sets = new WeakPool<PreparedSet>();

export function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString('base64url');
}

/** The hashes of a set's items, as text. */
export function itemKeys({ hashes }: ListContent): string[] {
  const keys: string[] = [];
  for (let at = 0; at < hashes.length; at += HASH_BYTES)
    keys.push(keyOf(hashes.subarray(at, at + HASH_BYTES)));
  return keys;
}

/** The frames that carry a set, each about as long as a piece of a message, with those bodies that are not held. */
export function* framesOf(
  { id, head, content }: PreparedSet,
  holds: (item: string) => boolean,
): Generator<{ readonly frame: ReplicaFrame; readonly bytes: number }> {
  const bodies = content.items();
  const keys = itemKeys(content);
  let at = 0;
  do {
    const first = at === 0;
    const from = at;
    const sent: Buffer[] = [];
    let bytes = first ? head.length : 0;
    for (; at < keys.length && bytes < PIECE_BYTES; at += 1) {
      bytes += HASH_BYTES;
      if (holds(keys[at] ?? '')) continue;
      const body = Buffer.concat(bodies[at] ?? []);
      sent.push(body);
      bytes += body.length;
    }
    const items = keys.slice(from, at).map((_, i) => hashAt(content, from + i));
    const set = { set: id, head: first ? head : null, items, bodies: sent, more: at < keys.length };
    yield { frame: { capabilitySet: set }, bytes };
  } while (at < keys.length);
}

function hashAt({ hashes }: ListContent, index: number): Buffer {
  return hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES);
}
