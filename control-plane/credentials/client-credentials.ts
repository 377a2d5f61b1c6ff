import type { ClientCredentialsSettings } from '../credential-settings.ts';
import { readIssued } from './issued-token.ts';
import { bearer, meshsOwn, type StrategyEnvironment } from './issuing-strategy.ts';
import { OAuthProvider } from './oauth-provider.ts';
import type { CredentialStrategy } from './strategy.ts';
import { target } from './token-exchange.ts';

/** The mesh's own access token (RFC 6749 §4.4): the backend learns nothing of the caller. */
export function createClientCredentialsStrategy(
  settings: ClientCredentialsSettings,
  environment: StrategyEnvironment,
): CredentialStrategy {
  const { backend, clock } = environment;
  const provider = new OAuthProvider({ ...environment, settings: settings.provider });
  return meshsOwn('client_credentials', environment, async () => {
    const answer = await provider.token('client_credentials', target(settings));
    const { token, expiresAt } = readIssued(answer, {
      backend,
      scopes: settings.scopes,
      subject: undefined,
      until: Number.POSITIVE_INFINITY,
      now: clock.now(),
    });
    return { credential: bearer(token), expiresAt };
  });
}
