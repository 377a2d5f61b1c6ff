import type { CallerIdentity, IdentityVerifier } from '../../control-plane/identity/caller.ts';
import type { Fetch } from '../../control-plane/identity/issuer-documents.ts';
import { createVerifier } from '../../control-plane/identity/verifier.ts';
import type { IdentitySettings, IssuerSettings } from '../../control-plane/settings.ts';
import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import { createLogger } from '../../shared/log.ts';
import type { TestIssuer } from './issuer.ts';

/** The system's clock, set forward by hand. */
export interface MovableClock extends Clock {
  forward(ms: number): void;
}

export function movableClock(): MovableClock {
  let offset = 0;
  return {
    now: () => Date.now() + offset,
    elapsed: () => performance.now() + offset,
    after: () => () => {},
    forward(ms) {
      offset += ms;
    },
  };
}

/** How a mesh that trusts this issuer is configured, with some things changed. */
export function trusting(
  issuer: Pick<TestIssuer, 'url' | 'jwksUri' | 'audience'>,
  changed: Partial<IssuerSettings> = {},
): IssuerSettings {
  return {
    issuer: issuer.url,
    jwksUri: issuer.jwksUri,
    audiences: [issuer.audience],
    algorithms: ['ES256', 'RS256', 'EdDSA'],
    typ: undefined,
    maxTokenAgeMs: undefined,
    tenantClaim: undefined,
    scopeClaim: 'scope',
    requiredScopes: [],
    jwksCooldownMs: 30_000,
    jwksMaxStaleMs: 3_600_000,
    jwksTimeoutMs: 2_000,
    introspection: undefined,
    ...changed,
  };
}

export interface VerifierUnderTest {
  readonly verifier: IdentityVerifier;
  readonly clock: MovableClock;
  /** Everything that was logged, at every level. */
  readonly logged: () => string;
  /** Every URL that the verifier asked for. */
  readonly asked: readonly string[];
  verify(token: string): Promise<CallerIdentity>;
}

/** A verifier with a clock of its own, whose log and outgoing requests are kept. */
export function verifierFor(
  issuers: readonly IssuerSettings[],
  changed: Partial<IdentitySettings> = {},
): VerifierUnderTest {
  const clock = movableClock();
  const lines: string[] = [];
  const asked: string[] = [];
  const log = createLogger({
    level: 'debug',
    format: 'json',
    destination: { write: (line) => lines.push(line) },
  });
  const fetchAndKeep: Fetch = (url, init) => {
    asked.push(url);
    return fetch(url, init);
  };
  const settings: IdentitySettings = {
    anonymous: false,
    issuers,
    scopeImplies: {},
    acceptLoopbackAudience: false,
    verdictCacheMs: 60_000,
    clockToleranceMs: 5_000,
    tokenGraceMs: 30_000,
    proofs: { required: false, algorithms: ['ES256', 'EdDSA'] },
    ...changed,
  };
  const verifier = createVerifier(settings, { clock, log, fetch: fetchAndKeep });
  return {
    verifier,
    clock,
    logged: () => lines.join(''),
    asked,
    verify: (token) => verifier.verify(`Bearer ${token}`),
  };
}

/** The error with which something was refused; throws when it was not. */
export async function refusalOf(work: Promise<unknown>): Promise<MeshError> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof MeshError) return outcome;
  throw new Error('it was not refused', { cause: outcome });
}

/** The code that the log gets for a refused token. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  const { reason, cause } = await refusalOf(work);
  return `${reason} ${String(Reflect.get(Object(cause), 'code'))}`;
}
