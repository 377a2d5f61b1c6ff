import { setImmediate } from 'node:timers/promises';
import type { Database, Key } from 'lmdb';
import type { EmbeddedAccess } from './embedded-access.ts';
import { CHANGES_KEPT_MS } from './embedded-changes.ts';
import { isVaultRow, readState, type SessionPath, type StreamPath } from './embedded-database.ts';
import type { EmbeddedRows } from './embedded-rows.ts';
import { commitError, partOf } from './embedded-write.ts';
import { isStale } from './event-window.ts';
import type { StoreHooks } from './hooks.ts';
import { isExpired } from './rules.ts';

const INTERVAL_MS = 30_000;
const PAGE = 200;

export interface EmbeddedSweepOptions {
  readonly access: EmbeddedAccess;
  readonly rows: EmbeddedRows;
  readonly hooks: StoreHooks;
}

/** Removes what has expired, every half minute, a page at a time, so that no call waits for it. */
export class EmbeddedSweep {
  readonly #access: EmbeddedAccess;
  readonly #rows: EmbeddedRows;
  readonly #timer: NodeJS.Timeout;
  #sweeping: Promise<void> = Promise.resolve();

  constructor({ access, rows, hooks }: EmbeddedSweepOptions) {
    this.#access = access;
    this.#rows = rows;
    this.#timer = setInterval(() => {
      this.#sweeping = this.#sweep(Date.now()).catch(async (thrown: unknown) => {
        const error = await commitError(thrown);
        hooks.log.warn('the embedded store could not sweep', { store: 'embedded', error });
      });
    }, INTERVAL_MS);
    this.#timer.unref();
  }

  /** Resolves when no sweep is under way any more; one that is ends early once its access is stopped. */
  stop(): Promise<void> {
    clearInterval(this.#timer);
    return this.#sweeping;
  }

  async #sweep(now: number): Promise<void> {
    const { root, records, streams, tables, vault, changes, quarantine } = this.#access.database;
    root.readerCheck();
    await this.#each(records, async (path, value, version) => {
      const state = readState(value);
      if (typeof state === 'object' && isExpired(state, now)) await this.#expire(path, version);
    });
    await this.#each(streams, async (path, window) => {
      if (isStale(window, now)) await this.#dropStream(path);
    });
    await this.#each(tables, async (path, { until }) => {
      if (now >= until) await tables.remove(path);
    });
    await this.#each(vault, async (id, row, revision) => {
      if (!isVaultRow(row) || now >= row.until)
        await vault.ifVersion(id, revision, () => partOf(vault.remove(id)));
    });
    await this.#each(quarantine, async (path, { until }) => {
      if (now >= until) await quarantine.remove(path);
    });
    await this.#each(changes, async (path, { at }) => {
      if (now >= at + CHANGES_KEPT_MS) await changes.remove(path);
    });
  }

  /** Removes an expired record with all that belongs to it, if it is still at this revision. */
  async #expire([principal, name]: SessionPath, revision: number): Promise<void> {
    const { records } = this.#access.database;
    await this.#access.commit('sweep', () => {
      const state = readState(records.get([principal, name]));
      const witness = typeof state === 'object' ? state.witness : undefined;
      const remove = () => this.#rows.remove({ principal, name }, witness);
      return records.ifVersion([principal, name], revision, remove);
    });
  }

  async #dropStream(path: StreamPath): Promise<void> {
    await this.#access.commit('sweep', () => {
      this.#rows.dropStream(path);
      return this.#access.database.root.committed;
    });
  }

  async #each<V, K extends Key>(
    table: Database<V, K>,
    visit: (key: K, value: V, version: number) => Promise<void>,
  ): Promise<void> {
    let start: K | undefined;
    for (;;) {
      if (this.#access.stopped) return;
      const from = start === undefined ? {} : { start, exclusiveStart: true };
      const page = [...table.getRange({ ...from, limit: PAGE, versions: true })];
      await Promise.all(page.map(({ key, value, version }) => visit(key, value, version ?? 0)));
      start = page.at(-1)?.key;
      if (page.length < PAGE) return;
      await setImmediate();
    }
  }
}
