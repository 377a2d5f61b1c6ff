import {
  checkAppend,
  checkKey,
  checkNewRecord,
  checkTable,
  checkToken,
  checkUpdate,
  checkVaultWrite,
} from './limits.ts';
import type { SessionStore } from './session-store.ts';

/** A session store as parts with one subject each. They are given only what has passed the checks. */
export interface StoreParts {
  readonly records: RecordPart;
  readonly events: EventPart;
  readonly listing: ListingPart;
  readonly tables: TablePart;
  readonly vault: VaultPart;
  readonly life: LifePart;
}

export type RecordPart = Pick<
  SessionStore,
  'create' | 'load' | 'touch' | 'update' | 'close' | 'quarantine' | 'witness'
>;
export type EventPart = Pick<SessionStore, 'appendEvents' | 'readEvents'>;
export type ListingPart = Pick<SessionStore, 'listPrincipal' | 'list'>;
export type TablePart = Pick<SessionStore, 'putTable' | 'getTable'>;
export type VaultPart = Pick<SessionStore, 'readVault' | 'writeVault' | 'clearVault'>;
export type LifePart = Pick<SessionStore, 'watch' | 'now' | 'ready' | 'stop'>;

/** The store that these parts make. What is malformed or too large is refused before any of them sees it. */
export function joinParts({ records, events, listing, tables, vault, life }: StoreParts): SessionStore {
  return {
    create: async (record) => {
      checkNewRecord(record);
      return records.create(record);
    },
    load: async (key) => {
      checkKey(key);
      return records.load(key);
    },
    touch: async (key, epoch) => {
      checkKey(key);
      return records.touch(key, epoch);
    },
    update: async (update) => {
      checkUpdate(update);
      return records.update(update);
    },
    close: async (key) => {
      checkKey(key);
      return records.close(key);
    },
    quarantine: async (key, why) => {
      checkKey(key);
      return records.quarantine(key, why);
    },
    witness: async (id) => {
      checkToken(id);
      return records.witness(id);
    },
    listPrincipal: async (principal) => {
      checkToken(principal);
      return listing.listPrincipal(principal);
    },
    list: (page) => listing.list(page),
    putTable: async (id, sealed, ttlMs) => {
      checkTable(id, sealed);
      return tables.putTable(id, sealed, ttlMs);
    },
    getTable: async (id) => {
      checkToken(id);
      return tables.getTable(id);
    },
    readVault: async (id) => {
      checkToken(id);
      return vault.readVault(id);
    },
    writeVault: async (write) => {
      checkVaultWrite(write);
      return vault.writeVault(write);
    },
    clearVault: async (id, version) => {
      checkToken(id);
      return vault.clearVault(id, version);
    },
    appendEvents: async (append) => {
      checkAppend(append);
      return events.appendEvents(append);
    },
    readEvents: async (read) => {
      checkKey(read.key);
      checkToken(read.stream);
      return events.readEvents(read);
    },
    watch: (listener) => life.watch(listener),
    now: () => life.now(),
    get ready() {
      return life.ready;
    },
    stop: () => life.stop(),
  };
}
