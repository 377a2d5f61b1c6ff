import { type EmbeddedAccess, WRITE_TIMEOUT_MS } from './embedded-access.ts';
import type { EmbeddedChanges } from './embedded-changes.ts';
import { pathOf, readParts, readState } from './embedded-database.ts';
import type { EmbeddedRows } from './embedded-rows.ts';
import { partOf } from './embedded-write.ts';
import type { StoreHooks } from './hooks.ts';
import { QUARANTINE_TTL_MS } from './limits.ts';
import { unavailable } from './operation.ts';
import { tellQuarantined } from './quarantine-alarm.ts';
import {
  type CreateOutcome,
  decideCreate,
  decideTouch,
  decideUpdate,
  isExpired,
  type RecordState,
} from './rules.ts';
import type {
  NewRecord,
  QuarantineReason,
  RecordKey,
  RecordUpdate,
  SessionRecord,
  TouchOutcome,
  UpdateOutcome,
} from './session-store.ts';
import type { RecordPart } from './store-parts.ts';

/** The record, if a live one is there, and the revision that a write must still meet. */
export interface Found {
  readonly state: RecordState | undefined;
  readonly revision: number | undefined;
}

/** What to answer, and what to write for it. */
export interface Decision<T> {
  readonly outcome: T;
  readonly write?: () => void;
}

export interface EmbeddedRecordsOptions {
  readonly access: EmbeddedAccess;
  readonly rows: EmbeddedRows;
  readonly changes: EmbeddedChanges;
  readonly hooks: StoreHooks;
}

/**
 * The session records in the folder, with their witnesses. Every change of a
 * session is a compare-and-swap of its record's revision with everything else
 * that belongs to it in the same transaction. No JavaScript runs inside one, so
 * no process holds the lock longer than a commit takes.
 */
export class EmbeddedRecords implements RecordPart {
  readonly #access: EmbeddedAccess;
  readonly #rows: EmbeddedRows;
  readonly #changes: EmbeddedChanges;
  readonly #hooks: StoreHooks;

  constructor({ access, rows, changes, hooks }: EmbeddedRecordsOptions) {
    this.#access = access;
    this.#rows = rows;
    this.#changes = changes;
    this.#hooks = hooks;
  }

  async create(record: NewRecord): Promise<CreateOutcome> {
    const { key, witness, summary, body } = record;
    return this.mutate<CreateOutcome>('create', key, ({ state, revision }) => {
      const { outcome, next } = decideCreate(state, record, Date.now());
      if (next === undefined) return { outcome };
      const write = () => {
        const { parts, witnesses } = this.#access.database;
        this.#rows.putState(key, next, revision);
        partOf(parts.put(pathOf(key), { summary, body }));
        partOf(witnesses.put(witness.id, { binding: witness.binding, record: pathOf(key) }));
      };
      return { outcome, write };
    });
  }

  async load(key: RecordKey): Promise<SessionRecord | null> {
    return this.#access.reading('load', async () => {
      const { state } = await this.find(key);
      if (state === undefined) return null;
      const parts = readParts(this.#access.database.parts.get(pathOf(key)));
      if (typeof parts === 'object') return { header: state.header, ...parts };
      await this.quarantine(key, parts);
      return null;
    });
  }

  async touch(key: RecordKey, epoch: number): Promise<TouchOutcome> {
    return this.mutate<TouchOutcome>('touch', key, ({ state, revision }) => {
      if (state === undefined) return { outcome: { kind: 'gone' } };
      const { outcome, next } = decideTouch(state, epoch, Date.now());
      if (next === undefined) return { outcome };
      return { outcome, write: () => this.#rows.putState(key, next, revision) };
    });
  }

  async update(update: RecordUpdate): Promise<UpdateOutcome> {
    const { key } = update;
    return this.mutate<UpdateOutcome>('update', key, ({ state, revision }) => {
      if (state === undefined) return { outcome: { kind: 'gone' } };
      const { outcome, next } = decideUpdate(state, update, Date.now());
      if (next === undefined) return { outcome };
      const write = () => {
        this.#rows.putState(key, next, revision);
        this.#rows.putParts(key, update);
        this.#changes.note(key.name);
      };
      return { outcome, write };
    });
  }

  async close(key: RecordKey): Promise<boolean> {
    return this.mutate('close', key, ({ state, revision }) => {
      if (revision === undefined) return { outcome: false };
      return { outcome: state !== undefined, write: () => this.#rows.remove(key, state?.witness) };
    });
  }

  async quarantine(key: RecordKey, why: QuarantineReason): Promise<void> {
    tellQuarantined(this.#hooks, { key, why });
    const path = pathOf(key);
    const { records, parts, quarantine } = this.#access.database;
    const aside = {
      why,
      until: Date.now() + QUARANTINE_TTL_MS,
      record: records.get(path),
      parts: parts.get(path),
    };
    await this.#access.commit('quarantine', () => {
      this.#rows.remove(key, undefined);
      return quarantine.put(path, aside);
    });
  }

  async witness(id: string): Promise<string | null> {
    return this.#access.reading('witness', async () => {
      const entry = this.#access.database.witnesses.get(id);
      if (entry === undefined) return null;
      const [principal, name] = entry.record;
      const { state } = await this.find({ principal, name });
      return state === undefined ? null : entry.binding;
    });
  }

  /** Decides on what is there and writes only if it is still there; another process's write in between means deciding anew. */
  async mutate<T>(operation: string, key: RecordKey, decide: (found: Found) => Decision<T>): Promise<T> {
    const path = pathOf(key);
    const { records } = this.#access.database;
    const giveUpAt = performance.now() + WRITE_TIMEOUT_MS;
    do {
      const found = await this.find(key);
      const { outcome, write } = decide(found);
      if (write === undefined) return outcome;
      const { revision } = found;
      const written = await this.#access.commit(operation, () =>
        revision === undefined ? records.ifNoExists(path, write) : records.ifVersion(path, revision, write),
      );
      if (written) return outcome;
    } while (performance.now() < giveUpAt);
    throw unavailable('Other writers were always faster.');
  }

  /** What is there by now; a record that cannot be trusted is set aside first. */
  async find(key: RecordKey): Promise<Found> {
    const entry = this.#access.fresh(() => this.#access.database.records.getEntry(pathOf(key)));
    if (entry === undefined) return { state: undefined, revision: undefined };
    const state = readState(entry.value);
    if (typeof state === 'string') {
      await this.quarantine(key, state);
      return { state: undefined, revision: undefined };
    }
    return { state: isExpired(state, Date.now()) ? undefined : state, revision: entry.version };
  }
}
