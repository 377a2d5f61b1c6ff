import { createHash } from 'node:crypto';
import { byKind, type ListKind } from './item.ts';
import {
  backendOf,
  type Entry,
  isPrefixed,
  type NamedKind,
  type Naming,
  namespaced,
  naturalName,
  originalOf,
  parseNamespaced,
} from './naming.ts';
import type { Shapes } from './shape.ts';
import { compileTemplate, type TemplateMatcher } from './template-matcher.ts';

/** What a visible name can be the name of. A `template` is the URI template itself, as completion refers to it. */
export type RouteKind = 'tool' | 'prompt' | 'resource' | 'template';

/** The list that holds what such a name is the name of. */
export const LIST_OF = {
  tool: 'tools',
  prompt: 'prompts',
  resource: 'resources',
  template: 'resourceTemplates',
} as const satisfies Record<RouteKind, ListKind>;

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
  readonly shapes: Shapes;
}

/**
 * Where a visible name leads. The same for a session that was just restored, from
 * the table its client last saw, as for one whose lists have all been read. What is
 * hidden leads nowhere, also where a table still knows it; and where some names of a
 * backend are hidden, none leads there that no list has shown.
 */
export class Routes {
  readonly #options: RoutesOptions;
  /** By kind and visible name. */
  readonly #visible: Readonly<Record<ListKind, Map<string, Owner>>>;
  /** By backend and original. */
  readonly #reverse = new Map<string, string>();
  readonly #read: Readonly<Record<ListKind, ReadonlySet<string>>>;
  readonly #templates: readonly Template[];

