import { MeshError } from '../../shared/errors.ts';
import { resultWithMeta } from '../../shared/json-rpc/envelope.ts';
import type { Caller } from '../identity/caller.ts';
import type { PolicyResource } from '../identity/policies.ts';
import { type Principal, principalOf } from '../identity/principal.ts';
import {
  buildCatalogue,
  type Catalogue,
  type Entry,
  type ListKind,
  type Route,
  type RouteKind,
} from '../virtual-server/catalogue.ts';
import { type BackendItems, type Item, KINDS } from '../virtual-server/item.ts';
import { LIST_OF, type Routes, routesFrom } from '../virtual-server/routes.ts';
import type { Shapes } from '../virtual-server/shape.ts';
import type { Admission, Use } from './admission.ts';
import { BACKENDS_META, type Outage, outages } from './backend-outages.ts';
import { type ListReadOptions, ListReads, RETRY_MS, type ShownItems } from './list-reads.ts';
import {
  failures,
  type KnownList,
  type ListView,
  listKey,
  newView,
  waitedFor,
  without,
} from './list-view.ts';
import type { LiveSession } from './live-session.ts';
import type { RoutingTables } from './routing-tables.ts';
import { itemAt, opensTo, ShownLists } from './shown-lists.ts';
import { type MergeRules, mergeRules, type VirtualServer } from './virtual-server.ts';

/** Authorization contexts of one session that are seen at a time; a caller whose view was dropped reads anew. */
const MOST_VIEWS = 8;

/** Lists of one backend that changed, or may have. */
export interface Change {
  readonly kinds: readonly ListKind[];
  /** The backend said so, in every session that hears it. */
  readonly said: boolean;
}

export interface CatalogueOptions extends ListReadOptions {
  /** Authenticates cursors; the same on every replica. */
  readonly cursorKey: Uint8Array;
  readonly tables: RoutingTables;
  readonly virtualServer: (name: string) => VirtualServer | undefined;
  readonly admission: Admission;
  /** These lists of a session may have changed: nobody answers them without asking. */
  readonly onStale: (session: LiveSession, kinds: readonly ListKind[]) => void;
  /** Another authorization context uses the session: what its client was shown may not be what this caller sees. */
  readonly onNewContext: (session: LiveSession, caller: Caller) => void;
}

/** What one authorization context of a session sees, and what there is. */
export interface SeenView {
  readonly principal: Principal;
  /** Last known items of each backend, as it gave them. */
  readonly items: ReadonlyMap<string, BackendItems>;
  readonly shapes: Shapes;
  readonly catalogue: Catalogue;
  /** Items that have a name and are not shown. */
  readonly hidden: ReadonlySet<Entry>;
  readonly missing: Readonly<Record<string, Outage>>;
}

/** What a request of a client names, and is about to use. */
export interface Wanted {
  readonly kind: RouteKind;
  readonly visible: string;
  readonly use: Use;
}

/**
 * The merged lists of the live sessions, one view for each authorization context,
 * because a backend may show each caller something else. Lists are read under the
 * credential of the caller who asks, all backends at once, and kept until they
 * are known or likely to have changed.
 */
export class Catalogues {
  readonly #options: CatalogueOptions;
  readonly #cursorKey: Buffer;
  readonly #reads: ListReads;
  readonly #shown: ShownLists;
  /** By the digest of their authorization context, the one longest unused first. */
  readonly #views = new WeakMap<LiveSession, Map<string, ListView>>();

  constructor(options: CatalogueOptions) {
    this.#options = options;
    this.#cursorKey = Buffer.from(options.cursorKey);
    this.#reads = new ListReads(options);
    this.#shown = new ShownLists(options.admission);
  }

