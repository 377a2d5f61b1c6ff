import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import { resultWithMeta } from '../../shared/json-rpc/envelope.ts';
import type { Caller } from '../identity/caller.ts';
import {
  buildCatalogue,
  type Catalogue,
  type ListKind,
  type Route,
  type RouteKind,
} from '../virtual-server/catalogue.ts';
import { type Routes, routesFrom } from '../virtual-server/routes.ts';
import { type CallEnvironment, toMeshError } from './backend-call.ts';
import type { BackendLink } from './backend-link.ts';
import { BACKENDS_META, outages } from './backend-outages.ts';
import { readList } from './list-reader.ts';
import { failures, type KnownList, type ListView, listKey, newView, waitedFor } from './list-view.ts';
import type { LiveSession } from './live-session.ts';
import type { RoutingTables } from './routing-tables.ts';
import type { VirtualServer } from './virtual-server.ts';

/** A list of a backend that nobody listens to may have changed unheard; it is read again after this long. */
const UNHEARD_MS = 60_000;
/** How long a merged list waits for one backend. */
const READ_MS = 5_000;
/** A backend that has just failed is not waited for again by every list. */
const RETRY_MS = 5_000;
/** Authorization contexts of one session that are seen at a time; a caller whose view was dropped reads anew. */
const MOST_VIEWS = 8;

const KIND_OF: Readonly<Record<RouteKind, ListKind>> = {
  tool: 'tools',
  prompt: 'prompts',
  resource: 'resources',
  template: 'resourceTemplates',
};
export interface CatalogueOptions {
  readonly calls: CallEnvironment;
  readonly clock: Clock;
  /** Authenticates cursors; the same on every replica. */
  readonly cursorKey: Uint8Array;
  readonly tables: RoutingTables;
  readonly virtualServer: (name: string) => VirtualServer | undefined;
  /** Whether the backend's own changes are heard in this session now. */
  readonly hears: (session: LiveSession, backend: string) => boolean;
  /** These lists of a session may have changed: nobody answers them without asking. */
  readonly onStale: (session: LiveSession, kinds: readonly ListKind[]) => void;
  /** A list that a reader no longer waited for has been read after all. */
  readonly onLate: (session: LiveSession, kind: ListKind) => void;
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
  /** By the digest of their authorization context, the one longest unused first. */
  readonly #views = new WeakMap<LiveSession, Map<string, ListView>>();

  constructor(options: CatalogueOptions) {
    this.#options = options;
    this.#cursorKey = Buffer.from(options.cursorKey);
  }

