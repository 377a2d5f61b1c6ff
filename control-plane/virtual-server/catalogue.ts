import { createHash, type Hash } from 'node:crypto';
import { encodeString } from '../../shared/json-rpc/envelope.ts';
import { type BackendItems, KINDS, type ListKind } from './item.ts';
import { type Entry, type Lists, type Naming, resolveNames, resolveUris } from './naming.ts';
import { decodeCursor, encodeCursor } from './pagination.ts';
import { byKind, makeTable, Routes, type StoredTable, storeTable } from './routes.ts';
import { WeakPool } from './weak-pool.ts';

export interface CatalogueOptions {
  /** The desired backends, in configured order, whether or not they answered. */
  readonly backends: readonly { readonly name: string }[];
  readonly naming: Naming;
  /** The last known items of each backend; of one that has never been read, nothing. */
  readonly items: ReadonlyMap<string, BackendItems>;
  /** Authenticates cursors; the same on every replica. */
  readonly cursorKey: Buffer;
}

/** What the client sees of many backends, merged. Immutable; equal ones are the same object in one process. */
export interface Catalogue extends Routes {
  /**
   * The raw JSON of a whole list result. Made once and shared: not to be written to.
   * Lists over 1 MiB come in pages. Throws MeshError `invalid_params` for a bad cursor.
   */
  page(kind: ListKind, cursor: string | undefined): Buffer;
  /** The items of a list as the client sees them, each in pieces; undefined where the list comes in pages. */
  items(kind: ListKind): readonly (readonly Uint8Array[])[] | undefined;
  /** A hash of what the client sees of this kind, to be compared for equality. */
  version(kind: ListKind): string;
  /** What to keep with a session: `routesFrom` makes the same routes again. */
  routingTable(): StoredTable;
  /** Items that lost their name to another backend (modes `none` and `priority`). */
  hidden(kind: ListKind): number;
}

export type { ListKind } from './item.ts';
export type { Route, RouteKind } from './routes.ts';

/** A list result may be larger than this by its last item only. */
const PAGE_BYTES = 1024 * 1024;

/** Merges the backends' lists: configured order first, then each backend's own. */
export function buildCatalogue(options: CatalogueOptions): Catalogue {
  return pool.get(digest(options), () => new MergedCatalogue(options));
}

const pool = new WeakPool<Catalogue>();

class MergedCatalogue extends Routes implements Catalogue {
  readonly #cursorKey: Buffer;
  readonly #entries: Readonly<Record<ListKind, readonly Entry[]>>;
  readonly #given: Readonly<Record<ListKind, number>>;
  readonly #table: StoredTable;
  readonly #versions = new Map<ListKind, string>();
  /** Prepared pages by kind and by the index of their first item. */
  readonly #pages = new Map<ListKind, ReadonlyMap<number, Buffer>>();

  constructor({ backends, naming, items, cursorKey }: CatalogueOptions) {
    const names = backends.map(({ name }) => name);
    const lists = byKind((kind) => listsOf(kind, names, items));
    const entries = byKind((kind) =>
      isNamed(kind) ? resolveNames(lists[kind], naming) : resolveUris(lists[kind]),
    );
    const groups = byKind((kind) => group(lists[kind], entries[kind]));
    const table = makeTable(naming.mode, groups);
    super(table, { backends: names, naming });
    this.#cursorKey = cursorKey;
    this.#entries = entries;
    this.#given = byKind((kind) => [...lists[kind].values()].flat().length);
    this.#table = storeTable(table);
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
    const hash = createHash('sha256');
    for (const { visible, item } of this.#entries[kind]) addText(hash, visible).update(item.hash);
    const version = hash.digest('base64url');
    this.#versions.set(kind, version);
    return version;
  }

  routingTable(): StoredTable {
    return this.#table;
  }

  hidden(kind: ListKind): number {
    return this.#given[kind] - this.#entries[kind].length;
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

function isNamed(kind: ListKind): boolean {
  return kind === 'tools' || kind === 'prompts';
}

function listsOf(
  kind: ListKind,
  backends: readonly string[],
  items: ReadonlyMap<string, BackendItems>,
): Lists {
  return new Map(
    backends.flatMap((backend) => {
      const list = items.get(backend)?.[kind];
      return list === undefined ? [] : [[backend, list] as const];
    }),
  );
}

function group(lists: Lists, entries: readonly Entry[]): ReadonlyMap<string, readonly Entry[]> {
  const groups = new Map<string, Entry[]>([...lists.keys()].map((backend) => [backend, []]));
  for (const entry of entries) groups.get(entry.backend)?.push(entry);
  return groups;
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

/** Of everything a catalogue is made from. */
function digest({ backends, naming, items, cursorKey }: CatalogueOptions): string {
  const hash = createHash('sha256').update(createHash('sha256').update(cursorKey).digest());
  addText(hash, JSON.stringify([naming.mode, naming.order]));
  for (const { name } of backends) {
    addText(hash, name);
    for (const kind of KINDS) {
      const list = items.get(name)?.[kind];
      hash.update(`${kind} ${list?.length ?? 'unread'} `);
      for (const item of list ?? []) hash.update(item.hash);
    }
  }
  return hash.digest('base64url');
}

/** With its length before it, so that two texts never read as two others. */
function addText(hash: Hash, text: string): Hash {
  return hash.update(`${text.length} `).update(text);
}
