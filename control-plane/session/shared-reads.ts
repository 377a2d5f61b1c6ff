import type { Clock } from '../../shared/clock.ts';
import type { Item } from '../virtual-server/item.ts';
import type { BackendList } from './list-reader.ts';

export interface SharedReadOptions {
  readonly clock: Clock;
  /** Reads the list in the session and under the caller that it names. */
  readonly read: (list: BackendList) => Promise<readonly Item[]>;
}

/** What a session knows of a list that its backend said has changed. */
export interface Announced {
  /** The items as this session was shown them last. */
  readonly before: readonly Item[];
  /** When the backend said so, by `moment`. */
  readonly saidAt: number;
}

interface SharedRead {
  readonly before: readonly Item[];
  readonly begunAt: number;
  readonly items: Promise<readonly Item[]>;
}

/** Sessions that were told together ask within this time of each other. */
const KEPT_MS = 1_000;

/**
 * Re-reads of lists that a backend said have changed, one for all sessions of an
 * authorization context. What a backend shows is a function of that context, so
 * one session's read is every session's, where nothing speaks against it: they
 * told the backend the same of their clients, and were shown the same until now.
 * A read that began before a session was told does not serve it.
 *
 * The first to ask reads, in its own session and under its own live caller. Only
 * its success is shared: when it fails, one of those who waited reads once more.
 */
export class SharedReads {
  readonly #options: SharedReadOptions;
  readonly #reads = new Map<string, SharedRead[]>();
  #moments = 0;

  constructor(options: SharedReadOptions) {
    this.#options = options;
  }

  /** After everything that happened before, and before all that follows. */
  moment(): number {
    this.#moments += 1;
    return this.#moments;
  }

  /** Rejects as the read does. */
  async read(list: BackendList, announced: Announced): Promise<readonly Item[]> {
    const key = keyOf(list);
    const joined = this.#find(key, announced);
    if (joined === undefined) return this.#lead(key, list, announced);
    try {
      return await joined.items;
    } catch {
      return await (this.#find(key, announced)?.items ?? this.#lead(key, list, announced));
    }
  }

  #find(key: string, { before, saidAt }: Announced): SharedRead | undefined {
    return this.#reads.get(key)?.find((read) => read.begunAt > saidAt && sameItems(read.before, before));
  }

  #lead(key: string, list: BackendList, { before }: Announced): Promise<readonly Item[]> {
    const read = { before, begunAt: this.moment(), items: this.#options.read(list) };
    this.#reads.set(key, [...(this.#reads.get(key) ?? []), read]);
    read.items.then(
      () => this.#options.clock.after(KEPT_MS, () => this.#drop(key, read)),
      () => this.#drop(key, read),
    );
    return read.items;
  }

  #drop(key: string, read: SharedRead): void {
    const others = this.#reads.get(key)?.filter((each) => each !== read) ?? [];
    if (others.length > 0) this.#reads.set(key, others);
    else this.#reads.delete(key);
  }
}

/** Whether two lists hold the same definitions in the same order. */
export function sameItems(one: readonly Item[], other: readonly Item[]): boolean {
  return one === other || (one.length === other.length && one.every((item, at) => item === other[at]));
}

/** Everything that a backend is told and that may change what it shows. */
function keyOf({ session, caller, link, kind }: BackendList): string {
  const { initializeParams, protocolVersion } = session.body;
  const { capabilities } = JSON.parse(initializeParams) as { capabilities: unknown };
  return JSON.stringify([link.name, kind, caller.contextDigest, protocolVersion, capabilities]);
}
