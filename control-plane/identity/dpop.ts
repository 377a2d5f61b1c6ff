import { createHash, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, decodeProtectedHeader, EmbeddedJWK, errors, jwtVerify } from 'jose';
import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { CallerIdentity } from './caller.ts';
import { normalUrl } from './normal-url.ts';
import { TokenFault } from './refusal.ts';

/** A proof of possession with the request that it came with (RFC 9449 §4). */
export interface Proof {
  readonly jwt: string;
  readonly method: 'POST' | 'GET' | 'DELETE';
  /** Where the client may have sent the request to, as it may have called it. */
  readonly urls: readonly string[];
  /** Names the HTTP request; another request under the same proof is a replay. */
  readonly request: string;
}

/** Notes that something happened, in the store that all replicas share. False: something else was noted under this id before. Rejects with `store_unavailable`. */
export type Note = (mark: {
  readonly id: string;
  readonly expected: null;
  /** What happened: the same again is no contradiction. */
  readonly version: string;
  readonly sealed: '';
  readonly ttlMs: number;
}) => Promise<boolean>;

export interface ProofCheckerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** In which a proof may be signed; asymmetric ones. */
  readonly algorithms: readonly string[];
  readonly clockToleranceMs: number;
  readonly note: Note;
  /** Proofs of one principal that this replica takes within two minutes. */
  readonly most?: number;
}

type ProofKey = Awaited<ReturnType<typeof EmbeddedJWK>>;

/** How old a proof may be. */
const LONGEST_AGE_MS = 60_000;
/** A proof that was used is remembered for so long: longer than any replica would take it, though its clock were 50 s behind. */
const REMEMBERED_MS = 120_000;
/** 500 requests a second. */
const MOST_PROOFS = 60_000;
const LONGEST_PROOF = 8 * 1024;
const LONGEST_JTI = 256;
/** More names than a sidecar has. */
const MOST_URLS = 8;
const REQUEST_NAME = /^[A-Za-z0-9_-]{16,64}$/;

/**
 * Checks that whoever sent a request holds the key that its token is bound to
 * (RFC 9449 §4.3, §7). Nothing of a proof is kept but a digest that says that it was
 * used, and that only of a proof which is good in everything else: so only callers
 * with a good token and its key write to the store.
 */
export class ProofChecker {
  readonly #options: ProofCheckerOptions;
  /** Of each verdict the key of its latest proof, by the first part of the proof. */
  readonly #keys = new WeakMap<CallerIdentity, { readonly head: string; readonly key: ProofKey }>();
  /** By principal, within the present time. */
  readonly #used = new Map<string, number>();
  #usedUntil = 0;

  constructor(options: ProofCheckerOptions) {
    this.#options = options;
  }

