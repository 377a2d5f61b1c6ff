import { MeshError } from '../../shared/errors.ts';
import { EmbeddedChanges } from './embedded-changes.ts';
import {
  type EmbeddedDatabase,
  END,
  openDatabase,
  readParts,
  readState,
  type SessionPath,
  type StreamPath,
} from './embedded-database.ts';
import { sweep } from './embedded-sweep.ts';
import { admit, EMPTY_WINDOW, isStale } from './event-window.ts';
import type { StoreHooks } from './hooks.ts';
import {
  checkAppend,
  checkKey,
  checkNewRecord,
  checkTable,
  checkToken,
  checkUpdate,
  MAX_STREAMS,
  QUARANTINE_TTL_MS,
} from './limits.ts';
import { readCursor, writeCursor } from './page-cursor.ts';
import { decideCreate, decideTouch, decideUpdate, isExpired, type RecordState } from './rules.ts';
import type {
  EventAppend,
  EventPage,
  EventRead,
  InvalidationListener,
  NewRecord,
  QuarantineReason,
  RecordHeader,
  RecordKey,
  RecordUpdate,
  SessionListing,
  SessionRecord,
  SessionStore,
  StoredEvent,
  TouchOutcome,
  UpdateOutcome,
} from './session-store.ts';
import type { EmbeddedStoreSettings } from './settings.ts';

/** The longest that a write waits for the disk and for the other processes. One that is stopped inside a commit holds up the rest. */
const WRITE_TIMEOUT_MS = 2000;
const RETRY_AFTER_MS = 1000;
const SWEEP_INTERVAL_MS = 30_000;
const PROBE_MS = 1000;
const SHOWN_NAME = 26;

/** What `#mutate` found: the record, if a live one is there, and the revision that a write must still meet. */
interface Found {
  readonly state: RecordState | undefined;
  readonly revision: number | undefined;
}

/**
 * The session store in a folder of this machine, shared by its processes (LMDB).
 * A write is on the disk before its promise resolves, and a process that is
 * killed at any moment leaves either all of a write or nothing of it.
 *
 * Every change of a session is a compare-and-swap of its record's revision with
 * everything else that belongs to it in the same transaction. No JavaScript runs
 * inside one, so no process holds the lock longer than a commit takes.
 */
export class EmbeddedSessionStore implements SessionStore {
  readonly #database: EmbeddedDatabase;
  readonly #changes: EmbeddedChanges;
  readonly #hooks: StoreHooks;
  readonly #timer: NodeJS.Timeout;
  #sweeping: Promise<void> = Promise.resolve();
  #probe: NodeJS.Timeout | undefined;
  #stopped = false;
  #healthy = true;

  private constructor(database: EmbeddedDatabase, hooks: StoreHooks) {
    this.#database = database;
    this.#hooks = hooks;
    this.#changes = new EmbeddedChanges(database);
    this.#timer = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
    this.#timer.unref();
  }

  static async open(settings: EmbeddedStoreSettings, hooks: StoreHooks): Promise<EmbeddedSessionStore> {
    return new EmbeddedSessionStore(await openDatabase(settings.path), hooks);
  }

  get ready(): boolean {
    return this.#healthy && !this.#stopped;
  }

