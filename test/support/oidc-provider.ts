import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocalJWKSet, createRemoteJWKSet, importJWK, type JWK, jwtVerify, SignJWT } from 'jose';
import Provider, { type Configuration, errors, type KoaContextWithOIDC } from 'oidc-provider';

/**
 * A real OpenID provider (npm `oidc-provider`) on a socket of its own: discovery, dynamic registration,
 * authorization code with PKCE, client credentials, `private_key_jwt`, introspection, and JWT access tokens for
 * any resource. It signs people in without asking them: whoever comes is `login`.
 *
 * What it does not have is added as grants of our own: token exchange (RFC 8693), the identity assertion of
 * enterprise-managed authorization, and its redemption (RFC 7523). These know JWTs of this provider, or of the
 * one it trusts, and nothing else: no opaque subject tokens, no SAML, no policy about who may act for whom, and
 * revocation of a JWT is a list. It binds tokens to keys (DPoP) and has no mTLS; everything is in memory, and ends with the process.
 */
export interface OidcProvider extends AsyncDisposable {
  /** `iss`, and the base of its endpoints. */
  readonly url: string;
  readonly jwksUri: string;
  /** What was asked at the token endpoint, in order, and what came of it. */
  readonly grants: readonly Grant[];
  /** Who has registered dynamically, in order. */
  readonly registered: readonly string[];
  /** An access token of this provider, for a person, without a login. */
  token(options?: TokenOptions): Promise<string>;
  /** From now on a token is refused wherever it is shown to the provider. */
  revoke(token: string): void;
  /** From now on no refresh token is good. */
  revokeLogins(): Promise<void>;
  /** Whoever has registered dynamically is nobody from now on. */
  forgetRegistered(): Promise<void>;
  /** Waits so long before each token that is refreshed is given, and says it then. */
  slowRefresh(ms: number): void;
  /** The next answers to refreshes get lost. */
  loseRefreshes(count: number): void;
  /** Signs with a new key; the old one stays published unless `withdraw` is set. */
  rotate(options?: { readonly withdraw?: boolean }): void;
  outage(kind: 'none' | 'down' | 'slow' | 'error' | 'garbage'): void;
  /** How tokens that it exchanges differ from what was asked for. */
  misbehave(how: Misbehaviour): void;
  /** The private key, PEM, of the client `keyed`. */
  readonly clientKey: string;
}

export interface Grant {
  readonly grant: string;
  readonly client: string;
  readonly form: Readonly<Record<string, string>>;
  status: number;
}

export interface TokenOptions {
  readonly sub?: string;
  readonly aud?: string;
  readonly scope?: string;
  /** Seconds. */
  readonly expiresIn?: number;
  /** The thumbprint of the key that it is bound to. */
  readonly boundTo?: string;
}

interface Issuance extends Required<Omit<TokenOptions, 'boundTo'>> {
  readonly boundTo?: string | undefined;
  readonly format: 'jwt' | 'opaque';
}

export interface Misbehaviour {
  readonly scope?: string;
  readonly sub?: string;
  readonly tokenType?: string;
  /** Leaves `expires_in` out. */
  readonly noExpiry?: boolean;
  /** Opaque tokens instead of JWTs. */
  readonly opaque?: boolean;
  /** Seconds. */
  readonly expiresIn?: number;
}

export interface ProviderOptions {
  /** Whose assertions it redeems. */
  readonly trusts?: { readonly url: string; readonly jwksUri: string };
  /** Who signs in at its login page, where the browser does not say (`x-person`). */
  readonly login?: string;
  /** Where its clients' browsers may come back to as well. */
  readonly redirectUris?: readonly string[];
  /** Of access tokens that browsers bring, which come with a refresh token that is good once. */
  readonly accessSeconds?: number;
  /** What a person is called here. */
  readonly account?: (person: string) => string;
  /** Knows clients by their metadata documents (CIMD), which it reads where these hosts really are. */
  readonly documents?: Readonly<Record<string, () => string>>;
}

export const CLIENT = { id: 'mesh', secret: 'the-secret-of-the-mesh-at-its-provider' };
export const MESH = 'https://mesh.example/mcp';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const SCOPES = ['openid', 'offline_access', 'read', 'write', 'admin'];
const EXCHANGED_SECONDS = 240;

