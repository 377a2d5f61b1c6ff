import { setTimeout as sleep } from 'node:timers/promises';
import { Browser, type Page } from './browser.ts';
import { McpClient, type Reply } from './mcp-client.ts';
import { type Mesh, startMesh } from './mesh.ts';
import { CLIENT, MESH, type OidcProvider, startOidcProvider } from './oidc-provider.ts';
import { freePort } from './ports.ts';
import { RecordingBackend } from './recording-backend.ts';
import { metric, until } from './story.ts';

/** The resource that the guarded backend is, to the third party. */
export const HUB_RESOURCE = 'https://hub.example/mcp';

/**
 * Two replicas before `hub`, a backend that takes each caller's own token of a third party, and `plain`, which
 * authenticates nobody and must never notice. Browsers reach the pages for logins on each replica in turn.
 */
export interface LoginStage extends AsyncDisposable {
  readonly mesh: Mesh;
  /** Where the mesh's callers come from. */
  readonly idp: OidcProvider;
  /** The third party; what a person is called there begins with `hub-`. */
  readonly party: OidcProvider;
  readonly hub: RecordingBackend;
  readonly plain: RecordingBackend;
  readonly publicUrl: string;
  /** A session of somebody, with a client that opens URLs unless said otherwise. */
  open(person: string, options?: LoginClientOptions): Promise<McpClient>;
  browser(person: string, given?: { readonly declines?: boolean }): Browser;
  /** The person does what the client is asked to do, in a fresh browser. */
  logIn(person: string, client: McpClient): Promise<Page>;
  loseOwner(): Promise<void>;
}

export interface LoginClientOptions {
  readonly opensUrls?: boolean;
  readonly expiresIn?: number;
  /** The first, unless said. */
  readonly sidecar?: number;
}

export interface LoginStageOptions {
  /** Of the third party's access tokens, in seconds. */
  readonly accessSeconds?: number;
  readonly logLevel?: 'debug' | 'info';
  readonly sidecars?: number;
  readonly spread?: boolean;
  readonly anonymous?: boolean;
  readonly store?: Readonly<Record<string, unknown>>;
  readonly config?: Readonly<Record<string, unknown>>;
}

export async function startLoginStage(options: LoginStageOptions = {}): Promise<LoginStage> {
  const opened: AsyncDisposable[] = [];
  const use = <Resource extends AsyncDisposable>(resource: Resource): Resource => {
    opened.push(resource);
    return resource;
  };
  const close = async () => {
    for (const each of opened.reverse()) await each[Symbol.asyncDispose]();
  };
  try {
    const publicUrl = `http://127.0.0.1:${await freePort()}`;
    const idp = use(await startOidcProvider({ redirectUris: [`${publicUrl}/connect/signed-in`] }));
    const party = use(
      await startOidcProvider({
        redirectUris: [`${publicUrl}/connect/authorized/hub`],
        accessSeconds: options.accessSeconds ?? 300,
        account: (person) => `hub-${person}`,
      }),
    );
    const hub = use(await RecordingBackend.start());
    const plain = use(await RecordingBackend.start());
    const mesh = use(await startMesh(meshOptions(options, { publicUrl, idp, party, hub, plain })));
    const behind = {
      [new URL(publicUrl).host]: () =>
        mesh.replicas.filter(({ alive }) => alive).map(({ connect }) => connect),
    };
    const browser: LoginStage['browser'] = (person, given) => new Browser({ person, behind, ...given });
    return {
      ...{ mesh, idp, party, hub, plain, publicUrl, browser },
      async open(person, { opensUrls = true, expiresIn = 300, sidecar = 0 } = {}) {
        const token = await idp.token({ sub: person, expiresIn });
        const capabilities = opensUrls ? { elicitation: { url: {} } } : {};
        return McpClient.open({ url: mesh.urls[sidecar] ?? '', token, capabilities });
      },
      logIn: async (person, client) => browser(person).open(askedUrl(await client.call('hub__whoami'))),
      loseOwner: () => loseOwner(mesh),
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Parts {
  readonly publicUrl: string;
  readonly idp: OidcProvider;
  readonly party: OidcProvider;
  readonly hub: RecordingBackend;
  readonly plain: RecordingBackend;
}

function meshOptions(options: LoginStageOptions, { publicUrl, idp, party, hub, plain }: Parts) {
  const { logLevel = 'info', sidecars = 1, spread = false, anonymous = false, store, config } = options;
  const client = {
    id: CLIENT.id,
    auth: 'client_secret_basic',
    secret: { env: 'OUTRIGGER_TEST_CLIENT_SECRET' },
  };
  const credential = {
    strategy: 'stored',
    provider: { issuer: party.url, client, timeout: '1s' },
    scopes: ['read'],
    resource: [HUB_RESOURCE],
  };
  return {
    ...{ replicas: 2, sidecars, spread, logLevel, anonymous },
    ...(store === undefined ? {} : { store }),
    config: {
      mcpServers: { hub: { url: hub.url, credential }, plain: { url: plain.url } },
      identity: { issuers: [{ issuer: idp.url, jwksUri: idp.jwksUri, audiences: [MESH] }] },
      connect: { publicUrl, issuers: [{ issuer: idp.url, client }] },
      ...config,
    },
    env: { OUTRIGGER_TEST_CLIENT_SECRET: CLIENT.secret },
  } as const;
}

/** What a client that opens URLs is asked to open (MCP 2025-11-25, URL Elicitation Required Error). */
export function elicited(reply: Reply): {
  mode: string;
  elicitationId: string;
  url: string;
  message: string;
} {
  const { code, data } = reply.answer?.error ?? {};
  const [elicitation] =
    (data as { elicitations?: [ReturnType<typeof elicited>] } | undefined)?.elicitations ?? [];
  if (code !== -32042 || elicitation === undefined)
    throw new Error(`not asked: ${reply.status} ${reply.body}`);
  return elicitation;
}

export function askedUrl(reply: Reply): string {
  return elicited(reply).url;
}

async function loseOwner({ replicas, sidecar }: Mesh): Promise<void> {
  for (const replica of replicas)
    if (replica.alive && (await metric(replica, 'outrigger_sessions')) > 0) await replica.kill('SIGKILL');
  await until('the sidecar has only the other', async () => {
    return (await metric(sidecar, 'outrigger_sidecar_mesh_streams')) === 1;
  });
  await sleep(50);
}
