import type { EmbeddedAccess } from './embedded-access.ts';
import { WRITE_TIMEOUT_MS } from './embedded-access.ts';
import type { EmbeddedChanges } from './embedded-changes.ts';
import { isVaultRow, type VaultRow } from './embedded-database.ts';
import { partOf } from './embedded-write.ts';
import { unavailable } from './operation.ts';
import { decideVaultWrite } from './rules.ts';
import type { VaultEntry, VaultWrite } from './session-store.ts';
import type { VaultPart } from './store-parts.ts';

export interface EmbeddedVaultOptions {
  readonly access: EmbeddedAccess;
  readonly changes: EmbeddedChanges;
}

interface Found {
  readonly entry: VaultEntry | undefined;
  /** Of the row, live or not; undefined where there is none. */
  readonly revision: number | undefined;
}

/** The vault in the folder. As with records, a write is conditional on the row that it was decided on. */
export class EmbeddedVault implements VaultPart {
  readonly #access: EmbeddedAccess;
  readonly #changes: EmbeddedChanges;

  constructor({ access, changes }: EmbeddedVaultOptions) {
    this.#access = access;
    this.#changes = changes;
  }

  async readVault(id: string): Promise<VaultEntry | null> {
    return this.#access.reading('readVault', async () => this.#find(id).entry ?? null);
  }

  async writeVault(write: VaultWrite): Promise<boolean> {
    const { id, version, sealed, ttlMs } = write;
    const { vault } = this.#access.database;
    return this.#swap('writeVault', id, ({ entry, revision = 0 }) => {
      const outcome = decideVaultWrite(entry, write);
      if (outcome !== 'write') return { outcome: outcome === 'done' };
      const row: VaultRow = { version, sealed, until: Date.now() + ttlMs };
      return { outcome: true, change: () => partOf(vault.put(id, row, revision + 1)) };
    });
  }

  async clearVault(id: string, version: string): Promise<void> {
    const { vault } = this.#access.database;
    await this.#swap('clearVault', id, ({ entry }) =>
      entry?.version === version
        ? { outcome: true, change: () => partOf(vault.remove(id)) }
        : { outcome: false },
    );
  }

  async #swap(
    operation: string,
    id: string,
    decide: (found: Found) => { readonly outcome: boolean; readonly change?: () => void },
  ): Promise<boolean> {
    const { vault } = this.#access.database;
    const giveUpAt = performance.now() + WRITE_TIMEOUT_MS;
    do {
      const found = this.#access.fresh(() => this.#find(id));
      const { outcome, change } = decide(found);
      if (change === undefined) return outcome;
      const { revision } = found;
      const write = () => {
        change();
        this.#changes.note(id);
      };
      const written = await this.#access.commit(operation, () =>
        revision === undefined ? vault.ifNoExists(id, write) : vault.ifVersion(id, revision, write),
      );
      if (written) return outcome;
    } while (performance.now() < giveUpAt);
    throw unavailable('Other writers were always faster.');
  }

  #find(id: string): Found {
    const row = this.#access.database.vault.getEntry(id);
    if (row === undefined) return { entry: undefined, revision: undefined };
    const { value, version: revision } = row;
    const live = isVaultRow(value) && Date.now() < value.until;
    return { entry: live ? { version: value.version, sealed: value.sealed } : undefined, revision };
  }
}
