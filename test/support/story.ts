import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { startIssuer, type TestIssuer } from './issuer.ts';
import { type ClientOptions, McpClient, type Reply, textOf } from './mcp-client.ts';
import { type Mesh, type MeshOptions, type Replica, startMesh } from './mesh.ts';
import { defaultScript } from './recording-backend/script.ts';
import { RecordingBackend, type Script, type ScriptedTool } from './recording-backend.ts';
import { type RedisOptions, type RedisServer, startRedis } from './redis.ts';
import { stdioBackendCommand } from './stdio-backend.ts';
import { startProxy, type TcpProxy } from './tcp-proxy.ts';

export { type Incoming, McpClient, type Reply, reasonOf, textOf } from './mcp-client.ts';

/**
 * The setting of the failure stories: an issuer, a backend that records what it saw and takes one
 * configured credential, a child on standard input and output, and a mesh of real processes before them.
 * A path that can be made bad lies between the sidecars and each replica.
 */
export interface Setting extends AsyncDisposable {
  readonly mesh: Mesh;
  readonly issuer: TestIssuer;
  readonly backend: RecordingBackend;
  /** With `store: 'redis'`. */
  readonly redis: RedisServer;
  /** The path from all replicas to Redis, with `storePath`. */
  readonly storePath: TcpProxy;
  /** The path from the sidecars to a replica. */
  path(replica: Replica): TcpProxy;
  /** A token for `alice`, unless said otherwise. */
  token(options?: Parameters<TestIssuer['token']>[0]): string;
  /** A session of its own with the replica that owns it. */
  open(options?: Partial<ClientOptions>): Promise<Story>;
  /** Kills a replica, and waits until the sidecars know: a call before that is a call in flight. */
  lose(replica: Replica): Promise<void>;
  /** Every replica runs and every sidecar has two streams (or one, to a lone replica). */
  whole(): Promise<void>;
}

/** One session of one client. */
export interface Story {
  readonly client: McpClient;
  /** The replica that the session was made at. */
  readonly owner: Replica;
  /** The first of the others; the owner itself where it is alone. */
  readonly other: Replica;
  /** The id that the backend gave to this session. */
  readonly backendSession: string;
}

export interface SettingOptions {
  readonly replicas?: number;
  readonly sidecars?: number;
  /** `redis` when absent. */
  readonly store?: 'redis' | 'embedded' | Readonly<Record<string, unknown>>;
  readonly redis?: RedisOptions;
  /** A path that can be made bad lies before Redis. */
  readonly storePath?: boolean;
  /** Redis is not running when the mesh starts. */
  readonly redisDown?: boolean;
  /** What the recording backend is. */
  readonly script?: Partial<Script>;
  /** Keys for the entry of the recording backend. */
  readonly entry?: Readonly<Record<string, unknown>>;
  readonly limits?: Readonly<Record<string, unknown>>;
  readonly identity?: Readonly<Record<string, unknown>>;
  readonly tenantClaim?: string;
  /** In every token that `token` makes. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Further sections of the configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly sidecarConfig?: MeshOptions['sidecarConfig'];
  readonly env?: Readonly<Record<string, string>>;
  readonly anonymous?: boolean;
  /** Also a child on standard input and output, named `kid`. */
  readonly stdio?: boolean;
  readonly awaitReady?: boolean;
  /** The sidecars look the replicas up by one name, each replica is home to some; no path lies between. */
  readonly headless?: boolean;
  readonly builds?: MeshOptions['builds'];
  readonly envs?: MeshOptions['envs'];
  /** Sidecar *i* has replica *i* as its home. */
  readonly spread?: boolean;
}

/** `effect` must not run twice; `lookup` may, says configuration. Both answer after `ms`. */
const TOOLS: readonly ScriptedTool[] = [
  ...defaultScript().tools,
  { name: 'effect', behaviour: 'slow' },
  { name: 'lookup', behaviour: 'slow' },
];

