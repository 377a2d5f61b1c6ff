import { NO_EVENTS, pageOf } from './event-page.ts';
import { admit, EMPTY_WINDOW, type EventWindow, isStale } from './event-window.ts';
import {
  checkAppend,
  checkKey,
  checkNewRecord,
  checkTable,
  checkToken,
  checkUpdate,
  checkVaultWrite,
  MAX_STREAMS,
} from './limits.ts';
import { readCursor, writeCursor } from './page-cursor.ts';
import {
  type CreateOutcome,
  decideCreate,
  decideTouch,
  decideUpdate,
  decideVaultWrite,
  isExpired,
  type RecordState,
} from './rules.ts';
import type {
  EventAppend,
  EventPage,
  EventRead,
  InvalidationListener,
  NewRecord,
  RecordKey,
  RecordUpdate,
  SessionListing,
  SessionRecord,
  SessionStore,
  StoredEvent,
  TouchOutcome,
  UpdateOutcome,
  VaultEntry,
  VaultWrite,
} from './session-store.ts';

interface StoredRecord {
  readonly key: RecordKey;
  state: RecordState;
  summary: string;
  body: string;
  readonly streams: Map<string, { window: EventWindow; readonly events: Map<number, StoredEvent> }>;
}

/** What the stores of several replicas in one process share. */
export class SharedMemory {
  readonly records = new Map<string, StoredRecord>();
  readonly witnesses = new Map<string, { readonly binding: string; readonly record: string }>();
  readonly tables = new Map<string, { readonly sealed: string; readonly until: number }>();
  readonly vault = new Map<string, VaultEntry & { readonly until: number }>();
  readonly listeners = new Map<InvalidationListener, MemorySessionStore>();
}

export interface MemoryStoreOptions {
  /** The store's clock, in milliseconds. */
  readonly clock: () => number;
  /** Awaited once by every operation, before its one atomic step, and before an invalidation is delivered: a test's scheduler decides here who comes next. */
  readonly schedule?: (operation: string) => Promise<void>;
  /** One object for all replicas of a test; each has its own store on it. */
  readonly shared?: SharedMemory;
}

/** The session store for tests of interleavings: every operation is one atomic step behind one awaited hook. Nothing outlives the process. */
export class MemorySessionStore implements SessionStore {
  readonly #clock: () => number;
  readonly #schedule: (operation: string) => Promise<void>;
  readonly #shared: SharedMemory;
  readonly ready = true;

  constructor(options: MemoryStoreOptions) {
    this.#clock = options.clock;
    this.#schedule = options.schedule ?? (() => Promise.resolve());
    this.#shared = options.shared ?? new SharedMemory();
  }