  /** The raw result of a list request: every backend that answers in time, the last known items of the others, and who is missing. */
  async list(
    session: LiveSession,
    caller: Caller,
    wanted: { kind: ListKind; cursor: string | undefined },
  ): Promise<readonly Uint8Array[]> {
    const view = this.#view(session, caller);
    await this.#reads.refresh({ session, caller, view }, wanted.kind);
    const { pages } = await this.#shown.of(view.principal, this.#catalogue(session, view));
    const page = pages.page(wanted.kind, wanted.cursor);
    view.served.set(wanted.kind, pages.version(wanted.kind));
    this.remember(session, caller);
    const missing = missingFrom(session, view, wanted.kind);
    if (missing === undefined) return [page];
    return resultWithMeta(page, BACKENDS_META, Buffer.from(missing));
  }

  /** What callers of an authorization context are shown now; undefined where only a request can tell. */
  known(session: LiveSession, contextDigest: string, kind: ListKind): KnownList | undefined {
    const view = this.#views.get(session)?.get(contextDigest);
    if (view?.served.has(kind) !== true) return undefined;
    const missing = missingFrom(session, view, kind);
    const fresh = [...session.links.values()].map((link) =>
      this.#reads.freshFor({ session, view }, { link, kind }),
    );
    const freshForMs = Math.min(missing === undefined ? Number.POSITIVE_INFINITY : RETRY_MS, ...fresh);
    const shown = this.#shown.known(view.principal, this.#catalogue(session, view));
    return freshForMs <= 0 || shown === undefined ? undefined : { pages: shown.pages, missing, freshForMs };
  }

  /**
   * Where a visible name leads; undefined where nobody has it, or where this caller
   * may not use it, which is answered alike. Names belong to the desired backends, not
   * to those that happen to answer: a name that a silent backend may own rejects with
   * `backend_unavailable`. Rejects as `Admission.admits` does.
   */
  route(
    session: LiveSession,
    caller: Caller,
    wanted: Wanted,
  ): Route | undefined | Promise<Route | undefined> {
    const view = this.#view(session, caller);
    const catalogue = this.#catalogue(session, view);
    const known = this.#options.admission.guards
      ? isCall(wanted) && this.#admittedCalls(view, catalogue).get(wanted.visible)
      : routeIn(catalogue, { kind: wanted.kind, visible: wanted.visible, guess: true });
    return known && isCertain(known) ? known : this.#search(session, caller, { wanted, view });
  }