export async function startOidcProvider(options: ProviderOptions = {}): Promise<OidcProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const provider = new RunningProvider(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, options);
  server.on('request', (request, response) => provider.take(request, response));
  provider.stop = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  return provider;
}

class RunningProvider implements OidcProvider {
  readonly url: string;
  readonly clientKey: string;
  readonly grants: Grant[] = [];
  readonly registered: string[] = [];
  stop = async () => {};
  readonly #options: ProviderOptions;
  readonly #clientJwk: JWK;
  readonly #revoked = new Set<string>();
  #keys: JWK[] = [newKey()];
  #oidc: Provider;
  readonly #refreshTokens = new Set<{ destroy(): Promise<void> }>();
  #outage: Parameters<OidcProvider['outage']>[0] = 'none';
  #refreshMs = 0;
  #lostRefreshes = 0;
  #misbehaviour: Misbehaviour = {};

  constructor(url: string, options: ProviderOptions) {
    this.url = url;
    this.#options = options;
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.clientKey = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    this.#clientJwk = { ...(pair.publicKey.export({ format: 'jwk' }) as JWK), kid: 'keyed-1', alg: 'ES256' };
    this.#oidc = this.#build();
  }

  get jwksUri(): string {
    return `${this.url}/jwks`;
  }

  take(request: IncomingMessage, response: ServerResponse): void {
    switch (this.#outage) {
      case 'none':
        if (request.url?.startsWith('/interaction/') === true)
          void this.#signIn(request, response).catch(() => response.destroy());
        else void this.#oidc.callback()(request, response);
        return;
      case 'down':
        request.socket.destroy();
        return;
      case 'slow':
        return;
      case 'error':
        response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":"server_error"}');
        return;
      case 'garbage':
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
    }
  }

  async token({ sub = 'alice', aud = MESH, scope = 'read', expiresIn = 300, boundTo }: TokenOptions = {}) {
    const client = await this.#oidc.Client.find(CLIENT.id);
    if (client === undefined) throw new Error('the client is not known');
    return this.#issue(client, { sub, aud, scope, expiresIn, format: 'jwt', boundTo });
  }

  revoke(token: string): void {
    this.#revoked.add(token);
  }

