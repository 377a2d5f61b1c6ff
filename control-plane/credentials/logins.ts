import { randomUUID } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import type { CallerIdentity } from '../identity/caller.ts';
import { type Issue, type IssueOutcome, whileWanted } from './credential-cache.ts';
import { bearer } from './issuing-strategy.ts';
import type { LoginProvider } from './login-provider.ts';
import type { KeptLogin, LoginName, LoginVault, StoredLogin } from './login-vault.ts';
import { unavailable } from './refusals.ts';
import type { Credential, CredentialHeaders } from './strategy.ts';

export interface LoginsOptions {
  readonly vault: LoginVault;
  readonly clock: Clock;
  /** Where people manage their logins; undefined where nothing listens for them. */
  readonly home: string | undefined;
  /** A principal that was told to log in at a provider has done so, by all appearances. */
  readonly onLogin: (name: LoginName) => void;
}

export interface LoginWish {
  readonly provider: LoginProvider;
  readonly caller: CallerIdentity;
  readonly backend: string;
  /** The one who wishes waits no longer; others may. */
  readonly signal: AbortSignal;
  /** Told once for each time that the provider was asked. */
  readonly onIssue: (issue: Issue) => void;
}

/** What this replica knows of one login. */
interface Entry {
  readonly name: LoginName;
  readonly credential: CredentialHeaders;
  readonly login: StoredLogin;
  /** Until then the store is not asked again. */
  checkUntil: number;
  /** The backend refused it. */
  refused: boolean;
  /** When it took the place of one that the backend refused. */
  readonly renewedAt: number;
  /** What the provider has given and the store has not taken yet. */
  unsaved: { readonly kept: KeptLogin; readonly version: string } | undefined;
}

/** The store announces changes; this bounds what an announcement that was lost can do. */
const CHECK_MS = 30_000;
/** A login is refreshed so long before its end, or in the last half of a short life. */
const MARGIN_MS = 30_000;
const RENEW_EVERY_MS = 5_000;
const PAUSE_MS = 2_000;
const POLL_MS = 100;
const SAVES = 4;
/** A person is asked for more so often at most, and for as many scopes as a link and a cookie hold, until the login is made anew. */
const MOST_STEP_UPS = 5;
const LONGEST_SCOPES = 1_800;
const CAPACITY = 10_000;

/**
 * The credentials out of principals' logins at third parties. A login is refreshed by
 * one replica at a time, which holds a claim on it in the store; the others wait for
 * what it writes. So a refresh token that rotates is shown once, and a replica that
 * dies with a claim holds up the others only until that ends by itself.
 */
export class Logins {
  readonly #options: LoginsOptions;
  /** By provider and principal, the one longest unused first. */
  readonly #entries = new Map<string, Entry>();
  readonly #flights = new Map<string, Promise<Credential>>();
  /** Forgets a credential when nobody holds it any more. */
  readonly #given = new WeakMap<object, { readonly key: string; readonly expiresAt: number | undefined }>();
  /** By their names in the store: the logins that this replica holds, and those it has asked for. */
  readonly #held = new Map<string, string>();
  readonly #asked = new Map<string, LoginName>();
  readonly #pausedUntil = new Map<string, number>();
  readonly #stopWatching: () => void;

  constructor(options: LoginsOptions) {
    this.#options = options;
    this.#stopWatching = options.vault.watch((id) => this.#changed(id));
  }

  /**
   * Rejects with `login_required` where the principal has no login, or none that is
   * good for anything, and with `credential_unavailable` where that cannot be said
   * or a new token cannot be had now.
   */
  obtain(wish: LoginWish): Credential | Promise<Credential> {
    const name = nameOf(wish);
    const key = keyOf(name);
    const entry = this.#entries.get(key);
    if (
      entry !== undefined &&
      this.#options.clock.now() < entry.checkUntil &&
      this.#isGood(entry.login, entry)
    ) {
      this.#entries.delete(key);
      this.#entries.set(key, entry);
      return entry.credential;
    }
    const flight = this.#flights.get(key) ?? this.#lead(wish, name, key);
    return whileWanted(flight, wish.signal);
  }