  async create(record: NewRecord): Promise<CreateOutcome> {
    checkNewRecord(record);
    await this.#schedule('create');
    const { key, summary, body, witness } = record;
    const { outcome, next } = decideCreate(this.#find(key)?.state, record, this.#clock());
    if (next !== undefined) {
      this.#shared.records.set(id(key), { key, state: next, summary, body, streams: new Map() });
      this.#shared.witnesses.set(witness.id, { binding: witness.binding, record: id(key) });
    }
    return outcome;
  }

  async load(key: RecordKey): Promise<SessionRecord | null> {
    checkKey(key);
    await this.#schedule('load');
    const record = this.#find(key);
    return record === undefined
      ? null
      : { header: record.state.header, summary: record.summary, body: record.body };
  }

  async touch(key: RecordKey, epoch: number): Promise<TouchOutcome> {
    checkKey(key);
    await this.#schedule('touch');
    const record = this.#find(key);
    if (record === undefined) return { kind: 'gone' };
    const { outcome, next } = decideTouch(record.state, epoch, this.#clock());
    if (next !== undefined) record.state = next;
    return outcome;
  }

  async update(update: RecordUpdate): Promise<UpdateOutcome> {
    checkUpdate(update);
    await this.#schedule('update');
    const record = this.#find(update.key);
    if (record === undefined) return { kind: 'gone' };
    const { outcome, next } = decideUpdate(record.state, update, this.#clock());
    if (next !== undefined) {
      record.state = next;
      record.summary = update.summary ?? record.summary;
      record.body = update.body ?? record.body;
      this.#changed(update.key.name);
    }
    return outcome;
  }

  async close(key: RecordKey): Promise<boolean> {
    checkKey(key);
    await this.#schedule('close');
    return this.#delete(key);
  }

  async quarantine(key: RecordKey): Promise<void> {
    checkKey(key);
    await this.#schedule('quarantine');
    this.#delete(key);
  }

  async witness(witness: string): Promise<string | null> {
    checkToken(witness);
    await this.#schedule('witness');
    const entry = this.#shared.witnesses.get(witness);
    const record = entry && this.#shared.records.get(entry.record);
    return entry !== undefined && record !== undefined && this.#find(record.key) !== undefined
      ? entry.binding
      : null;
  }

  async listPrincipal(principal: string): Promise<readonly { name: string; touchedAt: number }[]> {
    checkToken(principal);
    await this.#schedule('listPrincipal');
    return this.#live()
      .filter(({ key }) => key.principal === principal)
      .map(({ key, state }) => ({ name: key.name, touchedAt: state.touchedAt }))
      .sort((a, b) => a.touchedAt - b.touchedAt);
  }

  async list(page: { cursor?: string; limit: number }): Promise<{
    sessions: readonly SessionListing[];
    next: string | undefined;
  }> {
    const after = page.cursor === undefined ? undefined : id(keyOf(readCursor(page.cursor)));
    await this.#schedule('list');
    const live = this.#live().sort((a, b) => (id(a.key) < id(b.key) ? -1 : 1));
    const rest = after === undefined ? live : live.filter(({ key }) => id(key) > after);
    const shown = rest.slice(0, page.limit);
    const last = shown.at(-1);
    return {
      sessions: shown.map(({ key, state, summary }) => ({ key, header: state.header, summary })),
      next:
        last !== undefined && rest.length > shown.length
          ? writeCursor([last.key.principal, last.key.name])
          : undefined,
    };
  }

  async putTable(table: string, sealed: string, ttlMs: number): Promise<void> {
    checkTable(table, sealed);
    await this.#schedule('putTable');
    const until = Math.max(this.#clock() + ttlMs, this.#shared.tables.get(table)?.until ?? 0);
    this.#shared.tables.set(table, { sealed, until });
  }

  async getTable(table: string): Promise<string | null> {
    checkToken(table);
    await this.#schedule('getTable');
    const entry = this.#shared.tables.get(table);
    return entry !== undefined && this.#clock() < entry.until ? entry.sealed : null;
  }

  async readVault(id: string): Promise<VaultEntry | null> {
    checkToken(id);
    await this.#schedule('readVault');
    const entry = this.#entry(id);
    return entry === undefined ? null : { version: entry.version, sealed: entry.sealed };
  }

  async writeVault(write: VaultWrite): Promise<boolean> {
    checkVaultWrite(write);
    await this.#schedule('writeVault');
    const { id, version, sealed, ttlMs } = write;
    const outcome = decideVaultWrite(this.#entry(id), write);
    if (outcome !== 'write') return outcome === 'done';
    this.#shared.vault.set(id, { version, sealed, until: this.#clock() + ttlMs });
    this.#changed(id);
    return true;
  }

  async clearVault(id: string, version: string): Promise<void> {
    checkToken(id);
    await this.#schedule('clearVault');
    if (this.#entry(id)?.version !== version) return;
    this.#shared.vault.delete(id);
    this.#changed(id);
  }

  async appendEvents(append: EventAppend): Promise<'ok' | 'fenced' | 'gone'> {
    checkAppend(append);
    await this.#schedule('appendEvents');
    const record = this.#find(append.key);
    if (record === undefined) return 'gone';
    if (record.state.header.epoch !== append.epoch) return 'fenced';
    const now = this.#clock();
    const stream = this.#stream(record, append.stream) ?? { window: EMPTY_WINDOW, events: new Map() };
    const { window, added, dropped } = admit(stream.window, append.events, now);
    stream.window = window;
    for (const event of added) stream.events.set(event.seq, event);
    for (const seq of dropped) stream.events.delete(seq);
    // Written last, so that the map's order is the order of the last writes.
    record.streams.delete(append.stream);
    record.streams.set(append.stream, stream);
    for (const oldest of record.streams.keys()) {
      if (record.streams.size <= MAX_STREAMS) break;
      record.streams.delete(oldest);
    }
    return 'ok';
  }

  async readEvents(read: EventRead): Promise<EventPage> {
    checkKey(read.key);
    checkToken(read.stream);
    await this.#schedule('readEvents');
    const record = this.#find(read.key);
    const stream = record && this.#stream(record, read.stream);
    if (stream === undefined) return NO_EVENTS;
    const { last } = stream.window;
    const events = [...stream.events.values()].filter((event) => event.seq > read.after);
    return pageOf(read, { events, last });
  }

  watch(listener: InvalidationListener): () => void {
    this.#shared.listeners.set(listener, this);
    return () => void this.#shared.listeners.delete(listener);
  }

  async now(): Promise<number> {
    await this.#schedule('now');
    return this.#clock();
  }

  async stop(): Promise<void> {
    for (const [listener, store] of this.#shared.listeners) {
      if (store === this) this.#shared.listeners.delete(listener);
    }
  }

  #find(key: RecordKey): StoredRecord | undefined {
    const record = this.#shared.records.get(id(key));
    return record === undefined || isExpired(record.state, this.#clock()) ? undefined : record;
  }

  #entry(id: string): VaultEntry | undefined {
    const entry = this.#shared.vault.get(id);
    return entry !== undefined && this.#clock() < entry.until ? entry : undefined;
  }

  #live(): StoredRecord[] {
    return [...this.#shared.records.values()].filter(({ key }) => this.#find(key) !== undefined);
  }

  #stream(record: StoredRecord, name: string) {
    const stream = record.streams.get(name);
    return stream === undefined || isStale(stream.window, this.#clock()) ? undefined : stream;
  }

  #delete(key: RecordKey): boolean {
    const record = this.#find(key);
    this.#shared.records.delete(id(key));
    if (record === undefined) return false;
    this.#shared.witnesses.delete(record.state.witness);
    this.#changed(key.name);
    return true;
  }

  #changed(name: string): void {
    for (const [listener, store] of this.#shared.listeners) {
      if (store === this) continue;
      void this.#schedule('invalidation').then(() => {
        if (this.#shared.listeners.has(listener)) listener(name);
      });
    }
  }
}

function id(key: RecordKey): string {
  return `${key.principal}/${key.name}`;
}

function keyOf([principal, name]: readonly [string, string]): RecordKey {
  return { principal, name };
}