  async revokeLogins(): Promise<void> {
    for (const token of this.#refreshTokens) await token.destroy();
  }

  async forgetRegistered(): Promise<void> {
    // The library keeps clients like everything else, and its types say nothing of it.
    const kept = Reflect.get(this.#oidc.Client, 'adapter') as { destroy(id: string): Promise<void> };
    for (const id of this.registered) await kept.destroy(id);
  }

  slowRefresh(ms: number): void {
    this.#refreshMs = ms;
  }

  loseRefreshes(count: number): void {
    this.#lostRefreshes = count;
  }

  rotate({ withdraw = false }: { readonly withdraw?: boolean } = {}): void {
    this.#keys = withdraw ? [newKey()] : [newKey(), ...this.#keys];
    this.#oidc = this.#build();
  }

  outage(kind: Parameters<OidcProvider['outage']>[0]): void {
    this.#outage = kind;
  }

  misbehave(how: Misbehaviour): void {
    this.#misbehaviour = how;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  get #format(): 'jwt' | 'opaque' {
    return this.#misbehaviour.opaque === true ? 'opaque' : 'jwt';
  }

  #build(): Provider {
    const oidc = new Provider(this.url, this.#configuration());
    // Resource indicators and plain HTTP on loopback are all that is used.
    oidc.registerGrantType(TOKEN_EXCHANGE, (context) => this.#exchange(context), EXCHANGE_PARAMETERS, [
      'audience',
      'resource',
    ]);
    oidc.registerGrantType(JWT_BEARER, (context) => this.#redeem(context), [
      'assertion',
      'scope',
      'resource',
    ]);
    oidc.on('registration_create.success', (_, client) => this.registered.push(client.clientId));
    oidc.on('refresh_token.saved', (token) => this.#refreshTokens.add(token));
    oidc.use(async (context, next) => {
      await next();
      if (context.path !== '/token') return;
      const at = context as KoaContextWithOIDC;
      this.#note(at);
      if (at.oidc?.params?.['grant_type'] !== 'refresh_token') return;
      await sleep(this.#refreshMs);
      if (this.#lostRefreshes > 0) {
        this.#lostRefreshes -= 1;
        context.req.socket.destroy();
      }
    });
    return oidc;
  }

  #configuration(): Configuration {
    const everything = {
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials', TOKEN_EXCHANGE, JWT_BEARER],
      redirect_uris: ['http://127.0.0.1/callback', ...(this.#options.redirectUris ?? [])],
      scope: SCOPES.join(' '),
    };
    return {
      jwks: { keys: this.#keys as never },
      clients: [
        { ...everything, client_id: CLIENT.id, client_secret: CLIENT.secret },
        {
          ...everything,
          client_id: 'posting',
          client_secret: CLIENT.secret,
          token_endpoint_auth_method: 'client_secret_post',
        },
        {
          ...everything,
          client_id: 'keyed',
          token_endpoint_auth_method: 'private_key_jwt',
          token_endpoint_auth_signing_alg: 'ES256',
          jwks: { keys: [this.#clientJwk as never] },
        },
      ],
      clientDefaults: { id_token_signed_response_alg: 'ES256' },
      scopes: SCOPES,
      cookies: { keys: ['only-for-tests'] },
      clientBasedCORS: () => false,
      pkce: { required: () => true },
      issueRefreshToken: async () => this.#options.accessSeconds !== undefined,
      rotateRefreshToken: true,
      findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        dPoP: { enabled: true },
        introspection: { enabled: true },
        revocation: { enabled: true },
        registration: { enabled: true },
        clientIdMetadataDocument: { enabled: this.#options.documents !== undefined },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => MESH,
          useGrantedResource: () => true,
          getResourceServerInfo: (_, resource) => ({
            audience: resource,
            scope: SCOPES.join(' '),
            accessTokenFormat: 'jwt',
            accessTokenTTL: this.#options.accessSeconds ?? 300,
            jwt: { sign: { alg: 'ES256' } },
          }),
        },
      },
      fetch: (url, request) => this.#read(String(url), request),
      interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
      routes: { jwks: '/jwks' },
    };
  }

  /** The login page, and the one where consent is given: both say yes at once. */
  async #signIn(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const oidc = this.#oidc;
    const { prompt, params, session } = await oidc.interactionDetails(request, response);
    if (prompt.name === 'login') {
      const { login = 'alice', account = (name: string) => name } = this.#options;
      const accountId = account(String(request.headers['x-person'] ?? login));
      return await oidc.interactionFinished(request, response, { login: { accountId } });
    }
    if (request.headers['x-declines'] !== undefined) {
      return await oidc.interactionFinished(request, response, { error: 'access_denied' });
    }
    const grant = new oidc.Grant({
      accountId: session?.accountId ?? '',
      clientId: String(params['client_id']),
    });
    grant.addOIDCScope(String(params['scope']));
    for (const resource of [params['resource'] ?? []].flat()) {
      grant.addResourceScope(String(resource), String(params['scope']));
    }
    const grantId = await grant.save();
    await oidc.interactionFinished(request, response, { consent: { grantId } });
  }

  /** It reads nothing from this machine, save where it is told that a host is here; TLS ends before that. */
  #read(url: string, request: RequestInit | undefined): Promise<Response> {
    const { host, pathname } = new URL(url);
    const place = this.#options.documents?.[host]?.();
    return place === undefined ? fetch(url, request) : fetch(`http://${place}${pathname}`);
  }

  /** RFC 8693. */
  async #exchange(context: KoaContextWithOIDC): Promise<void> {
    const { client, params = {} } = context.oidc;
    if (client === undefined) throw new errors.InvalidClient('no client');
    const subject = await this.#subject(String(params['subject_token']));
    if (params['actor_token'] !== undefined) await this.#subject(String(params['actor_token']));
    const asked = String(params['scope'] ?? 'read');
    const { sub = subject.sub ?? '', scope = asked } = this.#misbehaviour;
    const aud = String([params['audience'] ?? params['resource'] ?? MESH].flat()[0]);
    const isAssertion = params['requested_token_type'] === ID_JAG;
    const expiresIn = this.#misbehaviour.expiresIn ?? EXCHANGED_SECONDS;
    const token = isAssertion
      ? await this.#assertion(client.clientId, { sub, aud, scope: asked, resource: params['resource'] })
      : await this.#issue(client, { sub, aud, scope, expiresIn, format: this.#format });
    this.#answer(context, {
      token,
      scope,
      expiresIn,
      issuedTokenType: isAssertion ? ID_JAG : ACCESS_TOKEN,
      tokenType: isAssertion ? 'N_A' : 'Bearer',
    });
  }

