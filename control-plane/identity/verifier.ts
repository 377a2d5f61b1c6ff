import { createHash } from 'node:crypto';
import { decodeJwt, type JWTPayload, jwtVerify } from 'jose';
import type { Clock } from '../../shared/clock.ts';
import { isLoopbackUrl } from '../../shared/config/hosts.ts';
import { MeshError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { IdentitySettings, IssuerSettings } from '../settings.ts';
import { activeClaims } from './active-claims.ts';
import { type ShownToken, shownToken } from './bearer.ts';
import type { AnonymousCaller, CallerIdentity, IdentityVerifier } from './caller.ts';
import { type Note, type Proof, ProofChecker, shownAsBearer } from './dpop.ts';
import { Introspector } from './introspection.ts';
import { type Fetch, isTrustworthyUrl } from './issuer-documents.ts';
import { IssuerKeyring, type IssuerKeys } from './issuer-keys.ts';
import { makeAnonymous, makeCaller } from './make-caller.ts';
import { TokenFault, toRefusal } from './refusal.ts';
import { ScopeHierarchy } from './scopes.ts';
import { isJwt, opaqueIssuer } from './token-kind.ts';
import { VerdictCache } from './verdict-cache.ts';

/** No configuration makes a verdict live longer. */
const LONGEST_VERDICT_MS = 60_000;
/** A refused token is refused again without work for this long. */
const REFUSAL_MS = 10_000;
/** RFC 7518 §3.1 and RFC 8037 §3.1 without the symmetric ones: whoever can verify those can also sign. */
const ASYMMETRIC = /^(?:(?:RS|PS|ES)(?:256|384|512)|EdDSA|Ed25519)$/;

export interface VerifierOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** How keys are fetched; the global `fetch` when absent. */
  readonly fetch?: Fetch;
  /** Keys of issuers that are known already. */
  readonly keyring?: IssuerKeyring;
  /** Where it is noted which proofs of possession were used. Absent: nobody checks proofs, and tokens that need them are refused. */
  readonly note?: Note;
}

/**
 * Verifies access tokens. Throws at once for settings that could not be safe:
 * a symmetric algorithm, or keys over plain HTTP from anywhere but this machine.
 */
export function createVerifier(settings: IdentitySettings, options: VerifierOptions): IdentityVerifier {
  return new Verifier(settings, options);
}

interface TrustedIssuer {
  readonly settings: IssuerSettings;
  readonly keys: IssuerKeys;
  /** Where the issuer is asked about its tokens. */
  readonly introspector: Introspector | undefined;
}

/** What is known about one token. Claims are kept; decisions about what they permit are not. */
type Verdict =
  | { readonly identity: CallerIdentity; readonly issuer: IssuerSettings; readonly introspected: boolean }
  | { readonly refused: MeshError };

class Verifier implements IdentityVerifier {
  readonly #settings: IdentitySettings;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #issuers: ReadonlyMap<string, TrustedIssuer>;
  readonly #scopes: ScopeHierarchy;
  readonly #proofs: ProofChecker | undefined;
  readonly #verdicts = new VerdictCache<Verdict>();
  readonly #flights = new Map<string, Promise<Verdict>>();
  /** Until when each identity may be used without asking again. Identities from elsewhere are not in it, and so are not current. */
  readonly #goodUntil = new WeakMap<CallerIdentity, number>();

