import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from './ports.ts';
import { type RedisBinaries, redisBinaries } from './redis-binaries.ts';

/** Real Redis processes for tests, on ephemeral ports of 127.0.0.1, with folders of their own that are removed. */

const run = promisify(execFile);
const HOST = '127.0.0.1';

export interface RedisOptions {
  /** Appends every write to a file, synced before it is answered, and reads it at a restart. */
  readonly aof?: boolean;
  readonly requirepass?: string;
  /** For example `100mb`. */
  readonly maxmemory?: string;
  /** `noeviction` unless said otherwise. */
  readonly maxmemoryPolicy?: string;
  /** Further settings of redis.conf, by name. */
  readonly config?: Readonly<Record<string, string | number>>;
}

export interface RedisServer {
  readonly host: string;
  readonly port: number;
  /** With the password, if there is one. */
  readonly url: string;
  readonly running: boolean;
  /** SIGSTOP and SIGCONT are sent and that is all; after any other signal it resolves when the process is gone. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again on its port and folder, after a kill. */
  restart(): Promise<void>;
  /** Runs redis-cli; its raw output without the last newline. Rejects when Redis answers with an error. */
  cli(...args: readonly string[]): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const binaries = await redisBinaries();
  for (let attempt = 1; ; attempt += 1) {
    const server = new Server(binaries, await freePort(), options);
    try {
      await server.restart();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      // Somebody may have taken the port in between.
      if (attempt === 3) throw error;
    }
  }
}

