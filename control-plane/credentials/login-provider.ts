import { createHash } from 'node:crypto';
import type { TokenEndpointResponse } from 'oauth4webapi';
import type { Clock } from '../../shared/clock.ts';
import type { StoredSettings } from '../credential-settings.ts';
import {
  type AuthorizationSecrets,
  authorizationUrl,
  redeemCode,
  refreshTokens,
  revokeToken,
} from './authorization-code.ts';
import { claimsOf, readIssued } from './issued-token.ts';
import type { StoredLogin } from './login-vault.ts';
import { OAuthProvider, type ProviderFetch } from './oauth-provider.ts';

export interface LoginProviderOptions {
  readonly settings: StoredSettings;
  /** Asked for at first where `settings` names none; no part of what tells logins apart, so that more can be asked for later. */
  readonly scopes?: readonly string[];
  /** The server does not know the mesh any more. */
  readonly onUnknownClient?: () => void;
  /** Said in errors. */
  readonly backend: string;
  readonly fetch: ProviderFetch;
  readonly clock: Clock;
}

/**
 * A third party at which callers log in by browser, with the mesh as its client.
 * Everything rejects as `OAuthProvider` does.
 */
export class LoginProvider {
  /** What a login is worth something for: the server, the client there, and what was asked. Another of these is another login. */
  readonly key: string;
  /** For people. */
  readonly name: string;
  readonly backend: string;
  /** Bounds a refresh with everything that belongs to it. */
  readonly refreshMs: number;
  /** What a person is asked to grant, unless said otherwise. */
  readonly scopes: readonly string[];
  readonly #options: LoginProviderOptions;
  readonly #provider: OAuthProvider;

  constructor(options: LoginProviderOptions) {
    const { settings, backend } = options;
    this.key = keyOf(settings);
    this.name = settings.login;
    this.backend = backend;
    // Metadata in two ways, and two refresh tokens.
    this.refreshMs = 4 * settings.provider.timeoutMs + STORE_MS;
    this.scopes = settings.scopes.length > 0 ? settings.scopes : (options.scopes ?? []);
    this.#options = options;
    this.#provider = new OAuthProvider({ ...options, settings: settings.provider });
  }

  authorizationUrl(request: AuthorizationSecrets & LoginRequest): Promise<URL> {
    const { resource, parameters, authorizationEndpoint } = this.#options.settings;
    return authorizationUrl(this.#provider, {
      ...request,
      endpoint: authorizationEndpoint,
      parameters: { ...parameters, resource },
    });
  }

  async redeem(given: AuthorizationSecrets & LoginRequest & { readonly url: URL }): Promise<StoredLogin> {
    const { resource } = this.#options.settings;
    const { answer } = await redeemCode(this.#provider, {
      ...given,
      identity: false,
      parameters: { resource },
    });
    return { ...this.#login(answer, undefined), asked: given.scopes };
  }

  /** What has become of a login; undefined where the provider knows it no more. */
  async refresh(refreshToken: string): Promise<StoredLogin | undefined> {
    const { resource } = this.#options.settings;
    const answer = await refreshTokens(this.#provider, { refresh_token: refreshToken, resource });
    return answer === 'invalid_grant' ? undefined : this.#login(answer, refreshToken);
  }

  /** Tells the provider that a login is over. */
  revoke({ refreshToken, accessToken }: StoredLogin): Promise<void> {
    return revokeToken(this.#provider, refreshToken ?? accessToken);
  }

  #login(answer: TokenEndpointResponse, before: string | undefined): StoredLogin {
    const { backend, clock } = this.#options;
    const issued = readIssued(answer, {
      backend,
      // The person has agreed to what the provider gave, under whatever name it has there.
      scopes: [],
      subject: undefined,
      until: Number.POSITIVE_INFINITY,
      now: clock.now(),
    });
    const ends = answer.expires_in !== undefined || claimsOf(issued.token)?.exp !== undefined;
    const { refresh_token: given } = answer;
    return {
      accessToken: issued.token,
      issuedAt: clock.now(),
      expiresAt: ends ? issued.expiresAt : undefined,
      // RFC 6749 §6: without a new one the old one goes on.
      refreshToken: given ?? before,
      previousRefreshToken: given === before ? undefined : before,
    };
  }
}

export interface LoginRequest {
  readonly redirectUri: string;
  readonly scopes: readonly string[];
}

/** What the store may take while a refresh is under way. */
const STORE_MS = 5_000;

function keyOf({ provider, login, scopes, resource }: StoredSettings): string {
  const { issuer, tokenEndpoint, client } = provider;
  const text = JSON.stringify([login, issuer, tokenEndpoint, client.id, [...scopes].sort(), resource]);
  return createHash('sha256').update(text).digest('base64url').slice(0, 22);
}
