import { Browser, type Page } from './browser.ts';
import { askedUrl } from './login-stage.ts';
import { McpClient, type Reply } from './mcp-client.ts';
import { type Mesh, type MeshOptions, startMesh } from './mesh.ts';
import { CLIENT, MESH, type OidcProvider, startOidcProvider } from './oidc-provider.ts';
import { freePort } from './ports.ts';

/**
 * A mesh before `hub`, a backend of somebody else that says itself where callers log in. Browsers reach the
 * pages for logins on each replica in turn.
 */
export interface DiscoverStage extends AsyncDisposable {
  readonly mesh: Mesh;
  /** Where the mesh's callers come from. */
  readonly idp: OidcProvider;
  readonly publicUrl: string;
  /** Other backends than before. */
  configure(mcpServers: Readonly<Record<string, unknown>>): Promise<void>;
  /** A session of somebody whose client opens URLs. */
  open(person: string, sidecar?: number): Promise<McpClient>;
  browser(person: string): Browser;
  /** The person does what the client was asked to do, in a fresh browser. */
  logIn(person: string, asked: Reply): Promise<Page>;
}

export interface DiscoverStageOptions
  extends Pick<MeshOptions, 'replicas' | 'sidecars' | 'spread' | 'logLevel'> {
  /** Of the hub. */
  readonly url: string;
  /** More for the hub's credential. */
  readonly credential?: Readonly<Record<string, unknown>>;
  /** More backends. */
  readonly backends?: Readonly<Record<string, unknown>>;
  /** Where browsers reach the pages, as the mesh has it; nothing listens there. */
  readonly publicUrl?: string;
}

export async function startDiscoverStage(options: DiscoverStageOptions): Promise<DiscoverStage> {
  const { url, credential = {}, backends = {}, replicas = 1, sidecars = 1, spread = false } = options;
  const publicUrl = options.publicUrl ?? `http://127.0.0.1:${await freePort()}`;
  const idp = await startOidcProvider({ redirectUris: [`${publicUrl}/connect/signed-in`] });
  const client = {
    id: CLIENT.id,
    auth: 'client_secret_basic',
    secret: { env: 'OUTRIGGER_TEST_CLIENT_SECRET' },
  };
  const around = {
    identity: { issuers: [{ issuer: idp.url, jwksUri: idp.jwksUri, audiences: [MESH] }] },
    connect: { publicUrl, issuers: [{ issuer: idp.url, client }] },
  };
  const mesh = await startMesh({
    ...{ replicas, sidecars, spread, logLevel: options.logLevel ?? 'info' },
    config: {
      ...around,
      mcpServers: { hub: { url, credential: { strategy: 'discover', ...credential } }, ...backends },
    },
    env: { OUTRIGGER_TEST_CLIENT_SECRET: CLIENT.secret },
  }).catch(async (error: unknown) => {
    await idp[Symbol.asyncDispose]();
    throw error;
  });
  const behind = {
    [new URL(publicUrl).host]: () => mesh.replicas.filter(({ alive }) => alive).map(({ connect }) => connect),
  };
  const browser = (person: string) => new Browser({ person, behind });
  return {
    ...{ mesh, idp, publicUrl, browser },
    configure: (mcpServers) => mesh.configure({ ...around, mcpServers }),
    async open(person, sidecar = 0) {
      const token = await idp.token({ sub: person });
      return McpClient.open({
        url: mesh.urls[sidecar] ?? '',
        token,
        capabilities: { elicitation: { url: {} } },
      });
    },
    logIn: (person, asked) => browser(person).open(askedUrl(asked)),
    async [Symbol.asyncDispose]() {
      await mesh[Symbol.asyncDispose]();
      await idp[Symbol.asyncDispose]();
    },
  };
}
