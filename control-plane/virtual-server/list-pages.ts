import { createHash } from 'node:crypto';
import { encodeString } from '../../shared/json-rpc/envelope.ts';
import { KINDS, type ListKind } from './item.ts';
import type { Entry } from './naming.ts';
import { decodeCursor, encodeCursor } from './pagination.ts';
import { WeakPool } from './weak-pool.ts';

/** The lists that a client reads. Immutable. */
export interface ListPages {
  /**
   * The raw JSON of a whole list result. Made once and shared: not to be written to.
   * Lists over 1 MiB come in pages. Throws MeshError `invalid_params` for a bad cursor.
   */
  page(kind: ListKind, cursor: string | undefined): Buffer;
  /** The items of a list as the client sees them, each in pieces; undefined where the list comes in pages. */
  items(kind: ListKind): readonly (readonly Uint8Array[])[] | undefined;
  /** A hash of what the client sees of this kind, to be compared for equality. */
  version(kind: ListKind): string;
}

export type Entries = Readonly<Record<ListKind, readonly Entry[]>>;

/** A list result may be larger than this by its last item only. */
const PAGE_BYTES = 1024 * 1024;

export class EntryPages implements ListPages {
  readonly #entries: Entries;
  readonly #cursorKey: Buffer;
  readonly #versions = new Map<ListKind, string>();
  /** Prepared pages by kind and by the index of their first item. */
  readonly #pages = new Map<ListKind, ReadonlyMap<number, Buffer>>();

  constructor(entries: Entries, cursorKey: Buffer) {
    this.#entries = entries;
    this.#cursorKey = cursorKey;
  }

  page(kind: ListKind, cursor: string | undefined): Buffer {
    const index = decodeCursor(this.#scope(kind), cursor);
    const page = this.#prepared(kind).get(index);
    if (page === undefined) throw new Error('an authentic cursor leads nowhere');
    return page;
  }

  items(kind: ListKind): readonly (readonly Uint8Array[])[] | undefined {
    return this.#prepared(kind).size === 1 ? this.#entries[kind].map(renamed) : undefined;
  }

  version(kind: ListKind): string {
    const known = this.#versions.get(kind);
    if (known !== undefined) return known;
    const version = versionOf(this.#entries[kind]);
    this.#versions.set(kind, version);
    return version;
  }

  #scope(kind: ListKind) {
    return { key: this.#cursorKey, kind, version: this.version(kind) };
  }

  #prepared(kind: ListKind): ReadonlyMap<number, Buffer> {
    const known = this.#pages.get(kind);
    if (known !== undefined) return known;
    const pages = new Map<number, Buffer>();
    const items = this.#entries[kind].map(renamed);
    let start = 0;
    do {
      const end = endOfPage(items, start);
      const next = end < items.length ? `,"nextCursor":"${encodeCursor(this.#scope(kind), end)}"` : '';
      pages.set(start, assemble(kind, items.slice(start, end), next));
      start = end;
    } while (start < items.length);
    this.#pages.set(kind, pages);
    return pages;
  }
}

/** The pages of some entries; the same object for the same entries, whoever sees them. */
export function pagesOf(entries: Entries, cursorKey: Buffer): ListPages {
  const hash = createHash('sha256').update(createHash('sha256').update(cursorKey).digest());
  for (const kind of KINDS) hash.update(versionOf(entries[kind]));
  return pool.get(hash.digest('base64url'), () => new EntryPages(entries, cursorKey));
}

const pool = new WeakPool<ListPages>();

function versionOf(entries: readonly Entry[]): string {
  const hash = createHash('sha256');
  // Each text with its length before it, so that two never read as two others.
  for (const { visible, item } of entries) {
    hash.update(`${visible.length} `).update(visible).update(item.hash);
  }
  return hash.digest('base64url');
}

/** The item's bytes with the visible name in the place of its own, in pieces. */
function renamed({ visible, item }: Entry): Uint8Array[] {
  const { bytes, key, keySpan } = item;
  if (visible === key) return [bytes];
  return [bytes.subarray(0, keySpan.start), encodeString(visible), bytes.subarray(keySpan.end)];
}

function endOfPage(items: readonly Uint8Array[][], start: number): number {
  let size = 0;
  let end = start;
  while (end < items.length && size <= PAGE_BYTES) {
    for (const piece of items[end] ?? []) size += piece.length;
    end++;
  }
  return end;
}

function assemble(kind: ListKind, items: readonly Uint8Array[][], next: string): Buffer {
  const comma = Buffer.from(',');
  const pieces = items.flatMap((item, i) => (i === 0 ? item : [comma, ...item]));
  return Buffer.concat([Buffer.from(`{"${kind}":[`), ...pieces, Buffer.from(`]${next}}`)]);
}
