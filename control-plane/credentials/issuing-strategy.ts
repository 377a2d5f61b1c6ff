import type { Clock } from '../../shared/clock.ts';
import type { DiscoverSettings } from '../credential-settings.ts';
import type { CallerIdentity } from '../identity/caller.ts';
import { CredentialCache, type Issue, type Issued } from './credential-cache.ts';
import type { Discovery } from './discovery.ts';
import type { Logins } from './logins.ts';
import type { ProviderFetch } from './oauth-provider.ts';
import { identified } from './refusals.ts';
import type { CredentialStrategy } from './strategy.ts';

/** What a strategy that asks a provider is given. */
export interface StrategyEnvironment {
  readonly backend: string;
  readonly clock: Clock;
  readonly fetch: ProviderFetch;
  /** Told once for each time that the provider was asked. */
  readonly onIssue: (issue: Issue) => void;
  /** What callers have at third parties; undefined where they have no place to log in. */
  readonly logins?: Logins | undefined;
  /** What is known of where they are; undefined as `logins`. */
  readonly discovery?: ((backend: string, settings: DiscoverSettings) => Discovery) | undefined;
}

/**
 * Credentials that a provider issues to a caller. All tokens of one authorization
 * context may share one: it differs between them in nothing that a provider looks
 * at but time, and what is issued ends with the token that it was issued for.
 */
export function callersOwn(
  name: string,
  environment: StrategyEnvironment,
  issue: (caller: CallerIdentity) => Promise<Issued>,
): CredentialStrategy {
  const cache = new CredentialCache(environment);
  // A key put together for each call would be hashed for each call.
  const keys = new WeakMap<CallerIdentity, string>();
  const keyOf = (identity: CallerIdentity): string => {
    const known = keys.get(identity);
    if (known !== undefined) return known;
    const { contextDigest, bindingKey } = identity;
    const key = contextDigest.concat(bindingKey);
    keys.set(identity, key);
    return key;
  };
  return {
    name,
    obtain({ caller, backend, signal }) {
      const identity = identified(caller, backend);
      return cache.obtain({
        key: keyOf(identity),
        proof: identity.token,
        caller: identity,
        signal,
        issue: () => issue(identity),
      });
    },
    expiresAt: (credential) => cache.expiresAt(credential),
    refused: (credential) => cache.refused(credential),
  };
}

/** A credential that a provider issues to the mesh itself: the same for every identified caller. */
export function meshsOwn(
  name: string,
  environment: StrategyEnvironment,
  issue: () => Promise<Issued>,
): CredentialStrategy {
  const cache = new CredentialCache(environment);
  const obtain = (signal: AbortSignal) => cache.obtain({ key: '', proof: '', signal, issue });
  return {
    name,
    obtain({ caller, backend, signal }) {
      identified(caller, backend);
      return obtain(signal);
    },
    expiresAt: (credential) => cache.expiresAt(credential),
    refused: (credential) => cache.refused(credential),
    unattended: () => obtain(AbortSignal.timeout(UNATTENDED_MS)),
  };
}

const UNATTENDED_MS = 2_000;

/** The header that bears a token (RFC 6750 §2.1). */
export function bearer(token: string): Readonly<Record<string, string>> {
  return Object.freeze({ authorization: `Bearer ${token}` });
}