/** The credential that configuration has for the recording backend. */
export const BACKEND_CREDENTIAL = 'Bearer of-the-backend';

export async function startSetting(options: SettingOptions = {}): Promise<Setting> {
  const { store = 'redis' } = options;
  const issuer = await startIssuer();
  const backend = await RecordingBackend.start({ tools: TOOLS, ...options.script });
  const redis = store === 'redis' ? await startRedis(options.redis ?? {}) : undefined;
  if (options.redisDown === true) await redis?.kill('SIGKILL');
  const storePath = redis !== undefined && options.storePath === true ? await startProxy(redis) : undefined;
  const paths = new Map<string, TcpProxy>();
  const dispose = async () => {
    await Promise.all([issuer.stop(), backend.stop(), storePath?.[Symbol.asyncDispose]()]);
    await redis?.[Symbol.asyncDispose]();
  };
  try {
    const mesh = await startMesh({
      ...(options.replicas === undefined ? { replicas: 2 } : { replicas: options.replicas }),
      ...(options.sidecars === undefined ? {} : { sidecars: options.sidecars }),
      store:
        redis === undefined
          ? store
          : { type: 'redis', url: `redis://127.0.0.1:${(storePath ?? redis).port}` },
      config: configuration(options, { issuer, backend }),
      anonymous: options.anonymous ?? false,
      ...(options.sidecarConfig === undefined ? {} : { sidecarConfig: options.sidecarConfig }),
      env: { OUTRIGGER_TEST_CREDENTIAL: BACKEND_CREDENTIAL.slice('Bearer '.length), ...options.env },
      awaitReady: options.awaitReady ?? true,
      headless: options.headless ?? false,
      spread: options.spread ?? options.headless ?? false,
      ...(options.builds === undefined ? {} : { builds: options.builds }),
      ...(options.envs === undefined ? {} : { envs: options.envs }),
      async via(replica) {
        const path = await startProxy(replica);
        paths.set(replica.name, path);
        return path;
      },
    });
    return new RunningSetting({
      claims: options.claims ?? {},
      mesh,
      issuer,
      backend,
      redis,
      storePath,
      paths,
      dispose,
    });
  } catch (error) {
    await dispose();
    throw error;
  }
}

function configuration(
  options: SettingOptions,
  { issuer, backend }: { issuer: TestIssuer; backend: RecordingBackend },
): Record<string, unknown> {
  const { command, args, env, cwd } = stdioBackendCommand();
  return {
    mcpServers: {
      rec: {
        url: backend.url,
        credential: {
          strategy: 'header',
          name: 'Authorization',
          prefix: 'Bearer ',
          value: { env: 'OUTRIGGER_TEST_CREDENTIAL' },
        },
        tools: { lookup: { replay: 'safe' } },
        ...options.entry,
      },
      ...(options.stdio === true ? { kid: { command, args, env, cwd } } : {}),
    },
    virtualServers: { default: { naming: { mode: 'priority' } } },
    identity: {
      issuers: [
        {
          issuer: issuer.url,
          jwksUri: issuer.jwksUri,
          audiences: [issuer.audience],
          ...(options.tenantClaim === undefined ? {} : { tenantClaim: options.tenantClaim }),
        },
      ],
      ...options.identity,
    },
    limits: options.limits ?? {},
    ...options.config,
  };
}

interface Parts extends Pick<Setting, 'mesh' | 'issuer' | 'backend'> {
  readonly claims: Readonly<Record<string, unknown>>;
  readonly redis: RedisServer | undefined;
  readonly storePath: TcpProxy | undefined;
  readonly paths: ReadonlyMap<string, TcpProxy>;
  readonly dispose: () => Promise<void>;
}

