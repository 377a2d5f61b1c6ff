import type { StoredSettings } from '../credential-settings.ts';
import type { StrategyEnvironment } from './issuing-strategy.ts';
import { LoginProvider } from './login-provider.ts';
import { identified, unavailable } from './refusals.ts';
import type { CredentialStrategy } from './strategy.ts';

/** The caller's own token of a third party, where it has logged in by browser. */
export function createStoredStrategy(
  settings: StoredSettings,
  environment: StrategyEnvironment,
): CredentialStrategy {
  const { logins, onIssue } = environment;
  const provider = new LoginProvider({ ...environment, settings });
  return {
    name: 'stored',
    obtain({ caller, backend, signal }) {
      const identity = identified(caller, backend);
      if (logins === undefined) throw unavailable(backend, 'logins are served after a restart');
      return logins.obtain({ provider, caller: identity, backend, signal, onIssue });
    },
    expiresAt: (credential) => logins?.expiresAt(credential),
    refused: (credential) => logins?.refused(credential) ?? false,
  };
}
