import * as v from 'valibot';
import { duration } from '../shared/config/quantity.ts';
import { flag, list, oneOf, section, table, text } from '../shared/config/section.ts';
import { HeaderValue, headerName, httpUrl, secret } from './config-atoms.ts';

/** How the credential for a backend is obtained, as it is written in a configuration file. */

const client = { id: text() };

export const Client = v.variant(
  'auth',
  [
    section({ ...client, auth: v.literal('none') }),
    section({ ...client, auth: v.literal('client_secret_basic'), secret: secret() }),
    section({ ...client, auth: v.literal('client_secret_post'), secret: secret() }),
    section({
      ...client,
      auth: v.literal('private_key_jwt'),
      key: secret(),
      keyId: v.optional(text()),
      algorithm: v.optional(oneOf(['ES256', 'ES384', 'ES512', 'RS256', 'PS256', 'EdDSA']), 'ES256'),
    }),
  ],
  'expected one of client_secret_basic, client_secret_post, private_key_jwt, none',
);

export function providerTimeout() {
  return v.optional(duration({ min: '100ms', max: '30s' }), '5s');
}

const provider = {
  issuer: v.optional(text()),
  tokenEndpoint: v.optional(httpUrl()),
  introspectionEndpoint: v.optional(httpUrl()),
  client: Client,
  timeout: providerTimeout(),
};

export const Provider = section(provider);

const TokenKind = oneOf(['access_token', 'id_token', 'jwt']);

/** RFC 8707 §2: absolute, without a fragment. */
const Resource = v.pipe(
  text(),
  v.regex(/^[a-z][a-z0-9+.-]*:[^\s#]+$/i, 'expected an absolute URI without a fragment'),
);

const wanted = { audience: v.optional(list(text()), []), resource: v.optional(list(Resource), []) };
const Scopes = v.optional(
  list(v.pipe(text(), v.regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'expected one scope, without spaces'))),
  [],
);
const Subject = v.optional(oneOf(['same', 'any']), 'same');

function described<Schema extends v.GenericSchema>(schema: Schema, text: string) {
  return v.pipe(schema, v.description(text));
}

const None = described(section({ strategy: v.literal('none') }), 'The backend authenticates nobody.');

const Env = described(
  section({ strategy: v.literal('env'), variables: table(secret()) }),
  'For commands: secrets in the environment of the child, the same for every caller.',
);

const Header = described(
  section({
    strategy: v.literal('header'),
    name: headerName(),
    value: secret(),
    prefix: v.optional(HeaderValue, ''),
  }),
  'One static header that authenticates the mesh, whoever calls.',
);

const TokenExchange = described(
  section({
    strategy: v.literal('token_exchange'),
    provider: Provider,
    ...wanted,
    scopes: Scopes,
    subjectTokenType: v.optional(TokenKind, 'access_token'),
    requestedTokenType: v.optional(TokenKind, 'access_token'),
    actor: v.optional(
      section({ file: v.optional(text()), env: v.optional(text()), type: v.optional(TokenKind, 'jwt') }),
    ),
    subject: Subject,
    introspect: v.optional(flag(), false),
  }),
  "The caller's token is exchanged for one that is meant for the backend (RFC 8693).",
);

const IdJag = described(
  section({
    strategy: v.literal('id_jag'),
    identityProvider: Provider,
    authorizationServer: Provider,
    audience: v.optional(text()),
    resource: v.optional(Resource),
    scopes: Scopes,
    subjectTokenType: v.optional(TokenKind, 'access_token'),
    subject: Subject,
  }),
  "Enterprise-managed authorization: the caller's identity provider gives an assertion (ID-JAG) that the backend's authorization server redeems (RFC 7523).",
);

const ClientCredentials = described(
  section({ strategy: v.literal('client_credentials'), provider: Provider, ...wanted, scopes: Scopes }),
  "The mesh's own access token (RFC 6749, section 4.4): the backend does not learn who calls.",
);

const Aws = described(
  section({
    strategy: v.literal('aws_sigv4'),
    roleArn: v.pipe(text(), v.regex(/^arn:[\w-]+:iam::\d{12}:role\/\S+$/, 'expected the ARN of a role')),
    region: v.pipe(text(), v.regex(/^[a-z0-9-]+$/, 'expected a region, such as eu-central-1')),
    service: v.pipe(text(), v.regex(/^[a-z0-9.-]+$/, 'expected the signing name of a service')),
    stsEndpoint: v.optional(httpUrl()),
    duration: v.optional(duration({ min: '15m', max: '12h' }), '1h'),
    timeout: v.optional(duration({ min: '100ms', max: '30s' }), '5s'),
  }),
  "The caller's token is exchanged for temporary AWS credentials, with which each request is signed (Signature Version 4).",
);

const Stored = described(
  section({
    strategy: v.literal('stored'),
    provider: section({ ...provider, authorizationEndpoint: v.optional(httpUrl()) }),
    /** Backends with the same one share it; the backend's own name where absent. */
    login: v.optional(
      v.pipe(text(), v.regex(/^[a-z0-9][a-z0-9-]{0,39}$/, 'expected lower-case letters, digits and -')),
    ),
    scopes: Scopes,
    resource: wanted.resource,
    parameters: v.optional(table(v.string('expected a text')), {}),
  }),
  "The caller's own account at a third party, where it logs in once by browser; see `connect`.",
);

const Discover = described(
  section({
    strategy: v.literal('discover'),
    scopes: Scopes,
    /** Whom the mesh is at issuers that know it already; elsewhere it is its metadata document, or registers itself. */
    clients: v.optional(list(section({ issuer: text(), client: Client })), []),
    clientMetadata: v.optional(httpUrl()),
    allowPrivateAddresses: v.optional(flag(), false),
    timeout: providerTimeout(),
  }),
  "As `stored`, at the authorization server which the backend's own metadata names (MCP authorization: discovery, registration, PKCE).",
);

const Passthrough = described(
  section({ strategy: v.literal('passthrough'), audience: text() }),
  "Not conformant: hands the caller's own token on, which the MCP authorization specification forbids (token passthrough). Only a token whose audience names this one is handed on.",
);

export const Credential = v.variant(
  'strategy',
  [None, Header, TokenExchange, IdJag, ClientCredentials, Stored, Discover, Aws, Passthrough, Env],
  'expected one of none, header, token_exchange, id_jag, client_credentials, stored, discover, aws_sigv4, passthrough, env',
);

export type ProviderConfig = v.InferOutput<typeof Provider>;
export type CredentialConfig = v.InferOutput<typeof Credential>;