  constructor(table: RoutingTable, options: RoutesOptions) {
    this.#options = options;
    this.#visible = byKind((kind) => this.#index(kind, table));
    this.#read = byKind((kind) => new Set(table.kinds[kind].map(([backend]) => backend)));
    this.#templates = [...this.#visible.resourceTemplates].flatMap(([visible, owner]) => {
      const matcher = compileTemplate(owner.original);
      return matcher === undefined ? [] : [{ ...owner, ...matcher, plain: visible === owner.original }];
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
        return this.#visible.resourceTemplates.get(visible) ?? this.#uri(kind, visible);
      case 'resource':
        return this.#visible.resources.get(visible) ?? this.#uri(kind, visible);
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

  /** Backends that may have it, whatever their lists hold: the one that the name names, where it names one. */
  candidates(kind: RouteKind, visible: string): readonly string[] {
    const { backends } = this.#options;
    const list = LIST_OF[kind];
    const named =
      list === 'tools' || list === 'prompts'
        ? backendOf(this.#rules(list), visible)
        : parseNamespaced(visible)?.backend;
    return named === undefined ? backends : backends.filter((backend) => backend === named);
  }

  #index(kind: ListKind, table: RoutingTable): Map<string, Owner> {
    const visible = new Map<string, Owner>();
    for (const [backend, entries] of table.kinds[kind]) {
      // It has left the virtual server since.
      if (!this.#options.backends.includes(backend)) continue;
      for (const entry of entries) {
        const original = typeof entry === 'string' ? entry : entry[0];
        const name =
          typeof entry === 'string' ? usualName(kind, table.mode, { backend, original }) : entry[1];
        if (!this.#admits(kind, { backend, original })) continue;
        visible.set(name, { backend, original });
        this.#reverse.set(reverseKey(kind, { backend, original }), name);
      }
    }
    return visible;
  }

  #rules(kind: NamedKind) {
    const { naming, shapes } = this.#options;
    return { kind, naming, shapes };
  }

  #named(kind: NamedKind, visible: string): Route | undefined {
    const owner = this.#visible[kind].get(visible);
    if (isPrefixed(this.#options.naming)) return owner ?? this.#unlisted(kind, visible);
    const rivals = owner === undefined ? [] : this.#rivals(kind, visible, owner.backend);
    return owner === undefined || rivals.length === 0 ? owner : { ...owner, rivals };
  }

  #unlisted(kind: NamedKind, visible: string): Route | undefined {
    const owner = originalOf(this.#rules(kind), visible);
    if (owner === undefined || !this.unread(kind).includes(owner.backend)) return undefined;
    if (this.#options.shapes.get(owner.backend)?.filters(kind) === true) return undefined;
    return { backend: owner.backend, original: owner.original };
  }

  #rivals(kind: NamedKind, visible: string, backend: string): readonly string[] {
    const unread = this.unread(kind);
    if (unread.length === 0) return unread;
    const { naming, shapes } = this.#options;
    return unread.filter((rival) => {
      if (naming.order.indexOf(rival) > naming.order.indexOf(backend)) return false;
      const shape = shapes.get(rival);
      const original = shape === undefined ? visible : shape.originalOf(kind, visible);
      return original !== undefined && this.#admits(kind, { backend: rival, original });
    });
  }

  /** A URI that no list holds: one that names its backend, one that a template matches, or any where there is one backend only. */
  #uri(kind: 'resource' | 'template', visible: string): Route | undefined {
    const { backends } = this.#options;
    const list = kind === 'template' && visible.includes('{') ? 'resourceTemplates' : 'resources';
    const named = parseNamespaced(visible);
    if (named !== undefined && backends.includes(named.backend))
      return this.#isOpen(list, named) ? named : undefined;
    const admitting = new Set(
      backends.filter((backend) => this.#admits(list, { backend, original: visible })),
    );
    const match = this.#match(visible, ({ plain, backend }) => plain && admitting.has(backend));
    if (match !== undefined) return { backend: match.backend, original: visible };
    const [backend] = backends;
    if (backends.length !== 1 || backend === undefined) return undefined;
    const only = { backend, original: visible };
    return this.#isOpen(list, only) ? only : undefined;
  }

  /** The first template in order that a URI is an expansion of. */
  #match(uri: string, isMeant: (template: Template) => boolean): Template | undefined {
    let budget = MATCHING_BUDGET;
    for (const template of this.#templates) {
      if (!uri.startsWith(template.head) || !isMeant(template)) continue;
      budget -= template.width * uri.length;
      if (budget < 0) return undefined;
      if (template.matches(uri)) return template;
    }
    return undefined;
  }

  #admits(list: ListKind, { backend, original }: Owner): boolean {
    return this.#options.shapes.get(backend)?.admits(list, original) !== false;
  }

  /** Whether a backend may be asked for what it has not listed. Where templates are hidden, only for what is listed or one that is shown matches. */
  #isOpen(list: 'resources' | 'resourceTemplates', owner: Owner): boolean {
    const { backend, original } = owner;
    if (!this.#admits(list, owner)) return false;
    if (this.#options.shapes.get(backend)?.filters('resourceTemplates') !== true) return true;
    if (this.#reverse.has(reverseKey(list, owner))) return true;
    return list === 'resources' && this.#match(original, (each) => each.backend === backend) !== undefined;
  }
}

/** The routes of a session from the table that its client last saw; without one, all lists count as unread. */
export function routesFrom(table: string | undefined, options: RoutesOptions): Routes {
  const none: RoutingTable = { mode: options.naming.mode, kinds: byKind(() => []) };
  const known = table === undefined ? none : (JSON.parse(table) as RoutingTable);
  // Names that were given by another rule lead nowhere now.
  return new Routes(known.mode === options.naming.mode ? known : none, options);
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

interface Owner {
  readonly backend: string;
  readonly original: string;
}

interface Template extends Owner, TemplateMatcher {
  /** Whether its expansions are URIs as the client knows them. */
  readonly plain: boolean;
}

/** Steps that one URI may cost over all templates. */
const MATCHING_BUDGET = 100_000;

function usualName(kind: ListKind, mode: Naming['mode'], { backend, original }: Owner): string {
  return kind === 'tools' || kind === 'prompts' ? naturalName({ mode }, backend, original) : original;
}

function reverseKey(kind: ListKind, { backend, original }: Owner): string {
  return `${kind} ${backend} ${original}`;
}