  async #search(
    session: LiveSession,
    caller: Caller,
    { wanted, view }: { wanted: Wanted; view: ListView },
  ): Promise<Route | undefined> {
    const { admission } = this.#options;
    const denied: PolicyResource[] = [];
    const may = (route: Route) =>
      !admission.guards || this.#admits(session, caller, { wanted, route, denied });
    // Where items are hidden a name that no list has shown is no route: what is not there must not look otherwise.
    const from = (routes: Routes) => routeIn(routes, { ...wanted, guess: !admission.hides });
    const known = from(this.#catalogue(session, view));
    if (isCertain(known) && (await may(known))) return known;
    const remembered = from(await this.#tableOf(session));
    if (isCertain(remembered) && (await may(remembered))) return remembered;
    const list = LIST_OF[wanted.kind];
    const candidates = this.#catalogue(session, view).candidates(wanted.kind, wanted.visible);
    const reader = { session, caller, view };
    await this.#reads.refresh(reader, list, candidates);
    if (wanted.kind === 'resource') await this.#reads.refresh(reader, 'resourceTemplates', candidates);
    const catalogue = this.#catalogue(session, view);
    const listed = from(catalogue);
    // What is denied is answered as what nobody has, and after the same reads.
    const found = isCertain(listed) && !(await may(listed)) ? undefined : listed;
    const [refused] = denied;
    if (found === undefined && refused !== undefined) admission.denied(caller, wanted.use, refused);
    const unread = catalogue.unread(list);
    const [silent] =
      found?.rivals ?? (found === undefined ? candidates : []).filter((each) => unread.includes(each));
    if (silent !== undefined) throw silentOwner(view, silent, list);
    return found;
  }

  /** What tells how this caller knows a backend's URIs: as they are listed now, or were to the client before this replica had the session. */
  routes(session: LiveSession, caller: Caller, backend: string): Routes | Promise<Routes> {
    const catalogue = this.#catalogue(session, this.#view(session, caller));
    const isRead = !catalogue.unread('resources').includes(backend);
    return isRead || session.body.table === undefined ? catalogue : this.#tableOf(session);
  }

  /** Whether a caller may see a resource of a backend. */
  shows(session: LiveSession, caller: Caller, resource: Route & { readonly visible: string }): boolean {
    const { admission } = this.#options;
    if (!admission.hides) return true;
    const catalogue = this.#catalogue(session, this.#view(session, caller));
    return admission.shows(principalOf(caller), itemAt(catalogue, 'resource', resource));
  }

  /** Of URIs as the client knows them, those of one backend, as that backend knows them. */
  async ownedUris(
    session: LiveSession,
    backend: string,
    visible: readonly string[],
  ): Promise<readonly string[]> {
    const remembered = await this.#tableOf(session);
    const seen = [...(this.#views.get(session)?.values() ?? [])].map((view) =>
      this.#catalogue(session, view),
    );
    return visible.flatMap((uri) => {
      const routes = [...seen, remembered].map((each) => each.route('resource', uri));
      const route = routes.find((each) => each !== undefined);
      return route?.backend === backend ? [route.original] : [];
    });
  }

  /**
   * Lists of this backend may have changed: the next read asks it again. Where the
   * backend `said` so to its sessions, one of them may ask for all of a context.
   */
  stale(session: LiveSession, backend: string, { kinds, said }: Change): void {
    for (const view of this.#views.get(session)?.values() ?? []) {
      for (const kind of kinds) {
        const reading = view.readings.get(listKey(backend, kind));
        if (reading === undefined) continue;
        // What may have changed in this session alone is read in it, whatever is said afterwards.
        const alone = !said || (reading.stale && reading.saidAt === undefined);
        const saidAt = alone ? undefined : this.#reads.moment();
        view.readings.set(listKey(backend, kind), { ...reading, stale: true, saidAt, failure: undefined });
      }
    }
    this.#options.onStale(session, kinds);
  }

  /**
   * Reads a list anew. The version that the client would see now, if that is another
   * than it was last given, here or by another owner of the session; undefined where
   * it sees no difference, or has no such list.
   */
  async changed(session: LiveSession, caller: Caller, kind: ListKind): Promise<string | undefined> {
    const view = this.#view(session, caller);
    const given = () => view.served.get(kind) ?? session.body.served?.[kind];
    if (given() === undefined) return undefined;
    await this.#reads.refresh({ session, caller, view }, kind);
    const { pages } = await this.#shown.of(view.principal, this.#catalogue(session, view));
    const version = pages.version(kind);
    return version === given() ? undefined : version;
  }

  /** The client has been told of these versions: what it reads from now on is at least as new. */
  told(session: LiveSession, caller: Caller, versions: ReadonlyMap<ListKind, string>): void {
    const { served } = this.#view(session, caller);
    for (const [kind, version] of versions) served.set(kind, version);
    this.remember(session, caller);
  }

  /** What the client relies on now is kept with the session. */
  remember(session: LiveSession, caller: Caller): void {
    const view = this.#view(session, caller);
    this.#options.tables.remember(session, {
      table: this.#catalogue(session, view).routingTable(),
      served: Object.fromEntries(view.served),
    });
  }

  /** The configuration is another one: lists are merged anew, and of backends that left nothing is known any more. */
  reconfigured(session: LiveSession, left: ReadonlySet<string>): void {
    const views = this.#views.get(session);
    for (const [context, view] of views ?? []) views?.set(context, without(view, left));
    this.#options.tables.forget(session);
    this.#options.onStale(session, KINDS);
  }

  /** What backends showed these sessions last, each list once. */
  shown(sessions: Iterable<LiveSession>): readonly ShownItems[] {
    const found = new Map<string, Map<readonly Item[], ShownItems>>();
    const views = [...sessions].flatMap((session) => [...(this.#views.get(session)?.values() ?? [])]);
    for (const [backend, lists] of views.flatMap(({ items }) => [...items])) {
      for (const kind of KINDS) {
        const items = lists[kind];
        if (items === undefined) continue;
        const key = listKey(backend, kind);
        found.set(key, (found.get(key) ?? new Map()).set(items, { backend, kind, items }));
      }
    }
    return [...found.values()].flatMap((lists) => [...lists.values()]);
  }

  /** What each authorization context of a session is shown, and what was read and is kept from it. For admins; asks no backend. */
  seen(session: LiveSession): Promise<readonly SeenView[]> {
    const views = [...(this.#views.get(session)?.values() ?? [])];
    return Promise.all(
      views.map(async (view) => {
        const catalogue = this.#catalogue(session, view);
        const { hidden } = await this.#shown.of(view.principal, catalogue);
        const missing = Object.assign({}, outages(session), ...KINDS.map((kind) => failures(view, kind)));
        const { shapes } = this.#rules(session);
        return { principal: view.principal, items: view.items, shapes, catalogue, hidden, missing };
      }),
    );
  }

  /** The session left this replica. */
  forget(session: LiveSession): void {
    this.#views.delete(session);
    this.#options.tables.forget(session);
  }

  /** What a route leads to, as decisions see it; undefined where that cannot be known now. What they must know of an item is read first. */
  async #resource(
    session: LiveSession,
    caller: Caller,
    { wanted, route }: { wanted: Wanted; route: Route },
  ): Promise<PolicyResource | undefined> {
    const { kind, visible } = wanted;
    const { backend } = route;
    const view = this.#view(session, caller);
    const list = LIST_OF[kind];
    const link = session.links.get(backend);
    if (link !== undefined && this.#options.admission.needsCurrent(backend, kind)) {
      if (this.#reads.freshFor({ session, view }, { link, kind: list }) <= 0)
        await this.#reads.read({ session, caller, view }, { link, kind: list });
      const item = itemAt(this.#catalogue(session, view), kind, { ...route, visible });
      // What it may not be used under is none of the caller's business, not even when nobody answers.
      if (item.definition !== undefined && !this.#options.admission.approves(item)) return item;
      if (view.readings.get(listKey(backend, list))?.failure !== undefined)
        throw silentOwner(view, backend, list);
      // What a backend does not list has no definition that anybody approved.
      return item.definition === undefined ? undefined : item;
    }
    const isUnread = () => view.items.get(backend)?.[list] === undefined;
    if (this.#options.admission.readsDefinitions && link !== undefined && isUnread()) {
      await this.#reads.read({ session, caller, view }, { link, kind: list });
      if (isUnread()) return undefined;
    }
    return itemAt(this.#catalogue(session, view), kind, { ...route, visible });
  }

  /** Whether the caller may use what a route leads to; what it may not is added to `denied`. */
  async #admits(
    session: LiveSession,
    caller: Caller,
    { wanted, route, denied }: { wanted: Wanted; route: Route; denied: PolicyResource[] },
  ): Promise<boolean> {
    const { admission } = this.#options;
    const resource = await this.#resource(session, caller, { wanted, route });
    if (resource === undefined) return false;
    if (wanted.kind === 'resource' && resource.definition === undefined && admission.hides) {
      const view = this.#view(session, caller);
      const catalogue = this.#catalogue(session, view);
      const shown = await this.#shown.of(view.principal, catalogue);
      if (!opensTo(catalogue, shown, route)) {
        denied.push(resource);
        return false;
      }
    }
    const admitted = admission.admits(caller, wanted.use, resource);
    if (!admitted) denied.push(resource);
    else this.#noteAdmitted(session, caller, { wanted, resource });
    return admitted;
  }

  /** What need not be decided again until the catalogue or the rules are others. */
  #noteAdmitted(
    session: LiveSession,
    caller: Caller,
    { wanted, resource }: { wanted: Wanted; resource: PolicyResource },
  ): void {
    const { backend, name, visible, definition } = resource;
    const { admission } = this.#options;
    if (!isCall(wanted) || definition === undefined || admission.needsCurrent(backend, 'tool')) return;
    if (!admission.always(caller, wanted.use, resource)) return;
    const view = this.#view(session, caller);
    const catalogue = this.#catalogue(session, view);
    const route = routeIn(catalogue, { ...wanted, guess: false });
    // What led here may have been what another replica remembered, which lasts only until it is listed.
    if (!isCertain(route) || route.backend !== backend || route.original !== name) return;
    // It may have been listed anew since it was looked up: that definition was not decided about.
    if (itemAt(catalogue, 'tool', { ...route, visible }).definition !== definition) return;
    this.#admittedCalls(view, catalogue).set(visible, route);
  }

  #admittedCalls(view: ListView, catalogue: Catalogue): Map<string, Route> {
    const { revision } = this.#options.admission;
    if (view.admitted?.catalogue !== catalogue || view.admitted.revision !== revision)
      view.admitted = { catalogue, revision, routes: new Map() };
    return view.admitted.routes;
  }

  #view(session: LiveSession, caller: Caller): ListView {
    const views = this.#views.get(session) ?? new Map<string, ListView>();
    this.#views.set(session, views);
    const known = views.get(caller.contextDigest);
    if (known !== undefined && views.size === 1) return known;
    const view = known ?? newView(principalOf(caller));
    views.delete(caller.contextDigest);
    views.set(caller.contextDigest, view);
    if (known === undefined && views.size > 1) this.#options.onNewContext(session, caller);
    const [oldest] = views.keys();
    if (views.size > MOST_VIEWS && oldest !== undefined) views.delete(oldest);
    return view;
  }

  #catalogue(session: LiveSession, view: ListView): Catalogue {
    const rules = this.#rules(session);
    if (view.rules !== rules) view.catalogue = undefined;
    view.rules = rules;
    view.catalogue ??= buildCatalogue({
      ...rules,
      backends: session.body.desired.map((name) => ({ name })),
      items: view.items,
      cursorKey: this.#cursorKey,
    });
    return view.catalogue;
  }

  #rules({ body }: LiveSession): MergeRules {
    return mergeRules(this.#options.virtualServer(body.virtualServer), body.desired);
  }

  #tableOf(session: LiveSession): Promise<Routes> {
    const rules = this.#rules(session);
    const backends = session.body.desired;
    const from = (table: string | undefined) => routesFrom(table, { ...rules, backends });
    return this.#options.tables.routes(session, { rules, from });
  }
}

/** Where a visible name leads. A prefix alone names a backend before its list has been read: that is a guess. */
function routeIn(
  routes: Routes,
  { kind, visible, guess }: Pick<Wanted, 'kind' | 'visible'> & { readonly guess: boolean },
): Route | undefined {
  const route = routes.route(kind, visible);
  if (route === undefined || guess || kind === 'resource' || kind === 'template') return route;
  return routes.unread(LIST_OF[kind]).includes(route.backend) ? undefined : route;
}

function isCall({ kind, use }: Wanted): boolean {
  return kind === 'tool' && use.action === 'call';
}

function isCertain(route: Route | undefined): route is Route {
  return route !== undefined && route.rivals === undefined;
}

/** What a name that a backend may own is answered with while that backend does not tell. */
function silentOwner(view: ListView, backend: string, list: ListKind): MeshError {
  const failure = view.readings.get(listKey(backend, list))?.failure;
  const why = failure?.message ?? `The backend "${backend}" has not answered yet.`;
  const text = `This may be the backend "${backend}"'s. ${why}`;
  return new MeshError('backend_unavailable', text, { backend, cause: failure });
}

/** The backends that are missing from a list, and why, as raw JSON. */
function missingFrom(session: LiveSession, view: ListView, kind: ListKind): string | undefined {
  const missing = { ...waitedFor(view, kind), ...outages(session), ...failures(view, kind) };
  return Object.keys(missing).length === 0 ? undefined : JSON.stringify(missing);
}
