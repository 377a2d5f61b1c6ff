import { MeshError } from '../../shared/errors.ts';
import type { EmbeddedDatabase } from './embedded-database.ts';
import { commitError, isDiskFull, partOf } from './embedded-write.ts';
import type { StoreHooks } from './hooks.ts';
import { timed, unavailable, within } from './operation.ts';

/** The longest that a write waits for the disk and for the other processes. One that is stopped inside a commit holds up the rest. */
export const WRITE_TIMEOUT_MS = 2000;
const PROBE_MS = 1000;

/** The way to the folder: reads of what is there by now, writes within a bound, and whether they succeed. */
export class EmbeddedAccess {
  readonly database: EmbeddedDatabase;
  readonly #hooks: StoreHooks;
  #probe: NodeJS.Timeout | undefined;
  #stopped = false;
  #healthy = true;
  #alarmed = false;

  constructor(database: EmbeddedDatabase, hooks: StoreHooks) {
    this.database = database;
    this.#hooks = hooks;
  }

  get ready(): boolean {
    return this.#healthy && !this.#stopped;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Reads what the other processes have written by now. */
  fresh<T>(read: () => T): T {
    if (this.#stopped) throw unavailable('The store is stopped.');
    this.database.root.resetReadTxn();
    return read();
  }

  /** An operation that reads. */
  async reading<T>(operation: string, read: () => Promise<T>): Promise<T> {
    return timed({ hooks: this.#hooks, operation }, async () => {
      try {
        return await this.fresh(read);
      } catch (error) {
        throw error instanceof MeshError ? error : unavailable(error);
      }
    });
  }

  /** One transaction. False when its condition does not hold any more. */
  async commit(operation: string, write: () => Promise<boolean>): Promise<boolean> {
    if (this.#stopped) throw unavailable('The store is stopped.');
    return timed({ hooks: this.#hooks, operation }, async () => {
      try {
        const writing = write();
        // It may fail when nobody waits for it any more.
        partOf(writing);
        const done = await within({ ms: WRITE_TIMEOUT_MS, late: 'The write takes too long.' }, writing);
        this.#healthy = true;
        this.#alarmed = false;
        return done;
      } catch (error) {
        this.#failed();
        const cause = await commitError(error);
        this.#hooks.log.error('the embedded store cannot write', { store: 'embedded', error: cause });
        if (isDiskFull(cause)) this.#alarm();
        throw unavailable(cause);
      }
    });
  }

  /** Nothing is read or begun any more. The folder is closed by whoever knows that nothing is under way. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#probe);
  }

  /** Once, until there is room again. */
  #alarm(): void {
    if (this.#alarmed) return;
    this.#alarmed = true;
    this.#hooks.onAlarm?.({ kind: 'store_full', detail: 'There is no room on the disk.' });
  }

  /** Not ready until a write succeeds; as a replica that is not ready may get none, it tries by itself. */
  #failed(): void {
    this.#healthy = false;
    clearTimeout(this.#probe);
    this.#probe = setTimeout(() => {
      const expired = { sealed: '', until: 0 };
      this.commit('probe', () => this.database.tables.put('probe', expired)).catch(() => {
        // Said where it failed, and tried again from there.
      });
    }, PROBE_MS);
    this.#probe.unref();
  }
}
