import { createHash } from 'node:crypto';
import { KINDS, type ListKind } from './item.ts';
import {
  type Entry,
  LEGAL_NAME,
  type Naming,
  namespaced,
  naturalName,
  parseNamespaced,
  SEPARATOR,
} from './naming.ts';
import { compileTemplate, type TemplateMatcher } from './template-matcher.ts';

/** What a visible name can be the name of. A `template` is the URI template itself, as completion refers to it. */
export type RouteKind = 'tool' | 'prompt' | 'resource' | 'template';

export interface Route {
  readonly backend: string;
  /** The name or URI as this backend knows it. */
  readonly original: string;
  /**
   * Desired backends that come before this one and whose list has never been read:
   * the name may be theirs. Until it has been read the call must go nowhere
   * (`backend_unavailable`). Absent where there are none, as always under prefixes.
   */
  readonly rivals?: readonly string[];
}

/**
 * Visible name → backend and original, as JSON, to be kept with a session. For each
 * kind the backends whose list has been read; an entry is the original key, or
 * [original, visible] where the visible name does not follow from it.
 */
export interface RoutingTable {
  readonly mode: Naming['mode'];
  readonly kinds: Readonly<Record<ListKind, readonly TableRow[]>>;
}

type TableRow = readonly [
  backend: string,
  entries: readonly (string | readonly [original: string, visible: string])[],
];

/** A routing table in its stored form. `id` is the hash of the text. */
export interface StoredTable {
  readonly id: string;
  readonly text: string;
}

export interface RoutesOptions {
  /** The desired backends, in configured order. */
  readonly backends: readonly string[];
  readonly naming: Naming;
}

/**
 * Where a visible name leads. The same for a session that was just restored, from
 * the table its client last saw, as for one whose lists have all been read.
 */
export class Routes {
  readonly #options: RoutesOptions;
  /** By kind and visible name. */
  readonly #visible: Readonly<Record<ListKind, Map<string, Owner>>>;
  /** By backend and original. */
  readonly #reverse = new Map<string, string>();
  readonly #read: Readonly<Record<ListKind, ReadonlySet<string>>>;
  readonly #templates: readonly (Owner & TemplateMatcher)[];

