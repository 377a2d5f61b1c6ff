import type { Caller } from '../../control-plane/identity/caller.ts';
import type { SharedMemory } from '../../control-plane/store/memory.ts';
import type { SessionStore } from '../../control-plane/store/session-store.ts';
import type { Audit } from './audit.ts';
import type { Fault } from './plans.ts';
import type { Product } from './product.ts';
import type { VirtualClock } from './virtual-clock.ts';

export interface WatchedStoreOptions {
  readonly product: Product;
  readonly audit: Audit;
  readonly clock: VirtualClock;
  readonly shared: SharedMemory;
  /** A point in time that the schedule decides about. */
  readonly point: (what: string) => Promise<void>;
  /** On whose behalf the present work is done. */
  readonly actor: () => Caller | undefined;
  readonly desiredIn: (name: string, sealed: string) => readonly string[] | undefined;
  /** What becomes of the next update. */
  readonly fault: () => Fault;
}

/** One replica's way to the memory store: its answers take time too, its updates may fail, and its writes are watched. */
export function watchedStore(options: WatchedStoreOptions): SessionStore {
  const { product, audit, clock, shared, point, actor, desiredIn, fault } = options;
  const store = new product.MemorySessionStore({ clock: () => clock.now(), schedule: point, shared });
  const load = store.load.bind(store);
  const touch = store.touch.bind(store);
  const update = store.update.bind(store);
  const close = store.close.bind(store);
  const quarantine = store.quarantine.bind(store);
  const heard = async <T>(answer: T): Promise<T> => {
    await point('hears');
    return answer;
  };
  const unanswered = () => {
    const text = 'The store did not answer.';
    return new product.MeshError('store_unavailable', text, { retryAfterMs: 1_000 });
  };
  store.load = async (key) => heard(await load(key));
  store.touch = async (key, epoch) => {
    const outcome = await touch(key, epoch);
    if (outcome.kind === 'ok') audit.wrote(key, actor());
    return heard(outcome);
  };
  store.update = async (change) => {
    const kind = fault();
    if (kind === 'not written') throw unanswered();
    const outcome = await update(change);
    if (outcome.kind === 'ok') {
      audit.wrote(change.key, actor());
      const desired = change.body === undefined ? undefined : desiredIn(change.key.name, change.body);
      if (desired !== undefined) audit.wroteDesired(change.key, desired);
    }
    if (kind === 'answer lost') throw unanswered();
    return heard(outcome);
  };
  store.close = async (key) => {
    const gone = await close(key);
    if (gone) audit.wrote(key, actor());
    return heard(gone);
  };
  store.quarantine = async (key) => {
    audit.wrote(key, actor());
    await quarantine(key);
  };
  return store;
}
