import { setTimeout as sleep } from 'node:timers/promises';
import { McpClient } from './mcp-client.ts';
import { type Mesh, startMesh } from './mesh.ts';
import { CLIENT, MESH, type OidcProvider, startOidcProvider } from './oidc-provider.ts';
import { RecordingBackend } from './recording-backend.ts';
import { metric, until } from './story.ts';
import { type Sts, startSts } from './sts.ts';

/** The resource that the guarded backend is. */
export const FILES = 'https://files.example/mcp';
export const HEADER_SECRET = 'the-static-secret-of-the-mesh';

/** The providers that a strategy may name. */
export interface Providers {
  /** The callers' own. */
  readonly idp: OidcProvider;
  /** The backend's own, which redeems assertions of the callers'. */
  readonly resources: OidcProvider;
  readonly sts: Sts;
}

/**
 * Two replicas before two backends that record: `rec`, for which credentials are obtained as the story says,
 * and `plain`, which authenticates nobody and must never notice.
 */
export interface CredentialStage extends Providers, AsyncDisposable {
  readonly mesh: Mesh;
  readonly rec: RecordingBackend;
  readonly plain: RecordingBackend;
  /** A session of somebody, with a token of the callers' provider. */
  open(sub: string, options?: { readonly expiresIn?: number; readonly scope?: string }): Promise<McpClient>;
  /** Kills the replica that has the sessions, and waits until the other serves. */
  loseOwner(): Promise<void>;
}

export interface CredentialStageOptions {
  readonly credential: (providers: Providers) => Readonly<Record<string, unknown>>;
  /** Further keys of the entry of `rec`. */
  readonly entry?: Readonly<Record<string, unknown>>;
  /** Further sections of the configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly identity?: Readonly<Record<string, unknown>>;
  readonly logLevel?: 'debug' | 'info';
}

/** An authorization server as configuration names it. */
export function providerSection(provider: OidcProvider): Readonly<Record<string, unknown>> {
  const secret = { env: 'OUTRIGGER_TEST_CLIENT_SECRET' };
  return {
    issuer: provider.url,
    client: { id: CLIENT.id, auth: 'client_secret_basic', secret },
    timeout: '1s',
  };
}

export function exchanging({ idp }: Providers): Readonly<Record<string, unknown>> {
  return { strategy: 'token_exchange', provider: providerSection(idp), audience: [FILES], scopes: ['read'] };
}

export async function startCredentialStage(options: CredentialStageOptions): Promise<CredentialStage> {
  const opened: AsyncDisposable[] = [];
  const use = <Resource extends AsyncDisposable>(resource: Resource): Resource => {
    opened.push(resource);
    return resource;
  };
  const close = async () => {
    for (const each of opened.reverse()) await each[Symbol.asyncDispose]();
  };
  try {
    const idp = use(await startOidcProvider());
    const resources = use(await startOidcProvider({ trusts: idp }));
    const sts = use(await startSts(idp));
    const rec = use(await RecordingBackend.start());
    const plain = use(await RecordingBackend.start());
    const providers = { idp, resources, sts };
    const issuer = { issuer: idp.url, jwksUri: idp.jwksUri, audiences: [MESH], jwksCooldown: '1s' };
    const mesh = use(
      await startMesh({
        replicas: 2,
        logLevel: options.logLevel ?? 'info',
        config: {
          mcpServers: {
            rec: { url: rec.url, credential: options.credential(providers), ...options.entry },
            plain: { url: plain.url },
          },
          identity: { issuers: [issuer], ...options.identity },
          ...options.config,
        },
        env: {
          OUTRIGGER_TEST_CLIENT_SECRET: CLIENT.secret,
          OUTRIGGER_TEST_CLIENT_KEY: idp.clientKey,
          OUTRIGGER_TEST_HEADER: HEADER_SECRET,
        },
      }),
    );
    return {
      ...providers,
      ...{ mesh, rec, plain },
      open: async (sub, given) =>
        McpClient.open({ url: mesh.url, token: await idp.token({ sub, ...given }) }),
      loseOwner: () => loseOwner(mesh),
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function loseOwner({ replicas, sidecar }: Mesh): Promise<void> {
  for (const replica of replicas)
    if (replica.alive && (await metric(replica, 'outrigger_sessions')) > 0) await replica.kill('SIGKILL');
  await until('the sidecar has only the other', async () => {
    return (await metric(sidecar, 'outrigger_sidecar_mesh_streams')) === 1;
  });
  await sleep(50);
}