class RunningSetting implements Setting {
  readonly mesh: Mesh;
  readonly issuer: TestIssuer;
  readonly backend: RecordingBackend;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.mesh = parts.mesh;
    this.issuer = parts.issuer;
    this.backend = parts.backend;
  }

  get redis(): RedisServer {
    const { redis } = this.#parts;
    if (redis === undefined) throw new Error('this setting has no Redis');
    return redis;
  }

  get storePath(): TcpProxy {
    const { storePath } = this.#parts;
    if (storePath === undefined) throw new Error('this setting has no Redis');
    return storePath;
  }

  path(replica: Replica): TcpProxy {
    const path = this.#parts.paths.get(replica.name);
    if (path === undefined) throw new Error(`no path to ${replica.name}`);
    return path;
  }

  token(options: Parameters<TestIssuer['token']>[0] = {}): string {
    return this.issuer.token({ ...options, claims: { ...this.#parts.claims, ...options.claims } });
  }

  async open(options: Partial<ClientOptions> = {}): Promise<Story> {
    const { replicas } = this.mesh;
    const before = await Promise.all(replicas.map((each) => metric(each, 'outrigger_sessions')));
    const client = await McpClient.open({ url: this.mesh.url, token: this.token(), ...options });
    const { sessionId } = JSON.parse(textOf(await client.call('whoami'))) as { sessionId: string };
    const after = await Promise.all(replicas.map((each) => metric(each, 'outrigger_sessions')));
    const owner = replicas.find((_, at) => (after[at] ?? 0) > (before[at] ?? 0));
    if (owner === undefined) throw new Error(`no replica owns the session: ${before} ${after}`);
    const other = replicas.find((each) => each !== owner) ?? owner;
    return { client, owner, other, backendSession: sessionId };
  }

  async whole(): Promise<void> {
    const { replicas, sidecars } = this.mesh;
    await Promise.all(replicas.map((each) => (each.alive ? each.ready() : each.start())));
    const wanted = Math.min(2, replicas.length);
    await until(`${wanted} mesh streams`, async () => {
      const served = await Promise.all(replicas.map((each) => metric(each, 'outrigger_mesh_streams')));
      const total = served.reduce((sum, count) => sum + count, 0);
      return total >= wanted * sidecars.length && (await this.#streams()).every((count) => count >= wanted);
    });
  }

  async lose(replica: Replica): Promise<void> {
    await replica.kill('SIGKILL');
    // Reads are sent again: an answer about a session that nobody has comes from a replica that lives.
    for (const { url } of this.mesh.sidecars) {
      const stranger = new McpClient({ url, token: this.token() });
      stranger.sessionId = randomBytes(48).toString('base64url');
      await until('the sidecar knows', async () => (await stranger.request('ping')).status === 404);
    }
  }

  /** Of each sidecar. */
  #streams(): Promise<number[]> {
    return Promise.all(this.mesh.sidecars.map((each) => metric(each, 'outrigger_sidecar_mesh_streams')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mesh[Symbol.asyncDispose]();
    await this.#parts.dispose();
  }
}

/** A value from a replica's or a sidecar's metrics, the sum over its labels; 0 where it is not there. */
export async function metric(from: { readonly ops: string }, name: string): Promise<number> {
  const response = await fetch(`${from.ops}/metrics`, { signal: AbortSignal.timeout(2_000) });
  const lines = (await response.text())
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

/** Polls until it holds; rejects, naming what did not come about, after 15 s unless said otherwise. */
export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  withinMs = 15_000,
): Promise<void> {
  for (const giveUpAt = performance.now() + withinMs; performance.now() < giveUpAt; await sleep(25)) {
    if (await holds()) return;
  }
  throw new Error(`did not come about: ${what}`);
}

/** Asks again, a while, as long as the answer is to come back later (503). */
export async function answered(ask: () => Promise<Reply>): Promise<Reply> {
  for (let attempt = 1; ; attempt += 1) {
    const reply = await ask();
    if (reply.status !== 503 || attempt === 40) return reply;
    await sleep(250);
  }
}