  constructor(table: RoutingTable, options: RoutesOptions) {
    this.#options = options;
    this.#visible = byKind((kind) => this.#index(kind, table));
    this.#read = byKind((kind) => new Set(table.kinds[kind].map(([backend]) => backend)));
    this.#templates = [...this.#visible.resourceTemplates].flatMap(([visible, owner]) => {
      const matcher = parseNamespaced(visible) === undefined ? compileTemplate(visible) : undefined;
      return matcher === undefined ? [] : [{ ...owner, ...matcher }];
    });
  }

  /** Undefined: nobody has it. Costs a few milliseconds at most, whatever the name. */
  route(kind: RouteKind, visible: string): Route | undefined {
    switch (kind) {
      case 'tool':
        return this.#named('tools', visible);
      case 'prompt':
        return this.#named('prompts', visible);
      case 'template':
        return this.#visible.resourceTemplates.get(visible) ?? this.#uri(visible);
      case 'resource':
        return this.#visible.resources.get(visible) ?? this.#uri(visible);
    }
  }

  /** How the client knows, or may call, a backend's URI: in notifications, links and embedded resources. */
  visibleUri(backend: string, original: string): string {
    const listed = this.#reverse.get(reverseKey('resources', { backend, original }));
    if (listed !== undefined) return listed;
    const plain = this.route('resource', original);
    return plain?.backend === backend && plain.original === original
      ? original
      : namespaced(backend, original);
  }

  /** Desired backends whose list of this kind has never been read, in configured order. */
  unread(kind: ListKind): readonly string[] {
    return this.#options.backends.filter((backend) => !this.#read[kind].has(backend));
  }

  #index(kind: ListKind, table: RoutingTable): Map<string, Owner> {
    const visible = new Map<string, Owner>();
    for (const [backend, entries] of table.kinds[kind]) {
      for (const entry of entries) {
        const original = typeof entry === 'string' ? entry : entry[0];
        const name =
          typeof entry === 'string' ? usualName(kind, table.mode, { backend, original }) : entry[1];
        visible.set(name, { backend, original });
        this.#reverse.set(reverseKey(kind, { backend, original }), name);
      }
    }
    return visible;
  }

  #named(kind: 'tools' | 'prompts', visible: string): Route | undefined {
    const owner = this.#visible[kind].get(visible);
    if (this.#options.naming.mode === 'prefix') return owner ?? this.#byPrefix(kind, visible);
    const rivals = owner === undefined ? [] : this.#rivals(kind, owner.backend);
    return owner === undefined || rivals.length === 0 ? owner : { ...owner, rivals };
  }

  /** Backend names hold no underscore, so the first separator is the one. */
  #byPrefix(kind: ListKind, visible: string): Route | undefined {
    const end = visible.indexOf(SEPARATOR);
    const backend = visible.slice(0, Math.max(end, 0));
    const original = visible.slice(end + SEPARATOR.length);
    // A name that no list could show is nobody's, read or not.
    if (original === '' || !LEGAL_NAME.test(visible) || !this.unread(kind).includes(backend))
      return undefined;
    return { backend, original };
  }

  #rivals(kind: ListKind, backend: string): readonly string[] {
    const unread = this.unread(kind);
    if (unread.length === 0) return unread;
    const { order } = this.#options.naming;
    return unread.filter((rival) => order.indexOf(rival) < order.indexOf(backend));
  }

  /** A URI that no list holds: one that names its backend, one that a template matches, or any where there is one backend only. */
  #uri(visible: string): Route | undefined {
    const { backends } = this.#options;
    const named = parseNamespaced(visible);
    if (named !== undefined && backends.includes(named.backend)) return named;
    let budget = MATCHING_BUDGET;
    for (const { backend, head, width, matches } of this.#templates) {
      if (!visible.startsWith(head)) continue;
      budget -= width * visible.length;
      if (budget < 0) break;
      if (matches(visible)) return { backend, original: visible };
    }
    const [only] = backends;
    return backends.length === 1 && only !== undefined ? { backend: only, original: visible } : undefined;
  }
}

/** The routes of a session from the table that its client last saw; without one, all lists count as unread. */
export function routesFrom(table: string | undefined, options: RoutesOptions): Routes {
  const none: RoutingTable = { mode: options.naming.mode, kinds: byKind(() => []) };
  return new Routes(table === undefined ? none : (JSON.parse(table) as RoutingTable), options);
}

/** The table of what a client sees; a kind without a row for a backend has never been read there. */
export function makeTable(
  mode: Naming['mode'],
  lists: Readonly<Record<ListKind, ReadonlyMap<string, readonly Entry[]>>>,
): RoutingTable {
  const row = (kind: ListKind, backend: string, entries: readonly Entry[]): TableRow => [
    backend,
    entries.map(({ visible, item: { key: original } }) =>
      visible === usualName(kind, mode, { backend, original }) ? original : [original, visible],
    ),
  ];
  return {
    mode,
    kinds: byKind((kind) => [...lists[kind]].map(([backend, entries]) => row(kind, backend, entries))),
  };
}

export function storeTable(table: RoutingTable): StoredTable {
  const text = JSON.stringify(table);
  return { id: createHash('sha256').update(text).digest('base64url'), text };
}

export function byKind<T>(make: (kind: ListKind) => T): Record<ListKind, T> {
  const [tools, resources, resourceTemplates, prompts] = KINDS;
  return {
    tools: make(tools),
    resources: make(resources),
    resourceTemplates: make(resourceTemplates),
    prompts: make(prompts),
  };
}

interface Owner {
  readonly backend: string;
  readonly original: string;
}

/** Steps that one URI may cost over all templates. */
const MATCHING_BUDGET = 100_000;

function usualName(kind: ListKind, mode: Naming['mode'], { backend, original }: Owner): string {
  return kind === 'tools' || kind === 'prompts' ? naturalName({ mode }, backend, original) : original;
}

function reverseKey(kind: ListKind, { backend, original }: Owner): string {
  return `${kind} ${backend} ${original}`;
}