  /** RFC 7523, for identity assertions of the provider that is trusted. */
  async #redeem(context: KoaContextWithOIDC): Promise<void> {
    const { client, params = {} } = context.oidc;
    const { trusts } = this.#options;
    if (client === undefined || trusts === undefined) throw new errors.InvalidGrant('nobody is trusted');
    const { payload } = await jwtVerify(
      String(params['assertion']),
      createRemoteJWKSet(new URL(trusts.jwksUri)),
      {
        issuer: trusts.url,
        audience: this.url,
        typ: 'oauth-id-jag+jwt',
      },
    ).catch(() => {
      throw new errors.InvalidGrant('the assertion is not good');
    });
    const scope = String(payload['scope'] ?? '');
    const expiresIn = this.#misbehaviour.expiresIn ?? EXCHANGED_SECONDS;
    const aud = String(payload['resource'] ?? MESH);
    const token = await this.#issue(client, {
      sub: `local:${payload.sub}`,
      aud,
      scope,
      expiresIn,
      format: this.#format,
    });
    this.#answer(context, { token, scope, expiresIn, issuedTokenType: ACCESS_TOKEN, tokenType: 'Bearer' });
  }

  #answer(
    context: KoaContextWithOIDC,
    given: { token: string; scope: string; expiresIn: number; issuedTokenType: string; tokenType: string },
  ): void {
    const { noExpiry = false, tokenType = given.tokenType } = this.#misbehaviour;
    context.body = {
      access_token: given.token,
      issued_token_type: given.issuedTokenType,
      token_type: tokenType,
      scope: given.scope,
      ...(noExpiry ? {} : { expires_in: given.expiresIn }),
    };
  }

  async #subject(token: string) {
    if (this.#revoked.has(token)) throw new errors.InvalidGrant('revoked');
    const keys = createLocalJWKSet({ keys: this.#keys.map(({ d: _private, ...key }) => key) });
    const { payload } = await jwtVerify(token, keys, { issuer: this.url }).catch(() => {
      throw new errors.InvalidGrant('the token is not good');
    });
    return payload;
  }

  async #issue(
    client: NonNullable<KoaContextWithOIDC['oidc']['client']>,
    { sub, aud, scope, expiresIn, format, boundTo }: Issuance,
  ): Promise<string> {
    const { AccessToken, ResourceServer } = this.#oidc;
    const resourceServer = new ResourceServer(aud, {
      audience: aud,
      scope,
      accessTokenFormat: format,
      jwt: { sign: { alg: 'ES256' } },
    });
    const token = new AccessToken({ client, accountId: sub, scope, gty: 'token-exchange' } as never);
    Object.assign(token, { resourceServer, expiresIn });
    if (boundTo !== undefined) token.setThumbprint('jkt', boundTo);
    return await token.save();
  }

  /** Identity Assertion Authorization Grant, §3. */
  async #assertion(
    client: string,
    claims: { sub: string; aud: string; scope: string; resource: unknown },
  ): Promise<string> {
    const [key] = this.#keys;
    if (key === undefined) throw new Error('no key');
    return await new SignJWT({ ...claims, client_id: client, jti: randomUUID() })
      .setProtectedHeader({ alg: 'ES256', typ: 'oauth-id-jag+jwt', kid: key.kid ?? '' })
      .setIssuer(this.url)
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(await importJWK(key, 'ES256'));
  }

  #note(context: KoaContextWithOIDC): void {
    const { client, params = {}, body = {} } = context.oidc;
    const form = Object.fromEntries(
      Object.entries({ ...body, ...params }).flatMap(([name, value]) =>
        value === undefined ? [] : [[name, String(value)]],
      ),
    );
    this.grants.push({
      grant: String(params['grant_type'] ?? ''),
      client: client?.clientId ?? '',
      form,
      status: context.status,
    });
  }
}

const EXCHANGE_PARAMETERS = [
  'subject_token',
  'subject_token_type',
  'actor_token',
  'actor_token_type',
  'requested_token_type',
  'audience',
  'resource',
  'scope',
];

let keysMade = 0;

function newKey(): JWK {
  keysMade += 1;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    ...(privateKey.export({ format: 'jwk' }) as JWK),
    kid: `key-${keysMade}`,
    alg: 'ES256',
    use: 'sig',
  };
}
