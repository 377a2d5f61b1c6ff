import { importPKCS8 } from 'jose';
import * as oauth from 'oauth4webapi';
import { isLoopbackUrl } from '../../shared/config/hosts.ts';
import type { ClientSettings, ProviderSettings } from '../credential-settings.ts';
import { refused, unavailable } from './refusals.ts';

/** One bounded request: no redirect is followed, no answer is longer than a token needs. */
export type ProviderFetch = (url: string, request: ProviderRequest) => Promise<Response>;

export interface ProviderRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface OAuthProviderOptions {
  readonly settings: ProviderSettings;
  /** The backend whose credentials come from there; said in errors. */
  readonly backend: string;
  readonly fetch: ProviderFetch;
  /** The server has refused the mesh itself. */
  readonly onUnknownClient?: () => void;
}

/** Who takes part in a request: the server, and the mesh as its client. */
export interface OAuthParties {
  readonly server: oauth.AuthorizationServer;
  readonly client: oauth.Client;
  readonly authentication: oauth.ClientAuth;
  readonly options: RequestOptions;
}

const ENDPOINTS = [
  'authorization_endpoint',
  'token_endpoint',
  'registration_endpoint',
  'introspection_endpoint',
  'revocation_endpoint',
  'jwks_uri',
] as const;

/** Metadata is read again after so long. */
const METADATA_MS = 3_600_000;

/** Of the error codes of RFC 6749 §5.2 and its extensions, those that do not speak of this caller. */
const NOT_THE_CALLERS: ReadonlySet<string> = new Set([
  'invalid_client',
  'unauthorized_client',
  'unsupported_grant_type',
  'server_error',
  'temporarily_unavailable',
  'slow_down',
]);

/**
 * The token endpoint of one authorization server, with the mesh as its client.
 * Rejects with `credential_unavailable` when the server fails, or knows the mesh
 * or its grant no more, and with `backend_unauthorized` when it refuses what it
 * was shown.
 */
export class OAuthProvider {
  readonly #options: OAuthProviderOptions;
  readonly #client: oauth.Client;
  #authentication: Promise<oauth.ClientAuth> | undefined;
  #metadata: { readonly server: Promise<oauth.AuthorizationServer>; readonly until: number } | undefined;

  constructor(options: OAuthProviderOptions) {
    this.#options = options;
    this.#client = { client_id: options.settings.client.id };
  }

