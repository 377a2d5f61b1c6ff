import * as oauth from 'oauth4webapi';
import { formOf, type OAuthParties, type OAuthProvider } from './oauth-provider.ts';

/** What one authorization request is recognised by when the browser comes back; a secret of that browser. */
export interface AuthorizationSecrets {
  readonly state: string;
  readonly nonce: string;
  /** RFC 7636. */
  readonly verifier: string;
}

export interface AuthorizationRequest extends AuthorizationSecrets {
  readonly redirectUri: string;
  readonly scopes: readonly string[];
  /** Where metadata names none. */
  readonly endpoint?: string | undefined;
  readonly parameters?: Readonly<Record<string, string | readonly string[]>>;
}

export interface AuthorizationAnswer extends AuthorizationSecrets {
  readonly redirectUri: string;
  /** Where the browser came back to, with everything behind it. */
  readonly url: URL;
  /** The answer must say who it was, in an ID token that its issuer signed. */
  readonly identity: boolean;
  /** More for the token request. */
  readonly parameters?: Readonly<Record<string, string | readonly string[]>>;
}

export interface Redeemed {
  readonly answer: oauth.TokenEndpointResponse;
  readonly claims: oauth.IDToken | undefined;
}

export function newSecrets(): AuthorizationSecrets {
  return {
    state: oauth.generateRandomState(),
    nonce: oauth.generateRandomNonce(),
    verifier: oauth.generateRandomCodeVerifier(),
  };
}

/** Where the browser is sent (RFC 6749 §4.1.1 with PKCE). Rejects as `OAuthProvider` does. */
export function authorizationUrl(provider: OAuthProvider, request: AuthorizationRequest): Promise<URL> {
  return provider.asking(async ({ server, client }) => {
    const endpoint = request.endpoint ?? server.authorization_endpoint;
    if (endpoint === undefined) throw new Error('there is no authorization endpoint');
    const url = new URL(endpoint);
    const { scopes, state, nonce, verifier, redirectUri, parameters = {} } = request;
    for (const [name, value] of Object.entries(parameters))
      for (const each of [value].flat()) url.searchParams.append(name, each);
    const own = {
      response_type: 'code',
      client_id: client.client_id,
      redirect_uri: redirectUri,
      state,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
      ...(scopes.includes('openid') ? { nonce } : {}),
    };
    for (const [name, value] of Object.entries(own)) url.searchParams.set(name, value);
    return url;
  });
}

/**
 * What the code that a browser brought back is worth. The state is compared, and the
 * issuer where the server names itself (RFC 9207). Rejects as `OAuthProvider` does.
 */
export function redeemCode(provider: OAuthProvider, given: AuthorizationAnswer): Promise<Redeemed> {
  return provider.asking(async (parties) => {
    const { server, client, authentication, options } = parties;
    const callback = oauth.validateAuthResponse(server, client, given.url, given.state);
    const response = await oauth.authorizationCodeGrantRequest(
      server,
      client,
      authentication,
      callback,
      given.redirectUri,
      given.verifier,
      { ...options, additionalParameters: formOf(given.parameters ?? {}) },
    );
    return given.identity
      ? await identified(parties, response, given.nonce)
      : { answer: await withoutIdentity(parties, response), claims: undefined };
  });
}

async function identified(
  { server, client, options }: OAuthParties,
  response: Response,
  expectedNonce: string,
): Promise<Redeemed> {
  const answer = await oauth.processAuthorizationCodeResponse(server, client, response, {
    expectedNonce,
    requireIdToken: true,
  });
  await oauth.validateApplicationLevelSignature(server, response, options);
  return { answer, claims: oauth.getValidatedIdTokenClaims(answer) };
}

/** An ID token that comes along is nobody's business here. */
async function withoutIdentity(
  { server, client }: OAuthParties,
  response: Response,
): Promise<oauth.TokenEndpointResponse> {
  return oauth.processGenericTokenEndpointResponse(server, client, response);
}

/** RFC 6749 §6. `invalid_grant`: the server knows the refresh token no more. Rejects as `OAuthProvider` does. */
export async function refreshTokens(
  provider: OAuthProvider,
  parameters: Readonly<Record<string, string | readonly string[] | undefined>>,
): Promise<oauth.TokenEndpointResponse | 'invalid_grant'> {
  return provider.asking(async ({ server, client, authentication, options }) => {
    try {
      const response = await oauth.genericTokenEndpointRequest(
        server,
        client,
        authentication,
        'refresh_token',
        formOf(parameters),
        options,
      );
      return await oauth.processGenericTokenEndpointResponse(server, client, response);
    } catch (thrown) {
      if (thrown instanceof oauth.ResponseBodyError && thrown.error === 'invalid_grant')
        return 'invalid_grant';
      throw thrown;
    }
  });
}

/** RFC 7009, where the server has it. Rejects as `OAuthProvider` does. */
export function revokeToken(provider: OAuthProvider, token: string): Promise<void> {
  return provider.asking(async ({ server, client, authentication, options }) => {
    if (server.revocation_endpoint === undefined) return;
    const response = await oauth.revocationRequest(server, client, authentication, token, options);
    await oauth.processRevocationResponse(response);
  });
}
