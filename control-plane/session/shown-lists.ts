import type { PolicyResource } from '../identity/policies.ts';
import type { Principal } from '../identity/principal.ts';
import type { Catalogue, Entry, ListKind, ListPages, Route, RouteKind } from '../virtual-server/catalogue.ts';
import { KINDS } from '../virtual-server/item.ts';
import { LIST_OF } from '../virtual-server/routes.ts';
import { compileTemplate } from '../virtual-server/template-matcher.ts';
import type { Admission } from './admission.ts';

/** Other work has its turn after each so many milliseconds of deciding. */
const SLICE_MS = 5;
/** Authorization contexts whose lists of one catalogue are kept; others are decided again. */
const MOST_CONTEXTS = 1_000;

/** What one authorization context sees of a catalogue. */
export interface Shown {
  readonly pages: ListPages;
  /** Items that it does not see. Their names are theirs all the same. */
  readonly hidden: ReadonlySet<Entry>;
}

interface Decided {
  readonly revision: number;
  /** The one longest unused first. */
  readonly contexts: Map<string, Promise<Shown> | Shown>;
}

/**
 * The lists that each authorization context is shown: decided once for a context,
 * a catalogue and the rules in force, in small slices, and shared by all sessions
 * for which these are the same.
 */
export class ShownLists {
  readonly #admission: Admission;
  readonly #decided = new WeakMap<Catalogue, Decided>();

  constructor(admission: Admission) {
    this.#admission = admission;
  }

  /** What is known without deciding anything; undefined where something must be decided. */
  known(principal: Principal, catalogue: Catalogue): Shown | undefined {
    if (!this.#admission.hides) return { pages: catalogue, hidden: NOTHING };
    const decided = this.#of(catalogue).contexts.get(principal.contextDigest);
    return decided instanceof Promise ? undefined : decided;
  }

  async of(principal: Principal, catalogue: Catalogue): Promise<Shown> {
    const known = this.known(principal, catalogue);
    if (known !== undefined) return known;
    const { revision, contexts } = this.#of(catalogue);
    const joined = contexts.get(principal.contextDigest) ?? this.#decide(principal, catalogue);
    contexts.delete(principal.contextDigest);
    contexts.set(principal.contextDigest, joined);
    const [oldest] = contexts.keys();
    if (contexts.size > MOST_CONTEXTS && oldest !== undefined) contexts.delete(oldest);
    const shown = await joined;
    if (revision !== this.#admission.revision) return this.of(principal, catalogue);
    if (contexts.get(principal.contextDigest) === joined) contexts.set(principal.contextDigest, shown);
    return shown;
  }

  #of(catalogue: Catalogue): Decided {
    const { revision } = this.#admission;
    const known = this.#decided.get(catalogue);
    if (known?.revision === revision) return known;
    const decided = { revision, contexts: new Map() };
    this.#decided.set(catalogue, decided);
    return decided;
  }

  async #decide(principal: Principal, catalogue: Catalogue): Promise<Shown> {
    const hidden = new Set<Entry>();
    let since = performance.now();
    for (const kind of KINDS) {
      for (const entry of catalogue.entries(kind)) {
        if (!this.#admission.shows(principal, resourceOf(kind, entry))) hidden.add(entry);
        if (performance.now() - since < SLICE_MS) continue;
        await new Promise((resolve) => setImmediate(resolve));
        since = performance.now();
      }
    }
    return { pages: catalogue.without(hidden), hidden };
  }
}

/** What a visible name leads to, as decisions see it: as its backend lists it, if it does. */
export function itemAt(
  catalogue: Catalogue,
  kind: RouteKind,
  { backend, original, visible }: Route & { readonly visible: string },
): PolicyResource {
  const list = LIST_OF[kind];
  const entry = listedItem(catalogue, list, { backend, original });
  if (entry === undefined) return { kind, backend, name: original, visible, definition: undefined };
  return resourceOf(list, entry);
}

function listedItem(
  catalogue: Catalogue,
  kind: ListKind,
  { backend, original }: { readonly backend: string; readonly original: string },
): Entry | undefined {
  const known = indexes.get(catalogue) ?? new Map<ListKind, ReadonlyMap<string, Entry>>();
  indexes.set(catalogue, known);
  const index =
    known.get(kind) ??
    new Map(catalogue.entries(kind).map((entry) => [keyOf(entry.backend, entry.item.key), entry]));
  known.set(kind, index);
  return index.get(keyOf(backend, original));
}

const indexes = new WeakMap<Catalogue, Map<ListKind, ReadonlyMap<string, Entry>>>();

function keyOf(backend: string, original: string): string {
  return `${backend} ${original}`;
}

/** Whether a backend may be asked for a URI that no list holds: where templates of it are hidden, only if one that is shown matches. */
export function opensTo(
  catalogue: Catalogue,
  { hidden }: Shown,
  { backend, original }: { readonly backend: string; readonly original: string },
): boolean {
  const templates = catalogue.entries('resourceTemplates').filter((entry) => entry.backend === backend);
  if (!templates.some((entry) => hidden.has(entry))) return true;
  return templates.some(
    (entry) => !hidden.has(entry) && compileTemplate(entry.item.key)?.matches(original) === true,
  );
}

const NOTHING: ReadonlySet<Entry> = new Set();

const KIND_OF: Readonly<Record<ListKind, RouteKind>> = {
  tools: 'tool',
  prompts: 'prompt',
  resources: 'resource',
  resourceTemplates: 'template',
};

/** A listed item, as decisions see it. */
export function resourceOf(kind: ListKind, { visible, backend, item }: Entry): PolicyResource {
  return { kind: KIND_OF[kind], backend, name: item.key, visible, definition: item };
}
