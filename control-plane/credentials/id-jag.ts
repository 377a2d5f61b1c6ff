import type { TokenEndpointResponse } from 'oauth4webapi';
import type { IdJagSettings } from '../credential-settings.ts';
import type { CallerIdentity } from '../identity/caller.ts';
import { claimsOf, readIssued } from './issued-token.ts';
import { bearer, callersOwn, type StrategyEnvironment } from './issuing-strategy.ts';
import { OAuthProvider } from './oauth-provider.ts';
import { refused } from './refusals.ts';
import type { CredentialStrategy } from './strategy.ts';
import { subjectOf, TOKEN_EXCHANGE, target, tokenType } from './token-exchange.ts';

const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag';
/** RFC 7523 §2.1. */
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

/**
 * Enterprise-managed authorization (Identity Assertion Authorization Grant): the
 * caller's identity provider decides, and says so in an assertion for the
 * backend's authorization server, which redeems it for a token of its own.
 */
export function createIdJagStrategy(
  settings: IdJagSettings,
  environment: StrategyEnvironment,
): CredentialStrategy {
  const { backend, clock } = environment;
  const { scopes } = settings;
  const identityProvider = new OAuthProvider({ ...environment, settings: settings.identityProvider });
  const authorizationServer = new OAuthProvider({ ...environment, settings: settings.authorizationServer });
  return callersOwn('id_jag', environment, async (caller) => {
    const given = await identityProvider.token(TOKEN_EXCHANGE, {
      ...target({ scopes }),
      audience: settings.audience,
      resource: settings.resource,
      subject_token: caller.token,
      subject_token_type: tokenType(settings.subjectTokenType),
      requested_token_type: ID_JAG,
    });
    const assertion = assertionIn(given, { settings, caller, backend, now: clock.now() });
    const answer = await authorizationServer.token(JWT_BEARER, { ...target({ scopes }), assertion });
    // That server's names for people are its own: whom it speaks of was decided by the assertion.
    const own = { backend, scopes, subject: undefined, until: caller.expiresAt, now: clock.now() };
    const { token, expiresAt } = readIssued(answer, own);
    return { credential: bearer(token), expiresAt };
  });
}

interface Redemption {
  readonly settings: IdJagSettings;
  readonly caller: CallerIdentity;
  readonly backend: string;
  readonly now: number;
}

/** The assertion, for this caller and that server alone. */
function assertionIn(answer: TokenEndpointResponse, { settings, caller, backend, now }: Redemption): string {
  if (answer['issued_token_type'] !== ID_JAG)
    throw refused(backend, 'no identity assertion but another token');
  const { token } = readIssued(answer, {
    backend,
    scopes: settings.scopes,
    subject: subjectOf(settings, caller),
    until: caller.expiresAt,
    now,
  });
  const audience = [claimsOf(token)?.aud ?? []].flat();
  if (!audience.includes(settings.audience))
    throw refused(backend, 'an identity assertion for another server');
  return token;
}
