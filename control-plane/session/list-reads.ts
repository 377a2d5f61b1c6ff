import type { Clock } from '../../shared/clock.ts';
import type { Caller } from '../identity/caller.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';
import type { Item } from '../virtual-server/item.ts';
import { type CallEnvironment, toMeshError } from './backend-call.ts';
import type { BackendLink } from './backend-link.ts';
import { type BackendList, readList } from './list-reader.ts';
import { type ListView, listKey } from './list-view.ts';
import type { LiveSession } from './live-session.ts';
import { SharedReads, sameItems } from './shared-reads.ts';

/** A backend that has just failed is not waited for again by every list. */
export const RETRY_MS = 5_000;
/** A list of a backend that nobody listens to may have changed unheard; it is read again after this long. */
const UNHEARD_MS = 60_000;
/** How long a merged list waits for one backend. */
const READ_MS = 5_000;

export interface ListReadOptions {
  readonly calls: CallEnvironment;
  readonly clock: Clock;
  /** Whether the backend's own changes are heard in this session now. */
  readonly hears: (session: LiveSession, backend: string) => boolean;
  /** A list that a reader no longer waited for has been read after all. */
  readonly onLate: (session: LiveSession, kind: ListKind) => void;
  /** A backend shows a session other items than before. */
  readonly onItems: (list: ShownItems) => void;
}

/** What a backend shows of one kind. The same array for the same items. */
export interface ShownItems {
  readonly backend: string;
  readonly kind: ListKind;
  readonly items: readonly Item[];
}

/** Who reads, and what is kept of it. */
export interface ListReader {
  readonly session: LiveSession;
  readonly caller: Caller;
  readonly view: ListView;
}

/** One list of one backend. */
export interface LinkList {
  readonly link: BackendLink;
  readonly kind: ListKind;
}

/** Reads the lists of backends into what an authorization context sees of them, each under the credential of the caller who asks. */
export class ListReads {
  readonly #options: ListReadOptions;
  readonly #shared: SharedReads;

  constructor(options: ListReadOptions) {
    this.#options = options;
    this.#shared = new SharedReads({
      clock: options.clock,
      read: (list) => readList(options.calls, list),
    });
  }

  /** After everything that happened before, and before all that follows. */
  moment(): number {
    return this.#shared.moment();
  }

  /** Reads what is not known to be current, of all backends or of these, all at once, each waited for only so long, and a slow one but once. */
  async refresh(
    reader: ListReader,
    kind: ListKind,
    backends: readonly string[] = reader.session.body.desired,
  ): Promise<void> {
    const { session, view } = reader;
    const links = [...session.links.values()].filter(
      (link) => backends.includes(link.name) && this.freshFor(reader, { link, kind }) <= 0,
    );
    if (links.length === 0) return;
    const unread = new Set(links.map(({ name }) => name));
    const patient = links.filter(({ name }) => !view.slow.has(name));
    const came = ({ name }: BackendLink) => {
      unread.delete(name);
      view.slow.delete(name);
    };
    const reads = new Map(
      links.map((link) => [link, this.read(reader, { link, kind }).then(() => came(link))]),
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
  freshFor({ session, view }: Omit<ListReader, 'caller'>, { link, kind }: LinkList): number {
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
  read(reader: ListReader, { link, kind }: LinkList): Promise<void> {
    const { view } = reader;
    const id = listKey(link.name, kind);
    const running = view.flights.get(id);
    if (running !== undefined) return running;
    const once = () => this.#readOnce(reader, { link, kind });
    const flight = once()
      .then(() => (view.readings.get(id)?.stale === true ? once() : undefined))
      .finally(() => view.flights.delete(id));
    view.flights.set(id, flight);
    return flight;
  }

  async #readOnce({ session, caller, view }: ListReader, { link, kind }: LinkList): Promise<void> {
    const id = listKey(link.name, kind);
    const { clock } = this.#options;
    const saidAt = view.readings.get(id)?.saidAt;
    const before = view.items.get(link.name)?.[kind];
    const reading = { at: clock.now(), stale: false, saidAt: undefined, failure: undefined };
    view.readings.set(id, reading);
    try {
      const items = await this.#itemsOf({ session, caller, link, kind }, { saidAt, before });
      if (before !== undefined && sameItems(items, before)) return;
      view.items.set(link.name, { ...view.items.get(link.name), [kind]: items });
      view.catalogue = undefined;
      this.#options.onItems({ backend: link.name, kind, items });
    } catch (thrown) {
      view.readings.set(id, { ...reading, at: clock.now(), failure: toMeshError(thrown, link.name) });
    }
  }

  #itemsOf(
    list: BackendList,
    { saidAt, before }: { saidAt: number | undefined; before: readonly Item[] | undefined },
  ): Promise<readonly Item[]> {
    const shared = saidAt !== undefined && before !== undefined && !list.link.ownProcess;
    return shared ? this.#shared.read(list, { saidAt, before }) : readList(this.#options.calls, list);
  }
}