  async create(record: NewRecord): Promise<{ kind: 'created'; header: RecordHeader } | { kind: 'exists' }> {
    checkNewRecord(record);
    const { key, witness, summary, body } = record;
    return this.#mutate<{ kind: 'created'; header: RecordHeader } | { kind: 'exists' }>(
      'create',
      key,
      ({ state, revision }) => {
        const { outcome, next } = decideCreate(state, record, Date.now());
        if (next === undefined) return { outcome };
        const write = () => {
          this.#putState(key, next, revision);
          void this.#database.parts.put(pathOf(key), { summary, body });
          void this.#database.witnesses.put(witness.id, { binding: witness.binding, record: pathOf(key) });
        };
        return { outcome, write };
      },
    );
  }

  async load(key: RecordKey): Promise<SessionRecord | null> {
    checkKey(key);
    return this.#reading('load', async () => {
      const { state } = await this.#find(key);
      if (state === undefined) return null;
      const parts = readParts(this.#database.parts.get(pathOf(key)));
      if (typeof parts === 'object') return { header: state.header, ...parts };
      await this.quarantine(key, parts);
      return null;
    });
  }

  async touch(key: RecordKey, epoch: number): Promise<TouchOutcome> {
    checkKey(key);
    return this.#mutate<TouchOutcome>('touch', key, ({ state, revision }) => {
      if (state === undefined) return { outcome: { kind: 'gone' } };
      const { outcome, next } = decideTouch(state, epoch, Date.now());
      return next === undefined ? { outcome } : { outcome, write: () => this.#putState(key, next, revision) };
    });
  }

  async update(update: RecordUpdate): Promise<UpdateOutcome> {
    checkUpdate(update);
    const { key } = update;
    return this.#mutate<UpdateOutcome>('update', key, ({ state, revision }) => {
      if (state === undefined) return { outcome: { kind: 'gone' } };
      const { outcome, next } = decideUpdate(state, update, Date.now());
      if (next === undefined) return { outcome };
      const write = () => {
        this.#putState(key, next, revision);
        this.#putParts(key, update);
        this.#changes.note(key.name);
      };
      return { outcome, write };
    });
  }

  async close(key: RecordKey): Promise<boolean> {
    checkKey(key);
    return this.#mutate('close', key, ({ state, revision }) => {
      if (revision === undefined) return { outcome: false };
      return { outcome: state !== undefined, write: () => this.#remove(key, state?.witness) };
    });
  }

  async quarantine(key: RecordKey, why: QuarantineReason): Promise<void> {
    checkKey(key);
    this.#hooks.log.error('a session record was set aside', {
      session: key.name.slice(0, SHOWN_NAME),
      reason: why,
    });
    this.#hooks.onAlarm?.({ kind: 'record_quarantined', detail: `A record was set aside: ${why}.` });
    const path = pathOf(key);
    const { records, parts, quarantine } = this.#database;
    const aside = {
      why,
      until: Date.now() + QUARANTINE_TTL_MS,
      record: records.get(path),
      parts: parts.get(path),
    };
    await this.#commit('quarantine', () => {
      this.#remove(key, undefined);
      return quarantine.put(path, aside);
    });
  }

  async witness(id: string): Promise<string | null> {
    checkToken(id);
    return this.#reading('witness', async () => {
      const entry = this.#database.witnesses.get(id);
      if (entry === undefined) return null;
      const [principal, name] = entry.record;
      const { state } = await this.#find({ principal, name });
      return state === undefined ? null : entry.binding;
    });
  }

  async listPrincipal(principal: string): Promise<readonly { name: string; touchedAt: number }[]> {
    checkToken(principal);
    return this.#reading('listPrincipal', async () =>
      [...this.#live([principal, ''], [principal, END])]
        .map(({ key, state }) => ({ name: key.name, touchedAt: state.touchedAt }))
        .sort((a, b) => a.touchedAt - b.touchedAt),
    );
  }

  async list(page: { cursor?: string; limit: number }): Promise<{
    sessions: readonly SessionListing[];
    next: string | undefined;
  }> {
    const [principal, name] = page.cursor === undefined ? ['', ''] : readCursor(page.cursor);
    return this.#reading('list', async () => {
      const sessions: SessionListing[] = [];
      for (const { key, state } of this.#live([principal, name], undefined)) {
        const last = sessions.at(-1);
        if (last !== undefined && sessions.length === page.limit) {
          return { sessions, next: writeCursor(pathOf(last.key)) };
        }
        const parts = readParts(this.#database.parts.get(pathOf(key)));
        if (typeof parts === 'object') sessions.push({ key, header: state.header, summary: parts.summary });
      }
      return { sessions, next: undefined };
    });
  }

  async putTable(id: string, sealed: string, ttlMs: number): Promise<void> {
    checkTable(id, sealed);
    const { tables } = this.#database;
    const until = Math.max(Date.now() + ttlMs, this.#fresh(() => tables.get(id))?.until ?? 0);
    await this.#commit('putTable', () => tables.put(id, { sealed, until }));
  }

  async getTable(id: string): Promise<string | null> {
    checkToken(id);
    return this.#reading('getTable', async () => {
      const entry = this.#database.tables.get(id);
      return entry !== undefined && Date.now() < entry.until ? entry.sealed : null;
    });
  }

  async appendEvents(append: EventAppend): Promise<'ok' | 'fenced' | 'gone'> {
    checkAppend(append);
    const { key, epoch } = append;
    return this.#mutate<'ok' | 'fenced' | 'gone'>('appendEvents', key, ({ state, revision }) => {
      if (state === undefined) return { outcome: 'gone' };
      if (state.header.epoch !== epoch) return { outcome: 'fenced' };
      return { outcome: 'ok', write: this.#appending(append, state, revision) };
    });
  }

  async readEvents(read: EventRead): Promise<EventPage> {
    checkKey(read.key);
    checkToken(read.stream);
    return this.#reading('readEvents', async () => {
      const path: StreamPath = [...pathOf(read.key), read.stream];
      const { state } = await this.#find(read.key);
      const window = this.#database.streams.get(path);
      if (state === undefined || window === undefined || isStale(window, Date.now())) {
        return { events: [], dropped: 0, last: 0 };
      }
      const events: StoredEvent[] = [];
      for (const { seq } of window.kept) {
        const event = seq > read.after ? this.#database.events.get([...path, seq]) : undefined;
        if (event !== undefined) events.push({ seq, data: Buffer.from(event.data), answer: event.answer });
      }
      return { events, dropped: Math.max(0, window.last - read.after - events.length), last: window.last };
    });
  }

  watch(listener: InvalidationListener): () => void {
    return this.#changes.watch(listener);
  }

  async now(): Promise<number> {
    return Date.now();
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#probe);
    this.#changes.stop();
    await this.#sweeping;
    await this.#database.root.close();
  }

  /** Decides on what is there and writes only if it is still there; another process's write in between means deciding anew. */
  async #mutate<T>(
    operation: string,
    key: RecordKey,
    decide: (found: Found) => { readonly outcome: T; readonly write?: () => void },
  ): Promise<T> {
    const path = pathOf(key);
    const { records } = this.#database;
    const giveUpAt = performance.now() + WRITE_TIMEOUT_MS;
    do {
      const found = await this.#find(key);
      const { outcome, write } = decide(found);
      if (write === undefined) return outcome;
      const { revision } = found;
      const written = await this.#commit(operation, () =>
        revision === undefined ? records.ifNoExists(path, write) : records.ifVersion(path, revision, write),
      );
      if (written) return outcome;
    } while (performance.now() < giveUpAt);
    throw unavailable(new Error('Other writers were always faster.'));
  }

  async #find(key: RecordKey): Promise<Found> {
    const entry = this.#fresh(() => this.#database.records.getEntry(pathOf(key)));
    if (entry === undefined) return { state: undefined, revision: undefined };
    const state = readState(entry.value);
    if (typeof state === 'string') {
      await this.quarantine(key, state);
      return { state: undefined, revision: undefined };
    }
    return { state: isExpired(state, Date.now()) ? undefined : state, revision: entry.version };
  }

  #appending(append: EventAppend, state: RecordState, revision: number | undefined): () => void {
    const { streams, events } = this.#database;
    const path: StreamPath = [...pathOf(append.key), append.stream];
    const now = Date.now();
    const before = streams.get(path);
    const known = before !== undefined && !isStale(before, now);
    const { window, added, dropped } = admit(known ? before : EMPTY_WINDOW, append.events, now);
    return () => {
      this.#putState(append.key, state, revision);
      if (!known) this.#dropStream(path);
      if (before === undefined) this.#dropOldestStream(append.key);
      void streams.put(path, window);
      for (const { seq, answer, data } of added) void events.put([...path, seq], { answer, data });
      for (const seq of dropped) void events.remove([...path, seq]);
    };
  }

  #putState(key: RecordKey, state: RecordState, revision: number | undefined): void {
    void this.#database.records.put(pathOf(key), state, (revision ?? 0) + 1);
  }

  #putParts(key: RecordKey, { summary, body }: RecordUpdate): void {
    if (summary === undefined && body === undefined) return;
    const { parts } = this.#database;
    const stored = readParts(parts.get(pathOf(key)));
    const before = typeof stored === 'object' ? stored : { summary: '', body: '' };
    void parts.put(pathOf(key), { summary: summary ?? before.summary, body: body ?? before.body });
  }

  /** Everything of a session, in the write at hand. */
  #remove(key: RecordKey, witness: string | undefined): void {
    const { records, parts, streams, witnesses } = this.#database;
    const path = pathOf(key);
    void records.remove(path);
    void parts.remove(path);
    if (witness !== undefined) void witnesses.remove(witness);
    for (const stream of [...streams.getKeys({ start: [...path, ''], end: [...path, END] })])
      this.#dropStream(stream);
    this.#changes.note(key.name);
  }

  #dropStream(path: StreamPath): void {
    const { streams, events } = this.#database;
    void streams.remove(path);
    for (const event of [...events.getKeys({ start: [...path, 0], end: [...path, END] })])
      void events.remove(event);
  }

  #dropOldestStream(key: RecordKey): void {
    const path = pathOf(key);
    const all = [...this.#database.streams.getRange({ start: [...path, ''], end: [...path, END] })];
    if (all.length < MAX_STREAMS) return;
    const [oldest] = all.sort((a, b) => a.value.at - b.value.at);
    if (oldest !== undefined) this.#dropStream(oldest.key);
  }

  *#live(
    after: SessionPath,
    end: SessionPath | undefined,
  ): Generator<{ key: RecordKey; state: RecordState }> {
    const now = Date.now();
    const range = { start: after, exclusiveStart: true, ...(end === undefined ? {} : { end }) };
    for (const { key, value } of this.#database.records.getRange(range)) {
      const state = readState(value);
      const [principal, name] = key;
      if (typeof state === 'object' && !isExpired(state, now)) yield { key: { principal, name }, state };
    }
  }

  /** Reads what the other processes have written by now. */
  #fresh<T>(read: () => T): T {
    if (this.#stopped) throw unavailable(new Error('The store is stopped.'));
    this.#database.root.resetReadTxn();
    return read();
  }

  async #reading<T>(operation: string, read: () => Promise<T>): Promise<T> {
    const started = performance.now();
    try {
      return await this.#fresh(read);
    } catch (error) {
      throw error instanceof MeshError ? error : unavailable(error);
    } finally {
      this.#hooks.onLatency?.(operation, performance.now() - started);
    }
  }

  async #commit(operation: string, write: () => Promise<boolean>): Promise<boolean> {
    if (this.#stopped) throw unavailable(new Error('The store is stopped.'));
    const started = performance.now();
    try {
      const done = await within(WRITE_TIMEOUT_MS, write());
      this.#healthy = true;
      return done;
    } catch (error) {
      this.#failed();
      const cause = await commitError(error);
      this.#hooks.log.error('the embedded store cannot write', { store: 'embedded', error: cause });
      throw unavailable(cause);
    } finally {
      this.#hooks.onLatency?.(operation, performance.now() - started);
    }
  }

  /** Not ready until a write succeeds; as a replica that is not ready may get none, it tries by itself. */
  #failed(): void {
    this.#healthy = false;
    clearTimeout(this.#probe);
    this.#probe = setTimeout(() => {
      const expired = { sealed: '', until: 0 };
      this.#commit('probe', () => this.#database.tables.put('probe', expired)).catch(() => {
        // Said where it failed, and tried again from there.
      });
    }, PROBE_MS);
    this.#probe.unref();
  }

  #sweep(): void {
    this.#sweeping = sweep({
      database: this.#database,
      now: Date.now(),
      stopped: () => this.#stopped,
      expire: ([principal, name], revision) =>
        this.#commit('sweep', () => {
          const state = readState(this.#database.records.get([principal, name]));
          const witness = typeof state === 'object' ? state.witness : undefined;
          const remove = () => this.#remove({ principal, name }, witness);
          return this.#database.records.ifVersion([principal, name], revision, remove);
        }),
      dropStream: (path) =>
        this.#commit('sweep', () => {
          this.#dropStream(path);
          return this.#database.root.committed;
        }),
    }).catch((error: unknown) => {
      this.#hooks.log.warn('the embedded store could not sweep', { store: 'embedded', error });
    });
  }
}

function pathOf({ principal, name }: RecordKey): SessionPath {
  return [principal, name];
}

function unavailable(cause: unknown): MeshError {
  return new MeshError('store_unavailable', 'The session store cannot be asked at this moment.', {
    cause,
    retryAfterMs: RETRY_AFTER_MS,
  });
}

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('The write takes too long.')), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** LMDB's binding hides why a commit failed behind a promise of its own. */
async function commitError(error: unknown): Promise<unknown> {
  if (!(error instanceof Error)) return error;
  const why: unknown = Reflect.get(error, 'commitError');
  return why instanceof Promise ? why.catch((reason: unknown) => reason) : error;
}