  constructor(settings: IdentitySettings, options: VerifierOptions) {
    const { clock, log, fetch = globalThis.fetch, keyring = new IssuerKeyring(), note } = options;
    this.#settings = settings;
    this.#clock = clock;
    this.#log = log;
    this.#scopes = new ScopeHierarchy(settings.scopeImplies);
    const { proofs, clockToleranceMs } = settings;
    this.#proofs = note && new ProofChecker({ clock, log, note, clockToleranceMs, ...proofs });
    requireAsymmetric(proofs.algorithms, 'proofs of possession');
    this.#issuers = new Map(
      settings.issuers.map((issuer) => {
        requireSafe(issuer);
        const { introspection } = issuer;
        return [
          issuer.issuer,
          {
            settings: issuer,
            keys: keyring.of({ settings: issuer, clock, log, fetch }),
            introspector:
              introspection && new Introspector({ issuer, settings: introspection, clock, log, fetch }),
          },
        ];
      }),
    );
  }

  async verify(authorization: string): Promise<CallerIdentity> {
    const { token, scheme } = shownToken(authorization);
    // The hash is the key so that the cache's index holds no token.
    const key = createHash('sha256').update(token).digest('base64');
    const verdict = this.#known(key) ?? (await this.#join(key, token));
    if ('refused' in verdict) throw verdict.refused;
    this.#requireScheme(verdict.identity, scheme);
    this.#requireScopes(verdict.identity, verdict.issuer);
    return verdict.identity;
  }

  async prove(identity: CallerIdentity, proof: Proof | undefined): Promise<void> {
    if (identity.boundTo === undefined) return;
    if (this.#proofs === undefined) throw toRefusal(new TokenFault('ERR_TOKEN_BOUND', 'cnf'));
    await this.#proofs.check(identity, identity.boundTo, proof);
  }

  anonymous(node: string): AnonymousCaller {
    if (!this.#settings.anonymous) {
      throw new MeshError('unauthenticated', 'An access token is required.');
    }
    return makeAnonymous(node);
  }

  current(identity: CallerIdentity): boolean {
    return this.#clock.now() < (this.#goodUntil.get(identity) ?? 0);
  }

  #verdictMs(): number {
    return Math.min(this.#settings.verdictCacheMs, LONGEST_VERDICT_MS);
  }

  /** One token cannot be shown in two ways (RFC 9449 §7.1, §7.2). */
  #requireScheme({ boundTo }: CallerIdentity, scheme: ShownToken['scheme']): void {
    if (boundTo !== undefined) {
      if (this.#proofs === undefined) throw toRefusal(new TokenFault('ERR_TOKEN_BOUND', 'cnf'));
      if (scheme === 'bearer') throw shownAsBearer();
    } else if (scheme === 'dpop') throw toRefusal(new TokenFault('ERR_TOKEN_UNBOUND', 'cnf'));
    else if (this.#proofs !== undefined && this.#settings.proofs.required) {
      throw new MeshError('unauthenticated', 'Only access tokens that are bound to a key are served here.');
    }
  }

  /** Asked anew for every request: a cached verdict says who, never whether. */
  #requireScopes(identity: CallerIdentity, { requiredScopes }: IssuerSettings): void {
    if (this.#scopes.cover(identity.scopes, requiredScopes)) return;
    throw new MeshError('insufficient_scope', 'The access token lacks a scope that this server requires.', {
      scope: requiredScopes.join(' '),
    });
  }

  #known(key: string): Verdict | undefined {
    const verdict = this.#verdicts.get(key, this.#clock.now());
    if (verdict === undefined || 'refused' in verdict) return verdict;
    return this.current(verdict.identity) ? verdict : undefined;
  }

  /** Callers that show one token at once share one verification. */
  #join(key: string, token: string): Promise<Verdict> {
    const running = this.#flights.get(key);
    if (running !== undefined) return running;
    const flight = this.#judge(key, token).finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }

  async #judge(key: string, token: string): Promise<Verdict> {
    const verdict = await this.#examine(token).catch(
      (thrown: unknown): Verdict => ({ refused: toRefusal(thrown) }),
    );
    const now = this.#clock.now();
    if (!('refused' in verdict)) {
      const { identity, introspected } = verdict;
      // Of its own tokens the issuer has the last word: no tolerance beyond what it said.
      const toleranceMs = introspected ? 0 : this.#settings.clockToleranceMs;
      const until = Math.min(now + this.#verdictMs(), identity.expiresAt + toleranceMs);
      this.#goodUntil.set(identity, until);
      this.#verdicts.set(key, { value: verdict, weight: 2 * token.length, until });
    } else if (verdict.refused.reason === 'unauthenticated') {
      this.#log.debug('a token was refused', { error: verdict.refused.cause });
      this.#verdicts.set(key, { value: verdict, weight: key.length, until: now + REFUSAL_MS });
    }
    return verdict;
  }

  #examine(token: string): Promise<Verdict> {
    return isJwt(token) ? this.#examineJwt(token) : this.#examineOpaque(token);
  }

  /** RFC 7519 §7.2 and RFC 9068 §4. The unverified `iss` chooses whose keys and rules apply, nothing else. */
  async #examineJwt(token: string): Promise<Verdict> {
    const unverified = decodeJwt(token);
    const issuer = this.#issuers.get(unverified.iss ?? '');
    if (issuer === undefined) throw new TokenFault('ERR_TOKEN_ISSUER', 'iss');
    const { settings, keys } = issuer;
    if (settings.introspection?.tokens === 'all') return this.#introspect(token, issuer);
    const { payload } = await jwtVerify(token, keys.find, {
      issuer: settings.issuer,
      audience: this.#audiences(settings, unverified.aud),
      algorithms: [...settings.algorithms],
      requiredClaims: ['exp', 'sub'],
      clockTolerance: this.#settings.clockToleranceMs / 1000,
      currentDate: new Date(this.#clock.now()),
      ...(settings.typ === undefined ? {} : { typ: settings.typ }),
      ...(settings.maxTokenAgeMs === undefined ? {} : { maxTokenAge: settings.maxTokenAgeMs / 1000 }),
    });
    return { identity: makeCaller(token, payload, settings), issuer: settings, introspected: false };
  }

  /** What says nothing by itself is the token of the one issuer that configuration names for such tokens: no other is shown it. */
  #examineOpaque(token: string): Promise<Verdict> {
    const settings = opaqueIssuer(token, this.#settings.issuers);
    const issuer = settings && this.#issuers.get(settings.issuer);
    if (issuer === undefined) return Promise.reject(new TokenFault('ERR_TOKEN_MALFORMED'));
    return this.#introspect(token, issuer);
  }

  async #introspect(token: string, { settings, introspector }: TrustedIssuer): Promise<Verdict> {
    const answer = await introspector?.ask(token);
    if (answer === undefined) throw new TokenFault('ERR_TOKEN_INACTIVE');
    const claims: JWTPayload = activeClaims(answer, {
      issuer: settings,
      audiences: this.#audiences(settings, answer.aud),
      now: this.#clock.now(),
      toleranceMs: this.#settings.clockToleranceMs,
    });
    return { identity: makeCaller(token, claims, settings), issuer: settings, introspected: true };
  }

  /** The configured audiences; a loopback URL counts in development alone, and then any, as the client names the port it used. */
  #audiences(settings: IssuerSettings, claimed: string | string[] | undefined): string[] {
    if (!this.#settings.acceptLoopbackAudience) {
      return settings.audiences.filter((audience) => !isLoopbackUrl(audience));
    }
    const loopback = [claimed ?? []]
      .flat()
      .filter((audience) => typeof audience === 'string' && isLoopbackUrl(audience));
    return [...settings.audiences, ...loopback];
  }
}

function requireAsymmetric(algorithms: readonly string[], whose: string): void {
  const unsafe = algorithms.find((algorithm) => !ASYMMETRIC.test(algorithm));
  if (unsafe !== undefined) throw new Error(`${unsafe} is no asymmetric signature algorithm (${whose})`);
}

function requireSafe({ issuer, jwksUri, algorithms, introspection }: IssuerSettings): void {
  requireAsymmetric(algorithms, `issuer ${issuer}`);
  if (!isTrustworthyUrl(jwksUri ?? issuer)) {
    throw new Error(`the keys of ${issuer} would be fetched without TLS`);
  }
  if (introspection !== undefined && !isTrustworthyUrl(introspection.endpoint ?? issuer)) {
    throw new Error(`the tokens of ${issuer} would be shown without TLS`);
  }
}
