import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { type Mesh, type MeshOptions, startMesh } from '../support/mesh.ts';
import { freePorts } from '../support/ports.ts';
import { startRedis } from '../support/redis.ts';
import { readUrlLine, spawnReady } from '../support/spawn-ready.ts';
import { TokenEndpoint } from '../support/token-endpoint.ts';
import { BESIDE } from './loads.ts';
import type { Row, RunningRow } from './row.ts';
import { SIDECAR } from './row-names.ts';

/** New sessions by the thousand are what the churn load is about. */
const LIMITS = {
  initializePerMinute: 1_000_000,
  initializeBurst: 100_000,
  sessionsPerPrincipal: 10_000,
  anonymousPerSidecar: 10_000,
};

const HANDSHAKES = { atOnce: 64, perSecond: 100_000 };

/** Outrigger at its plainest: no token is asked for, and sessions are kept on disk. */
export function anonymousMesh({
  name,
  ...options
}: { name: string } & Pick<MeshOptions, 'replicas' | 'env'>): Row {
  return {
    name,
    async start({ backendUrl }) {
      const mesh = await startMesh({
        ...options,
        store: 'embedded',
        config: {
          mcpServers: { bench: { type: 'http', url: backendUrl, handshakes: HANDSHAKES } },
          limits: LIMITS,
        },
        anonymous: true,
      });
      return {
        endpoint: { url: mesh.url },
        processes: processesOf(mesh),
        [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose](),
      };
    },
  };
}

const BACKEND_AUDIENCE = 'https://bench.example/mcp';
const SECRET = 'OUTRIGGER_BENCH_CLIENT_SECRET';
/** Longer than any run, in seconds. */
const TOKEN_LIFE = 6 * 3_600;

/** Readers by group, one tool by another group, and one forbidden for some arguments. */
const POLICIES = `
  permit(principal in Outrigger::Group::"bench", action, resource);
  permit(principal in Outrigger::Group::"ops", action, resource)
    when { resource.annotations has readOnlyHint && resource.annotations.readOnlyHint };
  forbid(principal, action == Outrigger::Action::"call", resource)
    when { resource.name == "echo_1" && context.arguments has path && context.arguments.path like "/etc*" };
`;

/** The same with its sessions in Redis: what the secured rows are compared with, so that the store is in neither figure. */
export function anonymousRedisMesh(name: string): Row {
  return {
    name,
    async start({ backendUrl }) {
      const redis = await startRedis();
      const close = () => redis[Symbol.asyncDispose]();
      try {
        const mesh = await startMesh({
          store: 'redis',
          redisUrl: redis.url,
          config: {
            mcpServers: { bench: { type: 'http', url: backendUrl, handshakes: HANDSHAKES } },
            limits: LIMITS,
          },
          anonymous: true,
        });
        return {
          endpoint: { url: mesh.url },
          processes: processesOf(mesh),
          async [Symbol.asyncDispose]() {
            await mesh[Symbol.asyncDispose]();
            await close();
          },
        };
      } catch (error) {
        await close();
        throw error;
      }
    },
  };
}

/** Outrigger as a company runs it: a verified JWT, policies, an exchanged token for the backend, sessions in Redis. */
export function securedMesh({ name, audit }: { name: string; audit: boolean }): Row {
  return {
    name,
    async start({ backendUrl }) {
      const opened: AsyncDisposable[] = [];
      const close = async () => {
        for (const each of opened.reverse()) await each[Symbol.asyncDispose]();
      };
      const use = <Resource extends AsyncDisposable>(resource: Resource): Resource => {
        opened.push(resource);
        return resource;
      };
      try {
        const issuer = use(await startIssuer());
        const provider = use(await startProvider(issuer));
        const redis = use(await startRedis());
        const folder = use(await temporaryFolder());
        const mesh = use(
          await startMesh({
            store: 'redis',
            redisUrl: redis.url,
            env: { [SECRET]: 'a secret of the bench' },
            config: {
              mcpServers: {
                bench: {
                  type: 'http',
                  url: backendUrl,
                  handshakes: HANDSHAKES,
                  credential: exchangedAt(provider.url),
                },
              },
              identity: {
                issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audiences: [issuer.audience] }],
              },
              limits: LIMITS,
              admission: { policies: [{ text: POLICIES }] },
              ...(audit ? { audit: { file: join(folder.path, 'audit.log') } } : {}),
            },
          }),
        );
        return {
          endpoint: { url: mesh.url, token: tokenOf(issuer, issuer.audience) },
          processes: processesOf(mesh),
          [Symbol.asyncDispose]: close,
        };
      } catch (error) {
        await close();
        throw error;
      }
    },
  };
}

function exchangedAt(tokenEndpoint: string): Readonly<Record<string, unknown>> {
  const client = { id: 'outrigger', auth: 'client_secret_basic', secret: { env: SECRET } };
  return {
    strategy: 'token_exchange',
    provider: { tokenEndpoint, client },
    audience: [BACKEND_AUDIENCE],
  };
}

async function startProvider(issuer: TestIssuer): Promise<TokenEndpoint> {
  const provider = await TokenEndpoint.start();
  provider.grant = () => ({
    access_token: tokenOf(issuer, BACKEND_AUDIENCE),
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    expires_in: TOKEN_LIFE,
  });
  return provider;
}

function tokenOf(issuer: TestIssuer, audience: string): string {
  const exp = Math.floor(Date.now() / 1000) + TOKEN_LIFE;
  return issuer.token({ sub: 'bench', aud: audience, exp, claims: { groups: ['bench'] } });
}

async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'outrigger-bench-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** One replica with two backends: the one that is measured, and a neighbour under calls of its own. */
export function besideNeighbour(kind: 'good' | 'bad', name: string): Row {
  return {
    name,
    loads: [BESIDE],
    async start({ backendUrl, programs }) {
      const [port = 0] = await freePorts(1);
      const mesh = await startMesh({
        store: 'embedded',
        config: {
          mcpServers: {
            bench: { type: 'http', url: backendUrl },
            neighbour: {
              type: 'http',
              url: `http://127.0.0.1:${port}/mcp`,
              timeouts: { request: '500ms' },
              breaker: { open: '200ms' },
            },
          },
          virtualServers: { default: { naming: { mode: 'priority', order: ['bench', 'neighbour'] } } },
          limits: { initializeAnswer: '500ms' },
        },
        anonymous: true,
      });
      const args = [programs.neighbour, kind, String(port), mesh.url];
      const neighbour = await spawnReady({ args, ready: readUrlLine });
      const toggle = () => process.kill(neighbour.pid, 'SIGUSR2');
      return {
        endpoint: { url: mesh.url },
        processes: processesOf(mesh),
        neighbour: { work: toggle, rest: toggle },
        async [Symbol.asyncDispose]() {
          await neighbour.stop();
          await mesh[Symbol.asyncDispose]();
        },
      };
    },
  };
}

function processesOf(mesh: Mesh): RunningRow['processes'] {
  return [
    { name: SIDECAR, pid: mesh.sidecar.pid },
    ...mesh.replicas.map(({ pid }, index) => ({ name: `replica ${index}`, pid })),
  ];
}