  /** The raw result of a list request: every backend that answers in time, the last known items of the others, and who is missing. */
  async list(
    session: LiveSession,
    caller: Caller,
    wanted: { kind: ListKind; cursor: string | undefined },
  ): Promise<readonly Uint8Array[]> {
    const view = this.#view(session, caller);
    await this.#refresh(session, caller, wanted.kind);
    const catalogue = this.#catalogue(session, view);
    const page = catalogue.page(wanted.kind, wanted.cursor);
    view.served.set(wanted.kind, catalogue.version(wanted.kind));
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
    const fresh = [...session.links.values()].map((link) => this.#freshFor(session, view, { link, kind }));
    const freshForMs = Math.min(missing === undefined ? Number.POSITIVE_INFINITY : RETRY_MS, ...fresh);
    if (freshForMs <= 0) return undefined;
    return { catalogue: this.#catalogue(session, view), missing, freshForMs };
  }

  /**
   * Where a visible name leads; undefined where nobody has it. Names belong to the
   * desired backends, not to those that happen to answer: a name that a silent
   * backend may own rejects with `backend_unavailable`.
   */
  async route(
    session: LiveSession,
    caller: Caller,
    wanted: { kind: RouteKind; visible: string },
  ): Promise<Route | undefined> {
    const view = this.#view(session, caller);
    const known = this.#catalogue(session, view).route(wanted.kind, wanted.visible);
    if (known !== undefined && known.rivals === undefined) return known;
    const remembered = await this.#remembered(session, wanted);
    if (remembered !== undefined && remembered.rivals === undefined) return remembered;
    await this.#refresh(session, caller, KIND_OF[wanted.kind]);
    if (wanted.kind === 'resource') await this.#refresh(session, caller, 'resourceTemplates');
    const found = this.#catalogue(session, view).route(wanted.kind, wanted.visible);
    const [silent] = found === undefined ? this.#silent(session, view, wanted.kind) : (found.rivals ?? []);
    if (silent !== undefined) {
      const failure = view.readings.get(listKey(silent, KIND_OF[wanted.kind]))?.failure;
      const why = failure?.message ?? `The backend "${silent}" has not answered yet.`;
      throw new MeshError('backend_unavailable', `This may be the backend "${silent}"'s. ${why}`, {
        backend: silent,
        cause: failure,
      });
    }
    return found;
  }

  /** How this caller knows a backend's URI. */
  visibleUri(
    session: LiveSession,
    caller: Caller,
    { backend, original }: Pick<Route, 'backend' | 'original'>,
  ): string {
    return this.#catalogue(session, this.#view(session, caller)).visibleUri(backend, original);
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

  /** Lists of this backend may have changed: the next read asks it again. */
  stale(session: LiveSession, backend: string, kinds: readonly ListKind[]): void {
    for (const view of this.#views.get(session)?.values() ?? []) {
      for (const kind of kinds) {
        const reading = view.readings.get(listKey(backend, kind));
        if (reading !== undefined)
          view.readings.set(listKey(backend, kind), { ...reading, stale: true, failure: undefined });
      }
    }
    this.#options.onStale(session, kinds);
  }

  /**
   * Reads a list anew and tells whether the client would now see another one than it
   * was last given. What another replica gave it is known by its names alone: there a
   * change that a backend `said` counts as one.
   */
  async changed(
    session: LiveSession,
    caller: Caller,
    { kind, said }: { kind: ListKind; said: boolean },
  ): Promise<boolean> {
    const view = this.#view(session, caller);
    const served = view.served.get(kind);
    const before = served === undefined ? await this.#givenElsewhere(session, kind) : undefined;
    if (served === undefined && before === undefined) return false;
    await this.#refresh(session, caller, kind);
    const catalogue = this.#catalogue(session, view);
    const version = catalogue.version(kind);
    view.served.set(kind, version);
    return before === undefined ? version !== served : said || !catalogue.namesAs(kind, before);
  }

  /** The table that the client was last given by another owner of the session, where it has such a list. */
  async #givenElsewhere(session: LiveSession, kind: ListKind): Promise<Routes | undefined> {
    if (session.epoch === 1 || session.body.table === undefined) return undefined;
    const routes = await this.#tableOf(session);
    return routes.unread(kind).length < session.body.desired.length ? routes : undefined;
  }

  /** The client relies on what it sees now, without having asked for a list: it is kept with the session. */
  remember(session: LiveSession, caller: Caller): void {
    this.#options.tables.remember(
      session,
      this.#catalogue(session, this.#view(session, caller)).routingTable(),
    );
  }

  /** The session left this replica. */
  forget(session: LiveSession): void {
    this.#views.delete(session);
    this.#options.tables.forget(session);
  }

  #view(session: LiveSession, caller: Caller): ListView {
    const views = this.#views.get(session) ?? new Map<string, ListView>();
    this.#views.set(session, views);
    const known = views.get(caller.contextDigest);
    if (known !== undefined && views.size === 1) return known;
    const view = known ?? newView();
    views.delete(caller.contextDigest);
    views.set(caller.contextDigest, view);
    const [oldest] = views.keys();
    if (views.size > MOST_VIEWS && oldest !== undefined) views.delete(oldest);
    return view;
  }