  /**
   * Rejects with `invalid_dpop_proof`; with `store_unavailable` where it cannot be known
   * whether the proof was used before; with `rate_limited` for a principal that uses too many.
   */
  async check(identity: CallerIdentity, boundTo: string, proof: Proof | undefined): Promise<void> {
    let jti: string;
    try {
      jti = await this.#examine(identity, boundTo, proof);
    } catch (thrown) {
      throw this.#refusal(thrown);
    }
    this.#count(identity.bindingKey);
    const id = `dpop-${createHash('sha256').update(`${boundTo} ${jti}`).digest('base64url')}`;
    const request = proof?.request ?? '';
    const version = REQUEST_NAME.test(request) ? request : randomUUID();
    const mark = { id, expected: null, version, sealed: '', ttlMs: REMEMBERED_MS } as const;
    if (!(await this.#options.note(mark))) throw this.#refusal(new TokenFault('ERR_PROOF_REPLAYED', 'jti'));
  }

  /** The proof's `jti`, once everything else about it is good. */
  async #examine(identity: CallerIdentity, boundTo: string, proof: Proof | undefined): Promise<string> {
    if (proof === undefined || proof.jwt.length > LONGEST_PROOF) throw new TokenFault('ERR_PROOF_MISSING');
    // All proofs of a client begin alike: its key is compared and read once.
    const head = proof.jwt.slice(0, proof.jwt.indexOf('.'));
    const kept = this.#keys.get(identity);
    const known = kept?.head === head ? kept.key : undefined;
    // Before any signature is verified: with the token's own key or not at all.
    if (known === undefined) await requireKey(proof.jwt, boundTo);
    const { algorithms, clock, clockToleranceMs } = this.#options;
    const { payload, key } = await jwtVerify(proof.jwt, known === undefined ? EmbeddedJWK : () => known, {
      typ: 'dpop+jwt',
      algorithms: [...algorithms],
      maxTokenAge: LONGEST_AGE_MS / 1_000,
      clockTolerance: clockToleranceMs / 1_000,
      currentDate: new Date(clock.now()),
    });
    const { htm, htu, ath, jti } = payload;
    if (htm !== proof.method) throw new TokenFault('ERR_PROOF_REQUEST', 'htm');
    const url = typeof htu === 'string' ? normalUrl(htu) : undefined;
    const urls = proof.urls.slice(0, MOST_URLS);
    if (url === undefined || !urls.some((each) => normalUrl(each) === url))
      throw new TokenFault('ERR_PROOF_REQUEST', 'htu');
    if (ath !== createHash('sha256').update(identity.token).digest('base64url'))
      throw new TokenFault('ERR_PROOF_TOKEN', 'ath');
    if (typeof jti !== 'string' || jti === '' || jti.length > LONGEST_JTI)
      throw new TokenFault('ERR_PROOF_MALFORMED', 'jti');
    if (known === undefined) this.#keys.set(identity, { head, key });
    return jti;
  }

  #count(bindingKey: string): void {
    const { clock, most = MOST_PROOFS } = this.#options;
    const now = clock.now();
    if (now >= this.#usedUntil) {
      this.#used.clear();
      this.#usedUntil = now + REMEMBERED_MS;
    }
    const used = this.#used.get(bindingKey) ?? 0;
    if (used >= most) {
      throw new MeshError('rate_limited', 'This caller has used too many proofs of possession.', {
        retryAfterMs: this.#usedUntil - now,
      });
    }
    this.#used.set(bindingKey, used + 1);
  }

  /** Who holds the token's key learns what to do otherwise; of jose's errors, which hold the claims, only the code is kept. */
  #refusal(thrown: unknown): MeshError {
    const cause = faultOf(thrown);
    this.#options.log.debug('a proof of possession was refused', { error: cause });
    return new MeshError('invalid_dpop_proof', WHY[cause.code] ?? MALFORMED, { cause });
  }
}

async function requireKey(jwt: string, boundTo: string): Promise<void> {
  const { jwk } = decodeProtectedHeader(jwt);
  if (jwk === undefined || (await calculateJwkThumbprint(jwk)) !== boundTo)
    throw new TokenFault('ERR_PROOF_KEY', 'jwk');
}

/** A bound token under the scheme of bearers (RFC 9449 §7.2): perhaps a stolen one. */
export function shownAsBearer(): MeshError {
  const cause = new TokenFault('ERR_TOKEN_BOUND', 'cnf');
  return new MeshError('invalid_dpop_proof', WHY['ERR_PROOF_MISSING'] ?? MALFORMED, { cause });
}

const MALFORMED = 'The proof of possession is malformed, or not signed as it must be.';
const WHY: Readonly<Record<string, string>> = {
  ERR_PROOF_MISSING:
    'This access token is bound to a key: it needs the scheme DPoP and exactly one proof of possession.',
  ERR_PROOF_KEY: 'The proof of possession is not of the key that the access token is bound to.',
  ERR_PROOF_REQUEST: 'The proof of possession is for another request.',
  ERR_PROOF_TOKEN: 'The proof of possession is for another access token.',
  ERR_PROOF_TIME: 'The proof of possession was not made within the last minute, by the clock of this server.',
  ERR_PROOF_REPLAYED: 'The proof of possession was used before.',
};

function faultOf(thrown: unknown): TokenFault {
  if (thrown instanceof TokenFault) return thrown;
  const timed = thrown instanceof errors.JWTClaimValidationFailed || thrown instanceof errors.JWTExpired;
  if (timed && TIMES.has(thrown.claim)) return new TokenFault('ERR_PROOF_TIME', thrown.claim);
  return new TokenFault(thrown instanceof errors.JOSEError ? thrown.code : 'ERR_PROOF_MALFORMED');
}

const TIMES: ReadonlySet<string> = new Set(['iat', 'exp', 'nbf']);
