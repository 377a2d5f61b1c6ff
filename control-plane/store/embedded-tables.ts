import type { EmbeddedAccess } from './embedded-access.ts';
import type { TablePart } from './store-parts.ts';

/** Sealed routing tables in the folder. */
export function embeddedTables(access: EmbeddedAccess): TablePart {
  const { tables } = access.database;
  return {
    putTable: async (id, sealed, ttlMs) => {
      const until = Math.max(Date.now() + ttlMs, access.fresh(() => tables.get(id))?.until ?? 0);
      await access.commit('putTable', () => tables.put(id, { sealed, until }));
    },
    getTable: (id) =>
      access.reading('getTable', async () => {
        const entry = tables.get(id);
        return entry !== undefined && Date.now() < entry.until ? entry.sealed : null;
      }),
  };
}
