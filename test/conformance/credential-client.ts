import { createBoundedFetch } from '../../control-plane/backend/bounded-fetch.ts';
import { HealthRecord } from '../../control-plane/backend/health.ts';
import { StreamableHttpBackend } from '../../control-plane/backend/streamable-http.ts';
import type { CredentialSettings, ProviderSettings } from '../../control-plane/credential-settings.ts';
import { createStrategy } from '../../control-plane/credentials/create.ts';
import type { CallerIdentity } from '../../control-plane/identity/caller.ts';
import { request } from '../../shared/json-rpc/envelope.ts';
import { trusting, verifierFor } from '../support/identity.ts';
import { startIssuer } from '../support/issuer.ts';
import { strategyEnvironment } from '../support/strategies.ts';

/**
 * What the conformance suite starts as a client of its servers, `credential-client.ts URL`: a strategy of the
 * control plane and the connector that sends what it obtains. What an operator would write into the
 * configuration is read from the suite's context and from the server's metadata.
 */

interface Context {
  readonly client_id: string;
  readonly client_secret?: string;
  readonly private_key_pem?: string;
  readonly signing_algorithm?: string;
  readonly idp_client_id?: string;
  readonly idp_id_token?: string;
  readonly idp_issuer?: string;
}

const TIMEOUT_MS = 10_000;
const PARAMS = {
  protocolVersion: '2025-11-25',
  capabilities: {},
  clientInfo: { name: 'outrigger', version: '1' },
};

const url = process.argv.at(-1) ?? '';
const context = JSON.parse(process.env['MCP_CONFORMANCE_CONTEXT'] ?? '{}') as Context;
const providers = createBoundedFetch();
const backend = new StreamableHttpBackend({
  name: 'suite',
  url,
  headers: {},
  messageBytes: 4 * 1024 * 1024,
  health: new HealthRecord(),
});
try {
  const strategy = createStrategy(
    settingsFor(await authorizationServer()),
    strategyEnvironment({ fetch: providers.fetch }),
  );
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const credential = await strategy.obtain({ caller: await caller(), backend: 'suite', signal });
  const session = await backend.open({
    initializeParams: Buffer.from(JSON.stringify(PARAMS)),
    credential,
    events: { message() {}, lost() {} },
    timeoutMs: TIMEOUT_MS,
    lifeMs: Number.POSITIVE_INFINITY,
    signal,
  });
  const [method, id] = ['tools/list', 1];
  const times = { timeoutMs: TIMEOUT_MS, maxTimeoutMs: TIMEOUT_MS };
  const pieces = request({ id: Buffer.from(String(id)), method });
  await session.call({ id, pieces, method, credential, ...times, onMessage: () => {} });
  await session.close({ terminate: true, credential });
} finally {
  await Promise.all([backend.stop(), providers.stop()]);
}

/** As the server's own metadata names it (RFC 9728). */
async function authorizationServer(): Promise<string> {
  const { origin, pathname } = new URL(url);
  const response = await fetch(`${origin}/.well-known/oauth-protected-resource${pathname}`);
  const { authorization_servers: [first = ''] = [] } = (await response.json()) as {
    authorization_servers?: readonly string[];
  };
  return first;
}

function settingsFor(issuer: string): CredentialSettings {
  const resources = provider(issuer, context.client_id);
  if (context.idp_issuer === undefined) {
    return { strategy: 'client_credentials', provider: resources, audience: [], resource: [url], scopes: [] };
  }
  return {
    strategy: 'id_jag',
    identityProvider: {
      ...provider(context.idp_issuer, ''),
      client: { id: context.idp_client_id ?? '', auth: 'none' },
    },
    authorizationServer: resources,
    audience: issuer,
    resource: url,
    scopes: [],
    subjectTokenType: 'id_token',
    // The suite publishes no keys of its identity provider, so that the mesh's own caller is another.
    subject: 'any',
  };
}

function provider(issuer: string, id: string): ProviderSettings {
  const {
    client_secret: secret = '',
    private_key_pem: key,
    signing_algorithm: algorithm = 'ES256',
  } = context;
  return {
    issuer,
    tokenEndpoint: undefined,
    introspectionEndpoint: undefined,
    client:
      key === undefined
        ? { id, auth: 'client_secret_basic', secret }
        : { id, auth: 'private_key_jwt', key, keyId: undefined, algorithm },
    timeoutMs: TIMEOUT_MS,
  };
}

/** Somebody verified, with the token that the suite gave to its person. */
async function caller(): Promise<CallerIdentity> {
  await using issuer = await startIssuer();
  const identity = await verifierFor([trusting(issuer)]).verify(issuer.token());
  return { ...identity, token: context.idp_id_token ?? identity.token };
}