export interface SentinelGroup {
  /** What the sentinels call it. */
  readonly name: string;
  readonly sentinels: readonly RedisServer[];
  /** One primary and two replicas, in no particular order. */
  readonly servers: readonly RedisServer[];
  /** The server that the sentinels take for the primary. */
  primary(): Promise<RedisServer>;
  /** Resolves when the primary is another one than `old`, with `replicas` replicas in step. */
  failedOver(old: RedisServer, replicas: number): Promise<RedisServer>;
  /** Resolves when the primary has so many replicas in step. */
  inStep(replicas: number): Promise<void>;
  /** Does at once what the sentinels do after ten seconds: whoever else takes itself for the primary becomes a replica. Resolves when both replicas are in step. */
  reunite(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface SentinelOptions {
  /** How long a primary must be silent. */
  readonly downAfterMs?: number;
  readonly aof?: boolean;
  readonly config?: Readonly<Record<string, string | number>>;
}

/** One primary, two replicas, three sentinels. */
export async function startSentinel(options: SentinelOptions = {}): Promise<SentinelGroup> {
  const { downAfterMs = 400, aof = false, config = {} } = options;
  const fast = { 'repl-diskless-sync-delay': 0, 'repl-ping-replica-period': 1, ...config };
  const first = await startRedis({ aof, config: fast });
  const replicaof = `${HOST} ${first.port}`;
  const replicas = await Promise.all([1, 2].map(() => startRedis({ aof, config: { ...fast, replicaof } })));
  const binaries = await redisBinaries();
  const ports = await Promise.all([1, 2, 3].map(() => freePort()));
  const sentinels = ports.map(
    (port) => new Server(binaries, port, {}, sentinelConfig(first.port, downAfterMs)),
  );
  const group = new Group([first, ...replicas], sentinels);
  try {
    await Promise.all(sentinels.map((sentinel) => sentinel.restart()));
    await group.complete();
    return group;
  } catch (error) {
    await group[Symbol.asyncDispose]();
    throw error;
  }
}

export interface RedisCluster {
  readonly nodes: readonly RedisServer[];
  [Symbol.asyncDispose](): Promise<void>;
}

/** Three nodes with a third of the slots each, without replicas. */
export async function startCluster(): Promise<RedisCluster> {
  const nodes = await Promise.all(
    [1, 2, 3].map(async () =>
      startRedis({
        config: { 'cluster-enabled': 'yes', 'cluster-port': await freePort(), 'cluster-node-timeout': 1000 },
      }),
    ),
  );
  const dispose = () => disposeAll(nodes);
  try {
    const shares = ['0 5460', '5461 10922', '10923 16383'];
    await Promise.all(
      nodes.map((node, at) => node.cli('cluster', 'addslotsrange', ...(shares[at] ?? '').split(' '))),
    );
    const [first] = nodes;
    const bus = await first?.cli('config', 'get', 'cluster-port');
    for (const node of nodes.slice(1)) {
      await node.cli('cluster', 'meet', HOST, String(first?.port), bus?.split('\n')[1] ?? '');
    }
    for (const node of nodes) {
      await until(async () => {
        const info = await node.cli('cluster', 'info');
        return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3');
      });
    }
    return { nodes, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** What a test run that ends in the middle would leave behind. */
const living = new Map<ChildProcess, string>();
process.on('exit', () => {
  for (const [child, folder] of living) {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});

class Server implements RedisServer {
  readonly host = HOST;
  readonly port: number;
  readonly #binaries: RedisBinaries;
  readonly #options: RedisOptions;
  readonly #sentinel: string | undefined;
  #folder: string | undefined;
  #child: ChildProcess | undefined;

  constructor(binaries: RedisBinaries, port: number, options: RedisOptions, sentinel?: string) {
    this.#binaries = binaries;
    this.port = port;
    this.#options = options;
    this.#sentinel = sentinel;
  }

  get url(): string {
    const { requirepass } = this.#options;
    return `redis://${requirepass === undefined ? '' : `:${requirepass}@`}${HOST}:${this.port}`;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  async restart(): Promise<void> {
    const file = await this.#config();
    const args = this.#sentinel === undefined ? [file] : [file, '--sentinel'];
    const child = spawn(this.#binaries.server, args, { env: this.#binaries.env, stdio: 'ignore' });
    this.#child = child;
    living.set(child, dirname(file));
    child.once('exit', () => {
      living.delete(child);
      if (this.#child === child) this.#child = undefined;
    });
    await until(async () => {
      if (this.#child !== child) throw new Error(`redis-server on port ${this.port} did not start.`);
      const answer = await this.cli('ping').catch(() => '');
      return answer === 'PONG';
    });
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    child.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await once(child, 'exit');
  }

  async cli(...args: readonly string[]): Promise<string> {
    const { requirepass } = this.#options;
    const env = {
      ...this.#binaries.env,
      ...(requirepass === undefined ? {} : { REDISCLI_AUTH: requirepass }),
    };
    const { stdout } = await run(this.#binaries.cli, ['-e', '-p', String(this.port), ...args], {
      env,
      timeout: 10_000,
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout.replace(/\n$/, '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill('SIGKILL');
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
  }

  async #config(): Promise<string> {
    // A sentinel rewrites its file, and a restarted one goes on with it.
    if (this.#folder !== undefined) return join(this.#folder, 'redis.conf');
    this.#folder = await mkdtemp(join(tmpdir(), 'outrigger-redis-'));
    const { aof = false, requirepass, maxmemory, maxmemoryPolicy, config } = this.#options;
    const settings = {
      port: this.port,
      bind: HOST,
      dir: this.#folder,
      ...(this.#sentinel === undefined ? { save: '""', appendonly: aof ? 'yes' : 'no' } : {}),
      ...(aof ? { appendfsync: 'always' } : {}),
      ...(requirepass === undefined ? {} : { requirepass, masterauth: requirepass }),
      ...(maxmemory === undefined ? {} : { maxmemory }),
      ...(maxmemoryPolicy === undefined ? {} : { 'maxmemory-policy': maxmemoryPolicy }),
      ...config,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
    const file = join(this.#folder, 'redis.conf');
    await writeFile(file, `${lines.join('\n')}\n${this.#sentinel ?? ''}`);
    return file;
  }
}

const GROUP = 'mesh';

function sentinelConfig(port: number, downAfterMs: number): string {
  return [
    `sentinel monitor ${GROUP} ${HOST} ${port} 2`,
    `sentinel down-after-milliseconds ${GROUP} ${downAfterMs}`,
    `sentinel failover-timeout ${GROUP} 3000`,
    `sentinel parallel-syncs ${GROUP} 2`,
    '',
  ].join('\n');
}

class Group implements SentinelGroup {
  readonly name = GROUP;
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];

  constructor(servers: readonly RedisServer[], sentinels: readonly RedisServer[]) {
    this.servers = servers;
    this.sentinels = sentinels;
  }

  async primary(): Promise<RedisServer> {
    for (const sentinel of this.sentinels) {
      const answer = await sentinel.cli('sentinel', 'get-master-addr-by-name', GROUP);
      const port = Number(answer.split('\n')[1]);
      const server = this.servers.find((each) => each.port === port);
      if (server !== undefined) return server;
    }
    throw new Error('The sentinels know no primary.');
  }

  async failedOver(old: RedisServer, replicas: number): Promise<RedisServer> {
    await until(async () => (await this.primary()) !== old);
    await this.inStep(replicas);
    return this.primary();
  }

  async inStep(replicas: number): Promise<void> {
    await until(async () => {
      const info = await (await this.primary()).cli('info', 'replication').catch(() => '');
      return info.includes('role:master') && (info.match(/state=online/g)?.length ?? 0) >= replicas;
    });
  }

  async reunite(): Promise<void> {
    await until(async () => {
      const primary = await this.#settled();
      if (primary === undefined) return false;
      for (const server of this.servers) {
        const role = server === primary ? '' : await server.cli('role').catch(() => '');
        if (role.startsWith('master')) await server.cli('replicaof', HOST, String(primary.port));
      }
      const info = await primary.cli('info', 'replication').catch(() => '');
      return info.includes('role:master') && info.match(/state=online/g)?.length === 2;
    });
  }

  /** The primary, while all sentinels agree on it and none is about to change it. */
  async #settled(): Promise<RedisServer | undefined> {
    const primary = await this.primary();
    for (const sentinel of this.sentinels) {
      const fields = (await sentinel.cli('sentinel', 'master', GROUP)).split('\n');
      const field = (name: string) => fields[fields.indexOf(name) + 1];
      if (field('port') !== String(primary.port) || field('flags') !== 'master') return undefined;
    }
    return primary;
  }

  /** All know of each other: only then can they agree on a failover. */
  async complete(): Promise<void> {
    await this.inStep(2);
    for (const sentinel of this.sentinels) {
      await until(async () => {
        const fields = (await sentinel.cli('sentinel', 'master', GROUP)).split('\n');
        const field = (name: string) => Number(fields[fields.indexOf(name) + 1]);
        return field('num-slaves') === 2 && field('num-other-sentinels') === 2;
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await disposeAll([...this.sentinels, ...this.servers]);
  }
}

async function disposeAll(servers: readonly RedisServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
}

/** Polls until it holds; rejects after 20 seconds. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const giveUpAt = Date.now() + 20_000; Date.now() < giveUpAt; await sleep(25)) {
    if (await holds()) return;
  }
  throw new Error('Redis did not come into the state that the test needs.');
}