  expiresAt(credential: Credential): number | undefined {
    return this.#given.get(credential)?.expiresAt;
  }

  /** The backend refused a credential. Whether the next `obtain` brings another, or says that there is none. */
  refused(credential: Credential): boolean {
    const known = this.#given.get(credential);
    if (known === undefined) return false;
    const entry = this.#entries.get(known.key);
    if (entry?.credential !== credential) return true;
    if (this.#options.clock.now() - entry.renewedAt < RENEW_EVERY_MS) return false;
    entry.refused = true;
    return true;
  }

  /**
   * The backend refused a credential for want of scopes (403): the login that brings them as
   * well. Undefined where the person was asked for all of them already, or too often.
   */
  insufficient(
    credential: Credential,
    { scopes, backend }: { readonly scopes: readonly string[]; readonly backend: string },
  ): MeshError | undefined {
    const entry = this.#entries.get(this.#given.get(credential)?.key ?? '');
    if (entry === undefined) return undefined;
    const { asked = [], stepUps = 0 } = entry.login;
    const all = [...new Set([...asked, ...scopes])];
    if (all.length === asked.length || all.join(' ').length > LONGEST_SCOPES || stepUps >= MOST_STEP_UPS)
      return undefined;
    return this.#loginRequired({ backend }, entry.name, all);
  }

  stop(): void {
    this.#stopWatching();
  }

  #lead(wish: LoginWish, name: LoginName, key: string): Promise<Credential> {
    const flight = this.#current(wish, name).finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }

  async #current(wish: LoginWish, name: LoginName): Promise<Credential> {
    const entry = this.#entries.get(keyOf(name));
    try {
      if (entry?.unsaved !== undefined) await this.#save(entry);
      // What the store still has was shown to the provider already.
      if (entry?.unsaved !== undefined) throw storeFault();
      const kept = await this.#options.vault.read(name);
      if (kept !== undefined && this.#isGood(kept.login, entry))
        return this.#keep(name, kept.login).credential;
      return await this.#renew(wish, name, kept);
    } catch (thrown) {
      if (!isStoreFault(thrown)) throw thrown;
      // What is good by itself does not wait for the store.
      if (entry !== undefined && this.#isAlive(entry.login, entry)) return entry.credential;
      throw unavailable(wish.backend, 'the store of logins cannot be asked');
    }
  }

  /** Waits for the claim, or for what its holder writes. */
  async #renew(wish: LoginWish, name: LoginName, found: KeptLogin | undefined): Promise<Credential> {
    const { vault, clock } = this.#options;
    const entry = this.#entries.get(keyOf(name));
    const giveUpAt = clock.elapsed() + wish.provider.refreshMs;
    for (let kept = found; ; ) {
      if (kept === undefined || kept.login.refreshToken === undefined)
        return this.#withoutRefresh(wish, name, kept);
      if (clock.now() < (this.#pausedUntil.get(wish.provider.key) ?? 0))
        return this.#meanwhile(
          name,
          kept.login,
          unavailable(wish.backend, 'the provider failed a moment ago'),
        );
      const release = await vault.claim(name, wish.provider.refreshMs);
      if (release !== undefined) {
        try {
          return await this.#claimed(wish, name);
        } finally {
          await release().catch(ignore);
        }
      }
      if (this.#isAlive(kept.login, entry)) return this.#keep(name, kept.login).credential;
      if (clock.elapsed() >= giveUpAt) throw unavailable(wish.backend, 'another replica refreshes the login');
      await this.#pause();
      kept = await vault.read(name);
      if (kept !== undefined && this.#isGood(kept.login, entry))
        return this.#keep(name, kept.login).credential;
    }
  }

  /** What the holder before has written counts; otherwise it is this replica's to refresh. */
  async #claimed(wish: LoginWish, name: LoginName): Promise<Credential> {
    const entry = this.#entries.get(keyOf(name));
    const kept = await this.#options.vault.read(name);
    if (kept === undefined) throw this.#loginRequired(wish, name);
    if (this.#isGood(kept.login, entry)) return this.#keep(name, kept.login).credential;
    const login = await this.#refresh(wish, kept.login).catch((thrown: unknown) =>
      thrown instanceof MeshError ? thrown : MeshError.from(thrown),
    );
    if (login instanceof MeshError) return this.#meanwhile(name, kept.login, login);
    if (login === undefined) {
      // Gone at its provider; a login that came meanwhile is not touched.
      await this.#options.vault.clear(kept);
      throw this.#loginRequired(wish, name);
    }
    const renewed = this.#keep(name, login);
    renewed.unsaved = { kept, version: randomUUID() };
    if (await this.#save(renewed)) return renewed.credential;
    // Logged out, or in again, while the provider answered: that counts, and what it gave is given back.
    void wish.provider.revoke(login).catch(ignore);
    const other = await this.#options.vault.read(name);
    if (other === undefined || !this.#isAlive(other.login, undefined)) throw this.#loginRequired(wish, name);
    return this.#keep(name, other.login).credential;
  }

  async #refresh(wish: LoginWish, login: StoredLogin): Promise<StoredLogin | undefined> {
    const { provider, caller, onIssue } = wish;
    const { clock } = this.#options;
    const startedAt = clock.now();
    const { refreshToken = '', previousRefreshToken } = login;
    const told = (outcome: IssueOutcome, cause?: unknown) =>
      onIssue({ outcome, durationMs: clock.now() - startedAt, caller, cause });
    try {
      let renewed = await provider.refresh(refreshToken);
      // The answer that brought the newer one may be all that the provider has forgotten.
      if (renewed === undefined && previousRefreshToken !== undefined)
        renewed = await provider.refresh(previousRefreshToken);
      told(renewed === undefined ? 'refused' : 'ok');
      // What was granted is granted still (RFC 6749 §6).
      return renewed && { ...login, ...renewed };
    } catch (thrown) {
      const error = MeshError.from(thrown);
      this.#leaveAlone(provider.key);
      told('unavailable', error.cause ?? error);
      throw error;
    }
  }

  /** Providers may have been learned, and come and go: who is over its pause is forgotten. */
  #leaveAlone(provider: string): void {
    const now = this.#options.clock.now();
    for (const [other, until] of this.#pausedUntil) if (until <= now) this.#pausedUntil.delete(other);
    this.#pausedUntil.set(provider, now + PAUSE_MS * (0.5 + Math.random() / 2));
  }

  /**
   * A token that its provider has replaced must not be lost: what the store does not
   * take is kept here, and offered again. False where the store has another by now.
   */
  async #save(entry: Entry): Promise<boolean> {
    for (let attempt = 1; entry.unsaved !== undefined; attempt += 1) {
      const { kept, version } = entry.unsaved;
      try {
        const saved = await this.#options.vault.replace(entry.name, kept, { login: entry.login, version });
        entry.unsaved = undefined;
        if (!saved) this.#forget(entry.name);
        return saved;
      } catch (thrown) {
        entry.checkUntil = 0;
        if (!isStoreFault(thrown) || attempt === SAVES) return true;
        await this.#pause();
      }
    }
    return true;
  }

  /** A token that cannot be renewed is used until its end, unless the backend refused it. */
  #withoutRefresh(wish: LoginWish, name: LoginName, kept: KeptLogin | undefined): Credential {
    const entry = this.#entries.get(keyOf(name));
    if (kept !== undefined && this.#isAlive(kept.login, entry))
      return this.#keep(name, kept.login).credential;
    throw this.#loginRequired(wish, name);
  }

  /** What is left of a token is used while its provider cannot give another. */
  #meanwhile(name: LoginName, login: StoredLogin, error: MeshError): Credential {
    if (!this.#isAlive(login, this.#entries.get(keyOf(name)))) throw error;
    return this.#keep(name, login).credential;
  }

  #keep(name: LoginName, login: StoredLogin): Entry {
    const key = keyOf(name);
    const now = this.#options.clock.now();
    const before = this.#entries.get(key);
    const same = before?.login.accessToken === login.accessToken;
    const credential = same ? before.credential : bearer(login.accessToken);
    this.#entries.delete(key);
    const entry: Entry = {
      name,
      credential,
      login,
      checkUntil: now + CHECK_MS,
      refused: same && before.refused,
      renewedAt: same ? before.renewedAt : before?.refused === true ? now : Number.NEGATIVE_INFINITY,
      unsaved: same ? before.unsaved : undefined,
    };
    this.#entries.set(key, entry);
    this.#given.set(credential, { key, expiresAt: login.expiresAt });
    this.#held.set(this.#options.vault.idOf(name), key);
    this.#trim();
    return entry;
  }

  #loginRequired(
    { backend }: Pick<LoginWish, 'backend'>,
    name: LoginName,
    scopes: readonly string[] = [],
  ): MeshError {
    const id = this.#options.vault.idOf(name);
    // What is good for something is kept, and what the backend refused for as long as it may lie in the store.
    if (scopes.length === 0 && this.#entries.get(keyOf(name))?.refused !== true) this.#forget(name);
    this.#asked.delete(id);
    this.#asked.set(id, name);
    this.#trim();
    const { home } = this.#options;
    const where = home === undefined ? '' : ` The place for that is ${home}`;
    return new MeshError('login_required', `The backend "${backend}" needs you to log in.${where}`, {
      backend,
      ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
    });
  }

  #changed(id: string | null): void {
    if (id === null) {
      for (const entry of this.#entries.values()) entry.checkUntil = 0;
      return;
    }
    const entry = this.#entries.get(this.#held.get(id) ?? '');
    if (entry !== undefined) entry.checkUntil = 0;
    const name = this.#asked.get(id);
    if (name === undefined) return;
    this.#asked.delete(id);
    this.#options.onLogin(name);
  }

  /** Good for a while: neither near its end nor refused by the backend. */
  #isGood(login: StoredLogin, entry: Entry | undefined): boolean {
    if (!this.#isAlive(login, entry)) return false;
    if (login.expiresAt === undefined) return true;
    const now = this.#options.clock.now();
    return now < login.expiresAt - Math.min(MARGIN_MS, (login.expiresAt - login.issuedAt) / 2);
  }

  #isAlive(login: StoredLogin, entry: Entry | undefined): boolean {
    if (entry?.refused === true && entry.login.accessToken === login.accessToken) return false;
    return login.expiresAt === undefined || this.#options.clock.now() < login.expiresAt;
  }

  #forget(name: LoginName): void {
    this.#entries.delete(keyOf(name));
    this.#held.delete(this.#options.vault.idOf(name));
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(POLL_MS, resolve);
    });
  }

  #trim(): void {
    for (const { name } of this.#entries.values()) {
      if (this.#entries.size <= CAPACITY) break;
      this.#forget(name);
    }
    for (const id of this.#asked.keys()) {
      if (this.#asked.size <= CAPACITY) break;
      this.#asked.delete(id);
    }
  }
}

function nameOf({ provider, caller }: LoginWish): LoginName {
  return { provider: provider.key, bindingKey: caller.bindingKey };
}

function keyOf({ provider, bindingKey }: LoginName): string {
  return `${provider} ${bindingKey}`;
}

function isStoreFault(thrown: unknown): boolean {
  return thrown instanceof MeshError && thrown.reason === 'store_unavailable';
}

function storeFault(): MeshError {
  return new MeshError('store_unavailable', 'The store of logins cannot be written now.');
}

function ignore(): void {}
