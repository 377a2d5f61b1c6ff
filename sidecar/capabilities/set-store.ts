import { createHash } from 'node:crypto';
import { type CapabilitySet, type Held, LIST_TAIL, MAX_HELD_ITEMS } from '../../shared/rpc/mesh-protocol.ts';

/** A list that the sidecar holds whole. */
export interface HeldSet {
  /** The raw JSON of the list result. */
  readonly result: Buffer;
  /** The items within it, by their hash. */
  readonly items: ReadonlyMap<string, Buffer>;
  /** What it takes in memory, about. */
  readonly bytes: number;
  /** On the monotonic clock, in milliseconds. */
  usedAt: number;
}

/** Why a set cannot be applied. */
export type Objection = 'missing' | 'invalid';

/** A set whose pieces are still coming. */
interface Unfinished {
  readonly key: string;
  readonly head: Buffer;
  readonly items: string[];
  readonly bodies: Map<string, Buffer>;
  bytes: number;
}

/** Longer lists are the replica's to answer, so it sends none. */
const LONGEST_BYTES = 2 * 1024 * 1024;
/** About what an item costs beside its bytes. */
const ITEM_OVERHEAD = 200;
const COMMA = Buffer.from(',');

/**
 * The sets of one sidecar. A set is applied whole or not at all, and never changed
 * afterwards. All of them together are bounded: the one longest unused goes first.
 */
export class SetStore {
  readonly #maxBytes: number;
  readonly #sets = new Map<string, HeldSet>();
  #unfinished: Unfinished | undefined;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#sets.size;
  }

  /** Of all sets together. */
  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): HeldSet | undefined {
    return this.#sets.get(key);
  }

  /** Takes a piece of a set. With the last one: undefined when the set is held now, or why it cannot be. */
  take(piece: CapabilitySet, now: number): 'unfinished' | Objection | undefined {
    const key = keyOf(piece.set);
    if (this.#unfinished?.key !== key) {
      this.#unfinished = {
        key,
        head: copy(piece.head),
        items: [],
        bodies: new Map(),
        bytes: piece.head.length,
      };
    }
    const unfinished = this.#unfinished;
    for (const body of piece.bodies) unfinished.bytes += body.length;
    for (const item of piece.items) unfinished.bytes += item.length;
    if (unfinished.bytes <= LONGEST_BYTES) {
      for (const item of piece.items) unfinished.items.push(keyOf(item));
      for (const body of piece.bodies) unfinished.bodies.set(hashOf(body), copy(body));
    }
    if (piece.more) return 'unfinished';
    this.#unfinished = undefined;
    return this.#apply(unfinished, now);
  }

  /** Lets go of what was not used since. */
  sweep(before: number): void {
    for (const [key, { usedAt }] of this.#sets) if (usedAt < before) this.#drop(key);
  }

  /** What a replica is told: all sets, and their items, those used last first. */
  held(): { [Field in keyof Pick<Held, 'sets' | 'items'>]: Uint8Array[] } {
    const newest = [...this.#sets].sort(([, a], [, b]) => b.usedAt - a.usedAt);
    const items = new Set<string>();
    for (const [, set] of newest) {
      for (const item of set.items.keys()) if (items.size < MAX_HELD_ITEMS) items.add(item);
    }
    return {
      sets: newest.slice(0, MAX_HELD_ITEMS).map(([key]) => bytesOf(key)),
      items: [...items].map(bytesOf),
    };
  }

  /** What was begun on a stream that is not home any more will not be finished. */
  forgetUnfinished(): void {
    this.#unfinished = undefined;
  }

  #apply({ key, head, items, bodies, bytes }: Unfinished, now: number): Objection | undefined {
    if (bytes > LONGEST_BYTES || key.length === 0 || head.length === 0) return 'invalid';
    const found: Buffer[] = [];
    for (const item of items) {
      const body = bodies.get(item) ?? this.#find(item);
      if (body === undefined) return 'missing';
      found.push(body);
    }
    const result = assemble(head, found);
    if (result.length > LONGEST_BYTES) return 'invalid';
    this.#drop(key);
    const byHash = itemsOf(result, { from: head.length, keys: items, found });
    const set = {
      result,
      items: byHash,
      bytes: result.length + (byHash.size + 1) * ITEM_OVERHEAD,
      usedAt: now,
    };
    this.#sets.set(key, set);
    this.#bytes += set.bytes;
    this.#shrink(key);
    return undefined;
  }

  #find(item: string): Buffer | undefined {
    for (const { items } of this.#sets.values()) {
      const body = items.get(item);
      if (body !== undefined) return body;
    }
    return undefined;
  }

  #shrink(newest: string): void {
    if (this.#bytes <= this.#maxBytes) return;
    const oldest = [...this.#sets].sort(([, a], [, b]) => a.usedAt - b.usedAt);
    for (const [key] of oldest) {
      if (this.#bytes <= this.#maxBytes) return;
      if (key !== newest) this.#drop(key);
    }
  }

  #drop(key: string): void {
    const set = this.#sets.get(key);
    if (set === undefined) return;
    this.#sets.delete(key);
    this.#bytes -= set.bytes;
  }
}

export function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString('base64url');
}

export function bytesOf(key: string): Buffer {
  return Buffer.from(key, 'base64url');
}

function hashOf(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('base64url');
}

/** Of its own: a slice would keep the whole gRPC message that it came in. */
function copy(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes);
}

function assemble(head: Buffer, bodies: readonly Buffer[]): Buffer {
  const pieces: Buffer[] = [head];
  for (const [index, body] of bodies.entries()) {
    if (index > 0) pieces.push(COMMA);
    pieces.push(body);
  }
  return Buffer.concat([...pieces, LIST_TAIL]);
}

/** The items where they stand in the result, so that they are in memory once. */
function itemsOf(
  result: Buffer,
  { from, keys, found }: { from: number; keys: readonly string[]; found: readonly Buffer[] },
): Map<string, Buffer> {
  const items = new Map<string, Buffer>();
  let at = from;
  for (const [index, key] of keys.entries()) {
    const { length } = found[index] ?? COMMA;
    items.set(key, result.subarray(at, at + length));
    at += length + COMMA.length;
  }
  return items;
}
