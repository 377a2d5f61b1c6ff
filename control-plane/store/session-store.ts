/**
 * The store of session records. Three implementations pass one contract suite.
 * Every key is documented in SCHEMA.md. The store never sees a session id, a
 * token or a plain body; it compares, counts and expires, on its own clock.
 */

/** The newest record schema that this build reads. A record of a newer one is quarantined, so readers are released before writers. */
export const RECORD_SCHEMA = 1;

/** Names a record. Both parts are keyed hashes; records, events and index of one principal lie together (one Cluster slot). */
export interface RecordKey {
  /** Keyed hash of the principal (or an anonymous shard). Both parts: 1 to 128 characters of `A-Z a-z 0-9 _ -`. */
  readonly principal: string;
  /** Keyed hash of principal and session id. */
  readonly name: string;
}

/** The plain part of a record, for the store's own logic. Times are milliseconds on the store's clock. */
export interface RecordHeader {
  /** Grows by one with every successful update. */
  readonly version: number;
  /** Grows by one with every takeover. */
  readonly epoch: number;
  /** The replica that serves the session. */
  readonly owner: string;
  /** When `owner` took it. */
  readonly takenAt: number;
  /** Absolute expiry; nothing extends it. */
  readonly expiresAt: number;
  /** Sliding expiry, extended by `touch` and `update`, never beyond `expiresAt`. */
  readonly idleExpiresAt: number;
  readonly schema: number;
  readonly keyId: string;
}

export interface SessionRecord {
  readonly header: RecordHeader;
  /** Sealed under the server key, for admins. Compact JWE. */
  readonly summary: string;
  /** Sealed under the server key and the secret that only the client holds. Compact JWE. */
  readonly body: string;
}

export interface NewRecord {
  readonly key: RecordKey;
  readonly owner: string;
  readonly idleTtlMs: number;
  readonly absoluteTtlMs: number;
  readonly schema: number;
  readonly keyId: string;
  readonly summary: string;
  readonly body: string;
  /** Keyed hash of the whole session id → keyed hash of the binding: lets a mismatch be recorded without loading anything. */
  readonly witness: { readonly id: string; readonly binding: string };
  /** Makes a retry of a write whose answer was lost harmless: the same id again, among the record's last eight, is the same success with the same version. 1 to 64 characters of `A-Z a-z 0-9 _ -`. */
  readonly writeId: string;
}

export interface RecordUpdate {
  readonly key: RecordKey;
  /** The version that the writer last saw. */
  readonly version: number;
  /** The epoch under which the writer serves. */
  readonly epoch: number;
  readonly writeId: string;
  /**
   * Present: the writer takes the session over, under a new epoch. From another owner at most
   * once a second, and `takenAt` is set anew; its own (evicted, or before a restart) at any time.
   */
  readonly takeover?: { readonly owner: string };
  readonly keyId?: string;
  readonly summary?: string;
  readonly body?: string;
}

export type UpdateOutcome =
  | { readonly kind: 'ok'; readonly header: RecordHeader }
  /** No such record: deleted or expired. Nothing was written. */
  | { readonly kind: 'gone' }
  /** Same epoch, another version: read again. Nothing was written. */
  | { readonly kind: 'conflict'; readonly header: RecordHeader }
  /** Another epoch: another replica took the session (or the store lost the writer's own takeover). Nothing was written. */
  | { readonly kind: 'fenced'; readonly header: RecordHeader }
  /** A takeover from another owner less than a second after the last one (creation is none). Nothing was written. */
  | { readonly kind: 'too_soon'; readonly header: RecordHeader };

export type TouchOutcome =
  | { readonly kind: 'ok'; readonly header: RecordHeader }
  | { readonly kind: 'gone' }
  | { readonly kind: 'fenced'; readonly header: RecordHeader };

/** One event of a resumable stream. `data` is sealed. */
export interface StoredEvent {
  /** `seq` of the event id, from 1, growing. One that the store already has is skipped: a retry. A new owner goes on after `EventPage.last`. */
  readonly seq: number;
  readonly data: Uint8Array;
  /** An answer (the last event of a call's stream) outlives the caps on the others. */
  readonly answer: boolean;
}

export interface EventAppend {
  readonly key: RecordKey;
  readonly stream: string;
  readonly epoch: number;
  readonly events: readonly StoredEvent[];
}

export interface EventRead {
  readonly key: RecordKey;
  readonly stream: string;
  /** Return events with a greater `seq`. */
  readonly after: number;
}

