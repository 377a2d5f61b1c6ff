import { createLocalJWKSet, errors, type FlattenedJWSInput, type JWTHeaderParameters } from 'jose';
import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { IssuerSettings } from '../settings.ts';
import { type Fetch, fetchKeys } from './issuer-documents.ts';

/** Keys older than this are fetched anew beside the work, so that a withdrawn key stops counting. */
const REFRESH_AFTER_MS = 10 * 60_000;
/** Without any usable key an attempt a second is bounded enough, and a restarted issuer is not missed for long. */
const EMPTY_COOLDOWN_MS = 1_000;

type LocalKeys = ReturnType<typeof createLocalJWKSet>;
type Key = Awaited<ReturnType<LocalKeys>>;

interface KeysOptions {
  readonly settings: IssuerSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly fetch: Fetch;
}

/**
 * The signing keys of one issuer. jose's remote key set is not enough here: it
 * drops good keys when a later fetch fails, and lets a failing issuer be asked
 * without end.
 *
 * One fetch at a time, and at most one in each cooldown however many unknown
 * key ids arrive. Fetched keys are good until `jwksMaxStaleMs` while the issuer
 * is away; whether a key exists that could not be looked for is not a refusal
 * but `unavailable`.
 */
export class IssuerKeys {
  readonly #options: KeysOptions;
  #keys: { readonly find: LocalKeys; readonly fetchedAt: number } | undefined;
  #attempt: { readonly at: number; readonly failed: boolean } | undefined;
  #flight: Promise<void> | undefined;

  constructor(options: KeysOptions) {
    this.#options = options;
  }

  /** The key that the header asks for, as jose's verification takes it. Only `kid` and `alg` are looked at, never `jwk`, `jku` or `x5u`. */
  readonly find = async (header: JWTHeaderParameters, token: FlattenedJWSInput): Promise<Key> => {
    if (this.#age() >= this.#options.settings.jwksMaxStaleMs) {
      await this.#refresh();
    } else if (this.#age() >= REFRESH_AFTER_MS) {
      void this.#refresh();
    }
    const usable = this.#usable();
    if (usable === undefined) throw this.#unavailable();
    try {
      return await usable(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      return this.#findAfterRefresh(header, token);
    }
  };

  async #findAfterRefresh(header: JWTHeaderParameters, token: FlattenedJWSInput): Promise<Key> {
    await this.#refresh();
    const usable = this.#usable();
    if (usable === undefined) throw this.#unavailable();
    try {
      return await usable(header, token);
    } catch (error) {
      // The key may be newer than what we hold, and the issuer did not answer: we cannot say.
      if (error instanceof errors.JWKSNoMatchingKey && this.#attempt?.failed === true) {
        throw this.#unavailable();
      }
      throw error;
    }
  }

  #usable(): LocalKeys | undefined {
    return this.#age() < this.#options.settings.jwksMaxStaleMs ? this.#keys?.find : undefined;
  }

  #age(): number {
    return this.#keys === undefined
      ? Number.POSITIVE_INFINITY
      : this.#options.clock.now() - this.#keys.fetchedAt;
  }

  /** Joins the running fetch or starts one, unless the last is too recent. Never rejects. */
  #refresh(): Promise<void> {
    if (this.#flight !== undefined) return this.#flight;
    if (this.#cooldownLeft() > 0) return Promise.resolve();
    this.#flight = this.#fetch().finally(() => {
      this.#flight = undefined;
    });
    return this.#flight;
  }

  async #fetch(): Promise<void> {
    const { settings, clock, log, fetch } = this.#options;
    const at = clock.now();
    this.#attempt = { at, failed: false };
    try {
      const signal = AbortSignal.timeout(settings.jwksTimeoutMs);
      const { issuer, jwksUri } = settings;
      const document = await fetchKeys({ issuer, jwksUri, fetch, signal });
      this.#keys = { find: createLocalJWKSet(document), fetchedAt: at };
    } catch (error) {
      this.#attempt = { at, failed: true };
      log.warn('the keys of an issuer could not be fetched', { issuer: settings.issuer, error });
    }
  }

  #cooldownLeft(): number {
    if (this.#attempt === undefined) return 0;
    const { jwksCooldownMs } = this.#options.settings;
    const cooldown =
      this.#usable() === undefined ? Math.min(EMPTY_COOLDOWN_MS, jwksCooldownMs) : jwksCooldownMs;
    return this.#attempt.at + cooldown - this.#options.clock.now();
  }

  #unavailable(): MeshError {
    return new MeshError('unavailable', 'Access tokens cannot be verified at the moment.', {
      retryAfterMs: Math.max(EMPTY_COOLDOWN_MS, this.#cooldownLeft()),
    });
  }
}

/** The keys of issuers by where they are had, so that who asks for an issuer again gets what is known of it. */
export class IssuerKeyring {
  readonly #known = new Map<string, IssuerKeys>();

  of(options: KeysOptions): IssuerKeys {
    const { issuer, jwksUri, jwksCooldownMs, jwksMaxStaleMs, jwksTimeoutMs } = options.settings;
    const id = JSON.stringify([issuer, jwksUri, jwksCooldownMs, jwksMaxStaleMs, jwksTimeoutMs]);
    const keys = this.#known.get(id) ?? new IssuerKeys(options);
    this.#known.set(id, keys);
    return keys;
  }
}
