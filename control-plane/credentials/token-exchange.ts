import { readFile } from 'node:fs/promises';
import { conceal } from '../../shared/redact.ts';
import type { ActorToken, TokenExchangeSettings, TokenKind } from '../credential-settings.ts';
import type { CallerIdentity } from '../identity/caller.ts';
import type { Issued } from './credential-cache.ts';
import { checkIntrospected, claimsOf, readIssued } from './issued-token.ts';
import { bearer, callersOwn, type StrategyEnvironment } from './issuing-strategy.ts';
import { OAuthProvider } from './oauth-provider.ts';
import { unavailable } from './refusals.ts';
import type { CredentialStrategy } from './strategy.ts';

/** RFC 8693 §2.1. */
export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** RFC 8693 §3. */
export function tokenType(kind: TokenKind): string {
  return `urn:ietf:params:oauth:token-type:${kind}`;
}

/** The caller's token for one that is meant for the backend (RFC 8693). */
export function createTokenExchangeStrategy(
  settings: TokenExchangeSettings,
  environment: StrategyEnvironment,
): CredentialStrategy {
  const { backend } = environment;
  const provider = new OAuthProvider({ ...environment, settings: settings.provider });
  return callersOwn('token_exchange', environment, async (caller): Promise<Issued> => {
    const answer = await provider.token(TOKEN_EXCHANGE, {
      ...target(settings),
      subject_token: caller.token,
      subject_token_type: tokenType(settings.subjectTokenType),
      requested_token_type: tokenType(settings.requestedTokenType),
      ...(await actorOf(settings, backend)),
    });
    const expected = {
      backend,
      scopes: settings.scopes,
      subject: subjectOf(settings, caller),
      until: caller.expiresAt,
      now: environment.clock.now(),
    };
    const { token, expiresAt } = readIssued(answer, expected);
    if (settings.introspect && claimsOf(token) === undefined)
      checkIntrospected(await provider.introspect(token), expected);
    return { credential: bearer(token), expiresAt };
  });
}

/** Where a token is meant to be used, and for what. */
export function target(asked: {
  readonly audience?: readonly string[];
  readonly resource?: readonly string[];
  readonly scopes: readonly string[];
}): Readonly<Record<string, readonly string[] | string | undefined>> {
  const { audience, resource, scopes } = asked;
  return { audience, resource, scope: scopes.length === 0 ? undefined : scopes.join(' ') };
}

export function subjectOf(
  { subject }: Pick<TokenExchangeSettings, 'subject'>,
  caller: CallerIdentity,
): string | undefined {
  return subject === 'same' ? caller.binding.subject : undefined;
}

async function actorOf({ actor }: TokenExchangeSettings, backend: string): Promise<Record<string, string>> {
  if (actor === undefined) return {};
  return { actor_token: await readActor(actor.token, backend), actor_token_type: tokenType(actor.type) };
}

async function readActor(actor: ActorToken, backend: string): Promise<string> {
  if ('value' in actor) return actor.value;
  try {
    const token = (await readFile(actor.file, 'utf8')).trim();
    conceal(token);
    return token;
  } catch {
    throw unavailable(backend, 'the file of the actor token cannot be read');
  }
}
