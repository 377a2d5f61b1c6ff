import { createHash, type Hash } from 'node:crypto';
import { type BackendItems, byKind, KINDS, type ListKind } from './item.ts';
import { EntryPages, type ListPages, pagesOf } from './list-pages.ts';
import { type Entry, type Lists, type NamedKind, type Naming, resolveNames, resolveUris } from './naming.ts';
import { makeTable, Routes, type StoredTable, storeTable } from './routes.ts';
import type { Shapes } from './shape.ts';
import { WeakPool } from './weak-pool.ts';

export interface CatalogueOptions {
  /** The desired backends, in configured order, whether or not they answered. */
  readonly backends: readonly { readonly name: string }[];
  readonly naming: Naming;
  readonly shapes: Shapes;
  /** The last known items of each backend, as it gave them; of one that has never been read, nothing. */
  readonly items: ReadonlyMap<string, BackendItems>;
  /** Authenticates cursors; the same on every replica. */
  readonly cursorKey: Buffer;
}

/** What the client sees of many backends, merged. Immutable; equal ones are the same object in one process. */
export interface Catalogue extends Routes, ListPages {
  /** What is listed, in order, and where each leads. */
  entries(kind: ListKind): readonly Entry[];
  /** The lists without what `hides` names: that keeps its name, and leads where it led. */
  without(hides: ReadonlySet<Entry>): ListPages;
  /** What to keep with a session: `routesFrom` makes the same routes again. */
  routingTable(): StoredTable;
  /** Items that lost their name to another backend (modes `none` and `priority`); what configuration hides is none of them. */
  hidden(kind: ListKind): number;
}

export type { ListKind } from './item.ts';
export type { ListPages } from './list-pages.ts';
export type { Entry } from './naming.ts';
export type { Route, RouteKind } from './routes.ts';

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
  readonly #pages: ListPages;

  constructor(options: CatalogueOptions) {
    const { backends, naming, shapes, cursorKey } = options;
    const names = backends.map(({ name }) => name);
    const lists = byKind((kind) => listsOf(kind, options));
    const entries = byKind((kind) =>
      isNamed(kind) ? resolveNames(lists[kind], { kind, naming, shapes }) : resolveUris(lists[kind]),
    );
    const groups = byKind((kind) => group(lists[kind], entries[kind]));
    const table = makeTable(naming.mode, groups);
    super(table, { backends: names, naming, shapes });
    this.#cursorKey = cursorKey;
    this.#entries = entries;
    this.#pages = new EntryPages(entries, cursorKey);
    this.#given = byKind((kind) => [...lists[kind].values()].flat().length);
    this.#table = storeTable(table);
  }

  page(kind: ListKind, cursor: string | undefined): Buffer {
    return this.#pages.page(kind, cursor);
  }

  items(kind: ListKind): readonly (readonly Uint8Array[])[] | undefined {
    return this.#pages.items(kind);
  }

  version(kind: ListKind): string {
    return this.#pages.version(kind);
  }

  entries(kind: ListKind): readonly Entry[] {
    return this.#entries[kind];
  }

  without(hides: ReadonlySet<Entry>): ListPages {
    if (hides.size === 0) return this;
    const shown = byKind((kind) => this.#entries[kind].filter((entry) => !hides.has(entry)));
    return pagesOf(shown, this.#cursorKey);
  }

  routingTable(): StoredTable {
    return this.#table;
  }

  hidden(kind: ListKind): number {
    return this.#given[kind] - this.#entries[kind].length;
  }
}

function isNamed(kind: ListKind): kind is NamedKind {
  return kind === 'tools' || kind === 'prompts';
}

/** The backends' lists in order, each in its shape. */
function listsOf(kind: ListKind, { backends, items, shapes }: CatalogueOptions): Lists {
  return new Map(
    backends.flatMap(({ name }) => {
      const list = items.get(name)?.[kind];
      return list === undefined ? [] : [[name, shapes.get(name)?.apply(kind, list) ?? list] as const];
    }),
  );
}

function group(lists: Lists, entries: readonly Entry[]): ReadonlyMap<string, readonly Entry[]> {
  const groups = new Map<string, Entry[]>([...lists.keys()].map((backend) => [backend, []]));
  for (const entry of entries) groups.get(entry.backend)?.push(entry);
  return groups;
}

/** Of everything a catalogue is made from. */
function digest({ backends, naming, shapes, items, cursorKey }: CatalogueOptions): string {
  const hash = createHash('sha256').update(createHash('sha256').update(cursorKey).digest());
  addText(hash, JSON.stringify([naming.mode, naming.order, naming.names]));
  for (const { name } of backends) {
    addText(hash, name);
    addText(hash, shapes.get(name)?.digest ?? '');
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
