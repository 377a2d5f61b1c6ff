/**
 * How the credential for a backend is obtained, resolved: durations in
 * milliseconds, secrets read. One member for each strategy.
 */
export type CredentialSettings =
  | { readonly strategy: 'none' }
  | { readonly strategy: 'env' }
  | { readonly strategy: 'header'; readonly name: string; readonly value: string }
  | ({ readonly strategy: 'token_exchange' } & TokenExchangeSettings)
  | ({ readonly strategy: 'id_jag' } & IdJagSettings)
  | ({ readonly strategy: 'client_credentials' } & ClientCredentialsSettings)
  | ({ readonly strategy: 'aws_sigv4' } & AwsSettings)
  | ({ readonly strategy: 'stored' } & StoredSettings)
  | ({ readonly strategy: 'discover' } & DiscoverSettings)
  | { readonly strategy: 'passthrough'; readonly audience: string };

/** An OAuth authorization server, and whom the mesh is there. */
export interface ProviderSettings {
  /** Compared with `issuer` in its metadata, byte for byte. Undefined: no metadata is read. */
  readonly issuer: string | undefined;
  /** https, or http on loopback; found in the metadata where undefined (RFC 8414, then OpenID Connect Discovery). */
  readonly tokenEndpoint: string | undefined;
  /** As `tokenEndpoint`; RFC 7662. */
  readonly introspectionEndpoint: string | undefined;
  readonly client: ClientSettings;
  /** Bounds each request to it. */
  readonly timeoutMs: number;
}

/** How the mesh proves who it is (RFC 6749 §2.3, RFC 7523 §2.2). */
export type ClientSettings = { readonly id: string } & (
  | { readonly auth: 'none' }
  | { readonly auth: 'client_secret_basic' | 'client_secret_post'; readonly secret: string }
  | {
      readonly auth: 'private_key_jwt';
      /** PKCS #8, PEM. */
      readonly key: string;
      readonly keyId: string | undefined;
      readonly algorithm: string;
    }
);

/** Whom an issued token may speak for: the caller, or anybody, where the provider gives each service other names for its users. */
export type SubjectRule = 'same' | 'any';

export type TokenKind = 'access_token' | 'id_token' | 'jwt';

/** RFC 8693. */
export interface TokenExchangeSettings {
  readonly provider: ProviderSettings;
  readonly audience: readonly string[];
  readonly resource: readonly string[];
  /** Asked for; a token with others is refused. Empty: what the provider gives. */
  readonly scopes: readonly string[];
  readonly subjectTokenType: TokenKind;
  readonly requestedTokenType: TokenKind;
  /** Who acts for the caller. */
  readonly actor: { readonly token: ActorToken; readonly type: TokenKind } | undefined;
  readonly subject: SubjectRule;
  /** Whether the provider is asked about a token that says nothing by itself. */
  readonly introspect: boolean;
}

/** A file is read anew for each exchange, because workload tokens are rotated in place. */
export type ActorToken = { readonly file: string } | { readonly value: string };

/** Identity Assertion Authorization Grant: an assertion from the caller's identity provider, redeemed at the backend's authorization server. */
export interface IdJagSettings {
  readonly identityProvider: ProviderSettings;
  readonly authorizationServer: ProviderSettings;
  /** Whom the assertion is for: the backend's authorization server. */
  readonly audience: string;
  readonly resource: string | undefined;
  readonly scopes: readonly string[];
  readonly subjectTokenType: TokenKind;
  /** Of the assertion; the backend's authorization server may know the caller by another name. */
  readonly subject: SubjectRule;
}

/** RFC 6749 §4.4: the mesh's own identity, whoever calls. */
export interface ClientCredentialsSettings {
  readonly provider: ProviderSettings;
  readonly audience: readonly string[];
  readonly resource: readonly string[];
  readonly scopes: readonly string[];
}

export interface AwsSettings {
  readonly roleArn: string;
  readonly region: string;
  /** The signing name of the service, such as `bedrock-agentcore`. */
  readonly service: string;
  readonly stsEndpoint: string;
  /** How long the temporary credentials last. */
  readonly durationMs: number;
  readonly timeoutMs: number;
}

/** The caller's own account at a third party, where it logs in by browser. */
export interface StoredSettings {
  readonly provider: ProviderSettings;
  /** As the endpoints of `provider`; the browser is sent there. */
  readonly authorizationEndpoint: string | undefined;
  /** Names the login for people, and in the redirect URI that the provider knows. Backends with the same one share it. */
  readonly login: string;
  readonly scopes: readonly string[];
  readonly resource: readonly string[];
  /** More for the authorization request, such as `access_type: offline`. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** As `StoredSettings`, at the authorization server which the backend itself names (MCP 2025-11-25, Authorization). */
export interface DiscoverSettings {
  /** Of the backend: what its metadata must be about. */
  readonly url: string;
  /** Asked for at first, instead of those that the backend names. Empty: those. */
  readonly scopes: readonly string[];
  /** Whom the mesh is at issuers that know it already. */
  readonly clients: readonly { readonly issuer: string; readonly client: ClientSettings }[];
  /** Where the mesh's metadata document as a client is published; undefined: among the pages for logins. */
  readonly clientMetadata: string | undefined;
  /** What the backend names may have private addresses. */
  readonly allowPrivateAddresses: boolean;
  /** Bounds each request to what was learned. */
  readonly timeoutMs: number;
}