  /** One grant. Parameters with several values are repeated. */
  token(
    grantType: string,
    parameters: Readonly<Record<string, string | readonly string[] | undefined>>,
  ): Promise<oauth.TokenEndpointResponse> {
    return this.#asking(async (server, authentication, options) => {
      const response = await oauth.genericTokenEndpointRequest(
        server,
        this.#client,
        authentication,
        grantType,
        formOf(parameters),
        options,
      );
      return await oauth.processGenericTokenEndpointResponse(server, this.#client, response, {
        // RFC 8693 §2.2.1: what was issued is no access token.
        recognizedTokenTypes: { n_a: () => {} },
      });
    });
  }

  introspect(token: string): Promise<oauth.IntrospectionResponse> {
    return this.#asking(async (server, authentication, options) => {
      const response = await oauth.introspectionRequest(server, this.#client, authentication, token, options);
      return await oauth.processIntrospectionResponse(server, this.#client, response);
    });
  }

  /** Anything else that is asked there; what it throws becomes what this rejects with. */
  asking<Answer>(ask: (at: OAuthParties) => Promise<Answer>): Promise<Answer> {
    return this.#asking((server, authentication, options) =>
      ask({ server, client: this.#client, authentication, options }),
    );
  }

  async #asking<Answer>(
    ask: (
      server: oauth.AuthorizationServer,
      authentication: oauth.ClientAuth,
      options: RequestOptions,
    ) => Promise<Answer>,
  ): Promise<Answer> {
    const { client } = this.#options.settings;
    try {
      this.#authentication ??= authenticationOf(client);
      return await ask(await this.#server(), await this.#authentication, requestOptions(this.#options));
    } catch (thrown) {
      throw this.#errorOf(thrown);
    }
  }

  #server(): Promise<oauth.AuthorizationServer> {
    const { settings } = this.#options;
    if (settings.issuer === undefined || settings.tokenEndpoint !== undefined) {
      return Promise.resolve(this.#configured({ issuer: settings.issuer ?? settings.tokenEndpoint ?? '' }));
    }
    const known = this.#metadata;
    if (known !== undefined && Date.now() < known.until) return known.server;
    const server = this.#discover(settings.issuer);
    const metadata = { server, until: Date.now() + METADATA_MS };
    this.#metadata = metadata;
    server.catch(() => {
      if (this.#metadata === metadata) this.#metadata = undefined;
    });
    return server;
  }

  #configured(server: oauth.AuthorizationServer): oauth.AuthorizationServer {
    const { tokenEndpoint, introspectionEndpoint } = this.#options.settings;
    return {
      ...server,
      ...(tokenEndpoint === undefined ? {} : { token_endpoint: tokenEndpoint }),
      ...(introspectionEndpoint === undefined ? {} : { introspection_endpoint: introspectionEndpoint }),
    };
  }

  /**
   * RFC 8414 §3, then §5, then OpenID Connect Discovery 1.0 §4 (MCP 2025-11-25, Authorization:
   * Authorization Server Metadata Discovery). The metadata must name the very issuer that was asked.
   */
  async #discover(issuer: string): Promise<oauth.AuthorizationServer> {
    const url = new URL(issuer);
    const read = async (algorithm: 'oauth2' | 'oidc') => {
      const response = await oauth.discoveryRequest(url, { ...requestOptions(this.#options), algorithm });
      return await oauth.processDiscoveryResponse(url, response);
    };
    const readInserted = async () => {
      const signal = AbortSignal.timeout(this.#options.settings.timeoutMs);
      const { href } = new URL(`/.well-known/openid-configuration${url.pathname}`, url);
      const headers = { accept: 'application/json' };
      const response = await this.#options.fetch(href, { method: 'GET', headers, signal });
      return await oauth.processDiscoveryResponse(url, response);
    };
    const server = await read('oauth2')
      .catch((error: unknown) => (url.pathname === '/' ? Promise.reject(error) : readInserted()))
      .catch(() => read('oidc'));
    for (const endpoint of ENDPOINTS.map((name) => server[name])) {
      if (endpoint !== undefined && !mayBeNamedBy(issuer, endpoint))
        throw new Error('the metadata names an endpoint that no credential goes to');
    }
    return this.#configured(server);
  }

  /** Nothing of what the server wrote is passed on but its error code. */
  #errorOf(thrown: unknown): Error {
    const { backend, settings } = this.#options;
    const at = settings.issuer ?? settings.tokenEndpoint ?? '';
    if (isUnknownClient(thrown)) this.#options.onUnknownClient?.();
    if (thrown instanceof oauth.ResponseBodyError) {
      const said = `${at} answered ${codeOf(thrown.error)} (${thrown.status})`;
      const callers = thrown.status < 500 && thrown.status !== 429 && !NOT_THE_CALLERS.has(thrown.error);
      return callers ? refused(backend, said) : unavailable(backend, said);
    }
    if (thrown instanceof oauth.AuthorizationResponseError)
      return refused(backend, `${at} answered ${codeOf(thrown.error)}`);
    if (thrown instanceof oauth.WWWAuthenticateChallengeError)
      return unavailable(backend, `${at} refuses the mesh itself (${thrown.status})`);
    if (thrown instanceof oauth.UnsupportedOperationError)
      return refused(backend, `${at} gave a token of an unusable type`);
    const name = thrown instanceof Error ? thrown.name : 'error';
    const code: unknown = Reflect.get(Object(thrown), 'code');
    return unavailable(backend, `${at} failed: ${name}${typeof code === 'string' ? ` ${code}` : ''}`);
  }
}

/** As oauth4webapi takes them. */
function requestOptions({ fetch, settings }: OAuthProviderOptions) {
  const signal = AbortSignal.timeout(settings.timeoutMs);
  return {
    signal,
    // Which URLs may be plain HTTP is decided where they are learned.
    [oauth.allowInsecureRequests]: true,
    [oauth.customFetch]: (
      url: string,
      { method, headers, body }: oauth.CustomFetchOptions<string, unknown>,
    ) =>
      fetch(url, {
        method,
        headers,
        signal,
        ...(body === undefined || body === null ? {} : { body: String(body) }),
      }),
  };
}

type RequestOptions = ReturnType<typeof requestOptions>;

/** Metadata from afar must not send the mesh's secrets to this machine's own services, nor in the clear. */
function mayBeNamedBy(issuer: string, endpoint: string): boolean {
  if (!URL.canParse(endpoint)) return false;
  if (isLoopbackUrl(endpoint)) return isLoopbackUrl(issuer);
  return new URL(endpoint).protocol === 'https:';
}

async function authenticationOf(client: ClientSettings): Promise<oauth.ClientAuth> {
  switch (client.auth) {
    case 'none':
      return oauth.None();
    case 'client_secret_basic':
      return clientSecretBasic(client.secret);
    case 'client_secret_post':
      return oauth.ClientSecretPost(client.secret);
    case 'private_key_jwt': {
      const key = await importPKCS8(client.key, client.algorithm);
      return oauth.PrivateKeyJwt(client.keyId === undefined ? key : { key, kid: client.keyId });
    }
  }
}

/** RFC 6749 §2.3.1, escaping only what a form escapes: the library's own escapes `-` and `.` too, and not every server unescapes. */
function clientSecretBasic(secret: string): oauth.ClientAuth {
  return (_server, { client_id: id }, _body, headers) => {
    const pair = [id, secret].map((each) => new URLSearchParams({ '': each }).toString().slice(1)).join(':');
    headers.set('authorization', `Basic ${Buffer.from(pair).toString('base64')}`);
  };
}

/** Parameters with several values are repeated. */
export function formOf(
  parameters: Readonly<Record<string, string | readonly string[] | undefined>>,
): URLSearchParams {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of value === undefined ? [] : [value].flat()) form.append(name, each);
  }
  return form;
}

/** RFC 6749 §5.2, in a body or with a challenge. */
function isUnknownClient(thrown: unknown): boolean {
  return (
    thrown instanceof oauth.WWWAuthenticateChallengeError ||
    (thrown instanceof oauth.ResponseBodyError && thrown.error === 'invalid_client')
  );
}

/** Error codes are words; anything else that stands in their place is not repeated. */
function codeOf(error: string): string {
  return /^[\w.:/-]{1,60}$/.test(error) ? error : 'an error';
}
