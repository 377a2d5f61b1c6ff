import { EmbeddedAccess } from './embedded-access.ts';
import { EmbeddedChanges } from './embedded-changes.ts';
import { openDatabase } from './embedded-database.ts';
import { EmbeddedEvents } from './embedded-events.ts';
import { EmbeddedListing } from './embedded-listing.ts';
import { EmbeddedRecords } from './embedded-records.ts';
import { EmbeddedRows } from './embedded-rows.ts';
import { EmbeddedSweep } from './embedded-sweep.ts';
import { embeddedTables } from './embedded-tables.ts';
import { EmbeddedVault } from './embedded-vault.ts';
import type { StoreHooks } from './hooks.ts';
import type { SessionStore } from './session-store.ts';
import type { EmbeddedStoreSettings } from './settings.ts';
import { joinParts, type LifePart } from './store-parts.ts';

/**
 * The session store in a folder of this machine, shared by its processes (LMDB).
 * A write is on the disk before its promise resolves, and a process that is
 * killed at any moment leaves either all of a write or nothing of it.
 */
export async function openEmbeddedStore(
  settings: EmbeddedStoreSettings,
  hooks: StoreHooks,
): Promise<SessionStore> {
  const database = await openDatabase(settings.path);
  const access = new EmbeddedAccess(database, hooks);
  const changes = new EmbeddedChanges(database);
  const rows = new EmbeddedRows(database, changes);
  const records = new EmbeddedRecords({ access, rows, changes, hooks });
  const sweep = new EmbeddedSweep({ access, rows, hooks });
  return joinParts({
    records,
    events: new EmbeddedEvents({ access, rows, records }),
    listing: new EmbeddedListing(access),
    tables: embeddedTables(access),
    vault: new EmbeddedVault({ access, changes }),
    life: lifeOf({ access, changes, sweep }),
  });
}

interface LifeOptions {
  readonly access: EmbeddedAccess;
  readonly changes: EmbeddedChanges;
  readonly sweep: EmbeddedSweep;
}

function lifeOf({ access, changes, sweep }: LifeOptions): LifePart {
  return {
    watch: (listener) => changes.watch(listener),
    now: async () => Date.now(),
    get ready() {
      return access.ready;
    },
    stop: async () => {
      if (access.stopped) return;
      access.stop();
      changes.stop();
      await sweep.stop();
      await access.database.root.close();
    },
  };
}