  #catalogue(session: LiveSession, view: ListView): Catalogue {
    view.catalogue ??= buildCatalogue({
      backends: session.body.desired.map((name) => ({ name })),
      naming: this.#naming(session),
      items: view.items,
      cursorKey: this.#cursorKey,
    });
    return view.catalogue;
  }

  /** Backends that may own a name that nobody else has: their list has never been read. A prefix would have told. */
  #silent(session: LiveSession, view: ListView, kind: RouteKind): readonly string[] {
    const prefixed = (kind === 'tool' || kind === 'prompt') && this.#naming(session).mode === 'prefix';
    return prefixed ? [] : this.#catalogue(session, view).unread(KIND_OF[kind]);
  }

  #naming(session: LiveSession) {
    const { desired, virtualServer } = session.body;
    return this.#options.virtualServer(virtualServer)?.naming ?? { mode: 'prefix' as const, order: desired };
  }

  async #remembered(
    session: LiveSession,
    { kind, visible }: { kind: RouteKind; visible: string },
  ): Promise<Route | undefined> {
    return (await this.#tableOf(session)).route(kind, visible);
  }

  #tableOf(session: LiveSession): Promise<Routes> {
    const options = { backends: session.body.desired, naming: this.#naming(session) };
    return this.#options.tables.routes(session, (table) => routesFrom(table, options));
  }

  /** Reads what is not known to be current, all backends at once, each waited for only so long, and a slow one but once. */
  async #refresh(session: LiveSession, caller: Caller, kind: ListKind): Promise<void> {
    const view = this.#view(session, caller);
    const links = [...session.links.values()].filter(
      (link) => this.#freshFor(session, view, { link, kind }) <= 0,
    );
    if (links.length === 0) return;
    const unread = new Set(links.map(({ name }) => name));
    const patient = links.filter(({ name }) => !view.slow.has(name));
    const came = ({ name }: BackendLink) => {
      unread.delete(name);
      view.slow.delete(name);
    };
    const reads = new Map(
      links.map((link) => [link, this.#read(session, caller, { view, link, kind }).then(() => came(link))]),
    );
    let stop = () => {};
    const patience = new Promise<void>((resolve) => {
      stop = this.#options.clock.after(READ_MS, resolve);
    });
    await Promise.race([Promise.all(patient.map((link) => reads.get(link))), patience]);
    stop();
    if (unread.size === 0) return;
    for (const name of unread) view.slow.add(name);
    void Promise.all(reads.values()).then(() => this.#options.onLate(session, kind));
  }

  /** How long what was read last need not be read again, in milliseconds; not above 0: it must be. */
  #freshFor(
    session: LiveSession,
    view: ListView,
    { link, kind }: { link: BackendLink; kind: ListKind },
  ): number {
    const reading = view.readings.get(listKey(link.name, kind));
    if (reading === undefined || reading.stale || view.flights.has(listKey(link.name, kind))) return 0;
    const age = this.#options.clock.now() - reading.at;
    if (reading.failure !== undefined) return RETRY_MS - age;
    return this.#options.hears(session, link.name) ? Number.POSITIVE_INFINITY : UNHEARD_MS - age;
  }

  /**
   * One read of one list at a time for each view; whoever comes meanwhile waits for
   * the same, and for a second one where a change was announced during the first. Never rejects.
   */
  #read(
    session: LiveSession,
    caller: Caller,
    { view, link, kind }: { view: ListView; link: BackendLink; kind: ListKind },
  ): Promise<void> {
    const id = listKey(link.name, kind);
    const running = view.flights.get(id);
    if (running !== undefined) return running;
    const once = () => this.#readOnce(session, caller, { view, link, kind });
    const flight = once()
      .then(() => (view.readings.get(id)?.stale === true ? once() : undefined))
      .finally(() => view.flights.delete(id));
    view.flights.set(id, flight);
    return flight;
  }

  async #readOnce(
    session: LiveSession,
    caller: Caller,
    { view, link, kind }: { view: ListView; link: BackendLink; kind: ListKind },
  ): Promise<void> {
    const id = listKey(link.name, kind);
    const { clock } = this.#options;
    view.readings.set(id, { at: clock.now(), stale: false, failure: undefined });
    try {
      const items = await readList(this.#options.calls, { session, caller, link, kind });
      view.items.set(link.name, { ...view.items.get(link.name), [kind]: items });
      view.catalogue = undefined;
    } catch (thrown) {
      view.readings.set(id, { at: clock.now(), stale: false, failure: toMeshError(thrown, link.name) });
    }
  }
}

/** The backends that are missing from a list, and why, as raw JSON. */
function missingFrom(session: LiveSession, view: ListView, kind: ListKind): string | undefined {
  const missing = { ...waitedFor(view, kind), ...outages(session), ...failures(view, kind) };
  return Object.keys(missing).length === 0 ? undefined : JSON.stringify(missing);
}
