import { createHmac } from 'node:crypto';
import type { SessionStore } from '../store/session-store.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';
import type { Routes, StoredTable } from '../virtual-server/routes.ts';
import { WeakPool } from '../virtual-server/weak-pool.ts';
import type { LiveSession } from './live-session.ts';
import type { RecordCrypto } from './record-crypto.ts';
import type { ServedVersions } from './session-record.ts';

export interface RoutingTableOptions {
  readonly store: SessionStore;
  readonly crypto: RecordCrypto;
  /** Names tables by their content without telling it. */
  readonly indexKey: Uint8Array;
  /** How long a table is kept after it was last written: as long as a session may live. */
  readonly ttlMs: number;
}

/** Tables written by this replica lately; they need not be written again. */
const REMEMBERED = 1_000;

/**
 * The routing tables that clients last saw, kept in the store once for each
 * content, so that a restored session resolves names to their owners before any
 * list has been read. They are written and read beside the calls; without one a
 * name is found by reading the lists.
 */
export class RoutingTables {
  readonly #options: RoutingTableOptions;
  readonly #written = new Map<string, number>();
  /** By the rules of names: sessions that saw the same resolve by the same routes. */
  readonly #pools = new WeakMap<object, WeakPool<Routes>>();
  readonly #routes = new WeakMap<
    LiveSession,
    { readonly table: string | undefined; readonly rules: object; readonly routes: Promise<Routes> }
  >();

  constructor(options: RoutingTableOptions) {
    this.#options = options;
  }

  /** The client relies on the names of this table, and was given or told of these versions. */
  remember(
    session: LiveSession,
    { table, served }: { readonly table: StoredTable; readonly served: ServedVersions },
  ): void {
    const id = createHmac('sha256', this.#options.indexKey)
      .update('table ')
      .update(table.id)
      .digest('base64url');
    const known = session.body.served;
    const told = Object.entries(served).every(([kind, version]) => known?.[kind as ListKind] === version);
    if (session.body.table === id && told) return;
    void this.#write(id, table).then(
      () => session.update({ table: id, served: { ...session.body.served, ...served } }),
      // Counted by the store; the session goes on with the table that it has.
      () => undefined,
    );
  }

  /** The routes of the table that the client last saw, under these rules. Never rejects. */
  routes(
    session: LiveSession,
    { rules, from }: { readonly rules: object; readonly from: (table: string | undefined) => Routes },
  ): Promise<Routes> {
    const { table } = session.body;
    if (table === undefined) return Promise.resolve(from(undefined));
    const known = this.#routes.get(session);
    if (known !== undefined && known.table === table && known.rules === rules) return known.routes;
    const pool = this.#pools.get(rules) ?? new WeakPool();
    this.#pools.set(rules, pool);
    const key = [table, ...session.body.desired].join(' ');
    const routes = this.#read(table).then(
      (text) => pool.get(key, () => from(text)),
      () => {
        // Without the store now; the next name that is asked for tries again.
        this.#routes.delete(session);
        return from(undefined);
      },
    );
    this.#routes.set(session, { table, rules, routes });
    return routes;
  }

  forget(session: LiveSession): void {
    this.#routes.delete(session);
  }

  async #write(id: string, { text }: StoredTable): Promise<void> {
    const { store, crypto, ttlMs } = this.#options;
    const written = this.#written.get(id);
    if (written !== undefined && Date.now() - written < ttlMs / 2) return;
    await store.putTable(id, crypto.sealTable(id, text), ttlMs);
    if (this.#written.size >= REMEMBERED) this.#written.clear();
    this.#written.set(id, Date.now());
  }

  async #read(id: string | undefined): Promise<string | undefined> {
    const { store, crypto } = this.#options;
    const sealed = id === undefined ? null : await store.getTable(id);
    return id === undefined || sealed === null ? undefined : crypto.openTable(id, sealed);
  }
}