export interface EventPage {
  readonly events: readonly StoredEvent[];
  /** Events after `after`, up to `last`, that are not kept any more. */
  readonly dropped: number;
  /** The newest `seq` of the stream; 0 when the store knows nothing of it (never written, five minutes old, or session gone). */
  readonly last: number;
}

export interface SessionListing {
  readonly key: RecordKey;
  readonly header: RecordHeader;
  readonly summary: string;
}

/** What the vault keeps under one name: a login, sealed, or that something has happened once. */
export interface VaultEntry {
  /** The write that made it what it is. */
  readonly version: string;
  readonly sealed: string;
}

export interface VaultWrite {
  /** A keyed hash: 1 to 128 characters of `A-Z a-z 0-9 _ -`. */
  readonly id: string;
  /** The version that the writer last saw; null where it saw none. */
  readonly expected: string | null;
  /** Names this write, and becomes the version: the same again is the same success. 1 to 64 characters of `A-Z a-z 0-9 _ -`. */
  readonly version: string;
  readonly sealed: string;
  /** From now, on the store's clock; the entry is gone then. */
  readonly ttlMs: number;
}

/** Why a record was set aside: judged by the store, or (`unsealable`) by whoever holds the keys. */
export type QuarantineReason = 'malformed' | 'wrong_type' | 'oversized' | 'future_schema' | 'unsealable';

/** A record or an entry of the vault, by its name, changed elsewhere (or null: everything may have). A hint: correctness rests on the lease, the epoch and the version. */
export type InvalidationListener = (name: string | null) => void;

/**
 * Every method rejects with MeshError `store_unavailable` (with retryAfterMs) when
 * the store cannot be asked or cannot promise; never does a fault read as "gone".
 * A rejected write may have happened: retry it with the same write id. A part over
 * its cap (64 KiB a sealed part, 1 MiB a table, 4 MiB and its seal an event) is
 * `message_too_large`. A corrupt record reads as null (to a write: as gone), is
 * quarantined and counted.
 */
export interface SessionStore {
  create(record: NewRecord): Promise<{ kind: 'created'; header: RecordHeader } | { kind: 'exists' }>;
  load(key: RecordKey): Promise<SessionRecord | null>;
  /** Slides the idle expiry if the record exists under this epoch. Soon after another touch or an update there is nothing to write: see `slackMs`. */
  touch(key: RecordKey, epoch: number): Promise<TouchOutcome>;
  update(update: RecordUpdate): Promise<UpdateOutcome>;
  /** Deletes the record, its events and its index entries, for good. True if there was one. */
  close(key: RecordKey): Promise<boolean>;
  /** Sets a record aside for a day, out of everyone's reach, and raises an alarm. For what only the holder of the keys can judge. */
  quarantine(key: RecordKey, why: QuarantineReason): Promise<void>;
  /** The keyed hash of the binding that the session was created under. */
  witness(id: string): Promise<string | null>;
  /** A principal's sessions, least recently touched first, with that time on the store's clock. */
  listPrincipal(principal: string): Promise<readonly { name: string; touchedAt: number }[]>;
  /** All sessions, a page at a time, for admins. */
  list(page: {
    cursor?: string;
    limit: number;
  }): Promise<{ sessions: readonly SessionListing[]; next: string | undefined }>;
  /** Sealed routing tables, one per content. */
  putTable(id: string, sealed: string, ttlMs: number): Promise<void>;
  getTable(id: string): Promise<string | null>;
  readVault(id: string): Promise<VaultEntry | null>;
  /** Compare-and-swap. False, and nothing is written, where the entry is not the expected one. */
  writeVault(write: VaultWrite): Promise<boolean>;
  /** Deletes the entry, if it is still this one. */
  clearVault(id: string, version: string): Promise<void>;
  /** Refused with `fenced` under a stale epoch. Caps: 256 events or 1 MiB a stream beside its answer, 5 minutes. */
  appendEvents(append: EventAppend): Promise<'ok' | 'fenced' | 'gone'>;
  readEvents(read: EventRead): Promise<EventPage>;
  /** Returns the function that stops it. */
  watch(listener: InvalidationListener): () => void;
  /** Milliseconds on the store's clock. */
  now(): Promise<number>;
  /** Whether the store can be asked at this moment, without asking it. */
  readonly ready: boolean;
  stop(): Promise<void>;
}
