import { createHmac, randomUUID } from 'node:crypto';
import type { IndexKeys } from '../session/record-names.ts';
import type { SessionStore, VaultEntry, VaultWrite } from '../store/session-store.ts';

/** What a principal has at a provider. */
export interface StoredLogin {
  readonly accessToken: string;
  /** Milliseconds since the epoch. */
  readonly issuedAt: number;
  /** Milliseconds since the epoch; undefined where only a refusal tells. */
  readonly expiresAt: number | undefined;
  readonly refreshToken: string | undefined;
  /** The one before it, where it rotated. */
  readonly previousRefreshToken: string | undefined;
  /** What the person was asked to grant; absent in older entries. */
  readonly asked?: readonly string[];
  /** How often that was more than the time before. */
  readonly stepUps?: number;
}

/** Whose login, and where. */
export interface LoginName {
  /** Of the identity binding: issuer, subject, tenant. */
  readonly bindingKey: string;
  /** A provider with what is asked of it, so that a login never meets another provider than its own. */
  readonly provider: string;
}

export interface KeptLogin {
  readonly login: StoredLogin;
  readonly id: string;
  readonly version: string;
}

/** Seals under the server keys; what was sealed under one name opens under no other. */
export interface Sealer {
  seal(name: string, plain: string): string;
  open(name: string, sealed: string): string | undefined;
}

export interface LoginVaultOptions {
  readonly store: Pick<SessionStore, 'readVault' | 'writeVault' | 'clearVault' | 'watch'>;
  readonly sealer: Sealer;
  /** As of session records: reads try both keys, writes use the current one. */
  readonly keys: IndexKeys;
}

/** A login that nobody uses for so long is forgotten. */
const KEPT_MS = 90 * 24 * 3_600_000;
/** A mark says that something has happened, and nothing else. */
const MARK = '';
const ATTEMPTS = 5;

/**
 * The logins of principals at third parties: one sealed entry in the store for each
 * principal and provider, changed by compare-and-swap, so that of replicas that
 * change one at the same time one succeeds and the others read what it wrote.
 * Everything rejects as the store does.
 */
export class LoginVault {
  readonly #options: LoginVaultOptions;
  readonly #listeners = new Set<(id: string | null) => void>();

  constructor(options: LoginVaultOptions) {
    this.#options = options;
  }

  /** The name of a login in the store, which says nothing about it. */
  idOf(name: LoginName): string {
    return idUnder(this.#options.keys.current, 'login', name);
  }

  /** Undefined where there is none, or none that the present keys open. */
  async read(name: LoginName): Promise<KeptLogin | undefined> {
    for (const id of this.#candidates(name)) {
      const entry = await this.#options.store.readVault(id);
      const login = entry === null ? undefined : this.#open(id, entry);
      if (entry !== null && login !== undefined) return { login, id, version: entry.version };
    }
    return undefined;
  }

  /** A new login takes the place of whatever there is. */
  async put(name: LoginName, login: StoredLogin): Promise<void> {
    const { store } = this.#options;
    const [id = '', ...former] = this.#candidates(name);
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const expected = (await store.readVault(id))?.version ?? null;
      if (await this.#write({ id, expected, login, version: randomUUID() })) {
        for (const each of former) await this.#remove(each);
        return;
      }
    }
    throw new Error('this login is being replaced again and again');
  }

  /** What a login has become. False, and nothing is written, where it is another or gone by now. The same `version` again is the same write. */
  async replace(
    name: LoginName,
    kept: KeptLogin,
    { login, version }: { readonly login: StoredLogin; readonly version: string },
  ): Promise<boolean> {
    const id = this.idOf(name);
    const moves = id !== kept.id;
    if (moves && (await this.#options.store.readVault(kept.id))?.version !== kept.version) return false;
    const expected = moves ? null : kept.version;
    if (!(await this.#write({ id, expected, login, version }))) return false;
    if (moves) await this.#options.store.clearVault(kept.id, kept.version);
    return true;
  }

  /** Ends this very login; one that has taken its place stays. */
  async clear({ id, version }: KeptLogin): Promise<void> {
    await this.#options.store.clearVault(id, version);
    this.#tell(id);
  }

  /** The right to refresh a login, for so long at most. Undefined while another has it. */
  async claim(name: LoginName, ttlMs: number): Promise<(() => Promise<void>) | undefined> {
    const id = idUnder(this.#options.keys.current, 'refresh', name);
    const { store } = this.#options;
    const version = randomUUID();
    const claimed = await store.writeVault({ id, expected: null, version, sealed: MARK, ttlMs });
    return claimed ? () => store.clearVault(id, version) : undefined;
  }

  /** True for the first who says so of this name, on any replica. */
  async once(what: string, ttlMs: number): Promise<boolean> {
    const id = idUnder(this.#options.keys.current, 'once', { bindingKey: '', provider: what });
    const mark = { id, expected: null, version: randomUUID(), sealed: MARK, ttlMs };
    return this.#options.store.writeVault(mark);
  }

  /** Told of the ids of logins that have changed, here or elsewhere; null: any may have. A hint. Returns the function that stops it. */
  watch(listener: (id: string | null) => void): () => void {
    this.#listeners.add(listener);
    const stop = this.#options.store.watch(listener);
    return () => {
      this.#listeners.delete(listener);
      stop();
    };
  }

  async #write({ login, ...write }: LoginWrite): Promise<boolean> {
    const { id } = write;
    const sealed = this.#options.sealer.seal(id, JSON.stringify(login));
    const written = await this.#options.store.writeVault({ ...write, sealed, ttlMs: KEPT_MS });
    if (written) this.#tell(id);
    return written;
  }

  async #remove(id: string): Promise<void> {
    const entry = await this.#options.store.readVault(id);
    if (entry !== null) await this.#options.store.clearVault(id, entry.version);
  }

  #open(id: string, { sealed }: VaultEntry): StoredLogin | undefined {
    const plain = this.#options.sealer.open(id, sealed);
    return plain === undefined ? undefined : (JSON.parse(plain) as StoredLogin);
  }

  /** Where a login may lie, the newest key first. */
  #candidates(name: LoginName): readonly string[] {
    const { current, previous } = this.#options.keys;
    return [current, ...(previous === undefined ? [] : [previous])].map((key) => idUnder(key, 'login', name));
  }

  #tell(id: string): void {
    for (const listener of this.#listeners) listener(id);
  }
}

interface LoginWrite extends Pick<VaultWrite, 'id' | 'expected' | 'version'> {
  readonly login: StoredLogin;
}

function idUnder(key: Uint8Array, purpose: string, { bindingKey, provider }: LoginName): string {
  const text = JSON.stringify(['vault', purpose, bindingKey, provider]);
  return createHmac('sha256', key).update(text).digest('base64url');
}
