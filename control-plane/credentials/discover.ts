import { whileWanted } from './credential-cache.ts';
import type { Discovery } from './discovery.ts';
import type { StrategyEnvironment } from './issuing-strategy.ts';
import { identified, unavailable } from './refusals.ts';
import type { Credential, CredentialStrategy } from './strategy.ts';

/** Shown while the backend has not asked for more. */
const NOTHING: Credential = Object.freeze({});

/**
 * The caller's own token from the authorization server that the backend itself names,
 * where it has logged in by browser. A backend is asked without one until it answers 401.
 */
export function createDiscoverStrategy(
  discovery: Discovery | undefined,
  { logins, onIssue }: StrategyEnvironment,
): CredentialStrategy {
  return {
    name: 'discover',
    obtain({ caller, backend, signal }) {
      const identity = identified(caller, backend);
      if (logins === undefined || discovery === undefined)
        throw unavailable(backend, 'logins are served after a restart');
      const { fresh } = discovery;
      if (fresh !== undefined)
        return logins.obtain({ provider: fresh, caller: identity, backend, signal, onIssue });
      return whileWanted(discovery.current(), signal).then((provider) =>
        provider === undefined
          ? NOTHING
          : logins.obtain({ provider, caller: identity, backend, signal, onIssue }),
      );
    },
    expiresAt: (credential) => logins?.expiresAt(credential),
    refused(credential, challenge) {
      discovery?.challenged(challenge);
      return credential === NOTHING || (logins?.refused(credential) ?? false);
    },
    insufficient: (credential, need) => logins?.insufficient(credential, need),
  };
}
