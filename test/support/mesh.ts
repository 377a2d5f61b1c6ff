import { randomBytes } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SIDECAR_NODE_FLAGS } from '../../shared/sidecar-node-flags.ts';
import { rendezvousOrder } from '../../sidecar/mesh/rendezvous.ts';
import { ensureBuilt, OUTRIGGER } from './build.ts';
import { HeadlessService } from './headless.ts';
import { freePorts } from './ports.ts';
import { type ProgramSpec, TestProcess } from './process.ts';

/**
 * A whole mesh for a test: replicas and sidecars, each the operating-system
 * process that a user starts, on ephemeral ports, with a state folder of its own.
 *
 *     await using mesh = await startMesh({ replicas: 2, store: 'embedded', config, anonymous: true });
 */
export interface Mesh extends AsyncDisposable {
  /** MCP, at the first sidecar. */
  readonly url: string;
  readonly urls: readonly string[];
  readonly replicas: readonly Replica[];
  readonly sidecar: Sidecar;
  readonly sidecars: readonly Sidecar[];
  readonly stateFolder: string;
  /** Another configuration for the control plane, in the file that its replicas were started with; texts are written as they are. */
  configure(config: Readonly<Record<string, unknown>> | string): Promise<void>;
  /** A file beside the configuration files, by whose name they can name it. */
  write(name: string, text: string): Promise<void>;
  /** Where the sidecars find the replicas, with `headless`. */
  readonly service: HeadlessService;
  /** Every line that any of its processes wrote. */
  log(): string[];
}

export class Replica extends TestProcess {
  /** Of the mesh stream, `host:port`. */
  grpc: string;
  /** Base URL of health and metrics. */
  readonly ops: string;
  /** Of the pages for logins, `host:port`, where they are configured. */
  readonly connect: string;

  constructor(
    spec: ProgramSpec,
    addresses: { readonly grpc: string; readonly ops: string; readonly connect: string },
  ) {
    super(spec);
    this.grpc = addresses.grpc;
    this.ops = addresses.ops;
    this.connect = addresses.connect;
  }

  /** Of the mesh stream, without its port. */
  get host(): string {
    return this.grpc.slice(0, this.grpc.lastIndexOf(':'));
  }

  /** Starts it anew at another address of this machine. */
  async startAt(host: string): Promise<void> {
    this.grpc = `${host}:${this.grpc.slice(this.grpc.lastIndexOf(':') + 1)}`;
    await this.start({ args: ['--listen', this.grpc] });
  }
}

export class Sidecar extends TestProcess {
  /** MCP. */
  readonly url: string;
  /** Base URL of health and metrics. */
  readonly ops: string;

  constructor(spec: ProgramSpec, addresses: { readonly url: string; readonly ops: string }) {
    super(spec);
    this.url = addresses.url;
    this.ops = addresses.ops;
  }
}

/** Something between the sidecars and one replica: where the sidecars are sent instead. */
export interface Detour extends Partial<AsyncDisposable> {
  readonly host: string;
  readonly port: number;
}

export interface MeshOptions {
  /** 1 when absent. */
  readonly replicas?: number;
  /** 1 when absent. */
  readonly sidecars?: number;
  /** `embedded` when absent; a group of keys is the whole `store` section. */
  readonly store?: 'embedded' | 'memory' | 'redis' | Readonly<Record<string, unknown>>;
  /** With `store: 'redis'`. */
  readonly redisUrl?: string;
  /** Keys of the control plane's configuration file; `mcpServers` at the least. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Whether requests without a token are served. */
  readonly anonymous?: boolean;
  /** Keys of the sidecars' configuration file. */
  readonly sidecarConfig?: Readonly<Record<string, unknown>>;
  /** More for the environment of every process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Lets the sidecars reach a replica through something else, a proxy that cuts or delays. */
  readonly via?: (replica: {
    readonly name: string;
    readonly host: string;
    readonly port: number;
  }) => Promise<Detour>;
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error' | 'as configured';
  /** Texts of files beside the configuration files. */
  readonly files?: Readonly<Record<string, string>>;
  /** Sidecar *i* has replica *i* as its home. */
  readonly spread?: boolean;
  /** Each replica has an address of its own, and the sidecars look all of them up by one name. */
  readonly headless?: boolean;
  /** Another build of the `outrigger` command for some: `a` is the first replica, `sidecar 1` the first sidecar. */
  readonly builds?: Readonly<Record<string, string>>;
  /** More for the environment of some processes, by the same names. */
  readonly envs?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Where its processes run; where the test does when absent. */
  readonly cwd?: string;
  /** False: returns as soon as the processes run. */
  readonly awaitReady?: boolean;
}

const HOST = '127.0.0.1';
const CONTROL_PLANE_FILE = 'control-plane.json';

/** Rejects with what the processes wrote when the mesh does not become ready; nothing is left running then. */
export async function startMesh(options: MeshOptions): Promise<Mesh> {
  await ensureBuilt();
  const folder = await mkdtemp(join(tmpdir(), 'outrigger-test-'));
  const mesh = new RunningMesh(folder);
  try {
    await mesh.start(options);
    return mesh;
  } catch (error) {
    await mesh[Symbol.asyncDispose]();
    throw error;
  }
}

class RunningMesh implements Mesh {
  readonly stateFolder: string;
  readonly #folder: string;
  readonly #replicas: Replica[] = [];
  readonly #sidecars: Sidecar[] = [];
  readonly #detours: Detour[] = [];
  readonly #service: HeadlessService;
  #options: MeshOptions | undefined;

  constructor(folder: string) {
    this.#folder = folder;
    this.stateFolder = join(folder, 'state');
    this.#service = new HeadlessService(folder);
  }

  get service(): HeadlessService {
    if (this.#options?.headless !== true) throw new Error('the sidecars of this mesh know addresses');
    return this.#service;
  }

  get replicas(): readonly Replica[] {
    return this.#replicas;
  }

  get sidecars(): readonly Sidecar[] {
    return this.#sidecars;
  }

  get sidecar(): Sidecar {
    const first = this.#sidecars[0];
    if (first === undefined) throw new Error('this mesh has no sidecar');
    return first;
  }

  get url(): string {
    return this.sidecar.url;
  }

  get urls(): readonly string[] {
    return this.#sidecars.map(({ url }) => url);
  }

  log(): string[] {
    return [...this.#replicas, ...this.#sidecars].flatMap((each) => each.log());
  }

  async configure(config: Readonly<Record<string, unknown>> | string): Promise<void> {
    if (this.#options === undefined) throw new Error('the mesh was not started');
    const text =
      typeof config === 'string' ? config : JSON.stringify(controlPlaneConfig({ ...this.#options, config }));
    await this.write(CONTROL_PLANE_FILE, text);
  }

  /** Whole or not at all, as an editor that takes care does it. */
  async write(name: string, text: string): Promise<void> {
    const fresh = join(this.#folder, `.${name}.new`);
    await writeFile(fresh, text);
    await rename(fresh, join(this.#folder, name));
  }

  async start(options: MeshOptions): Promise<void> {
    this.#options = options;
    const { replicas = 1, sidecars = 1, awaitReady = true } = options;
    const ports = await freePorts(1 + 3 * replicas + 2 * sidecars);
    const take = () => ports.pop() ?? 0;
    const shared = take();
    const files = await this.#writeFiles(options, `${this.#service.name}:${shared}`);
    const { logLevel = 'info', headless = false, builds = {}, envs = {}, cwd } = options;
    const buildOf = (name: string) => builds[name] ?? OUTRIGGER;
    const env = { ...keyEnvironment(), ...options.env };
    const around = (name: string) => ({
      env: { ...env, ...envs[name] },
      ...(cwd === undefined ? {} : { cwd }),
    });
    const common = [
      '--log-format',
      'json',
      ...(logLevel === 'as configured' ? [] : ['--log-level', logLevel]),
    ];
    for (let index = 0; index < replicas; index += 1) {
      const name = String.fromCharCode('a'.charCodeAt(0) + index);
      const args = ['control-plane', '--config', files.controlPlane, '--state', this.stateFolder];
      const connect = `${HOST}:${take()}`;
      if (options.config['connect'] !== undefined) args.push('--connect', connect);
      const place = headless ? { host: hostOf(index), port: shared } : { host: HOST, port: take() };
      this.#replicas.push(
        newReplica({
          name,
          ...place,
          opsPort: take(),
          connect,
          args: [buildOf(name), ...args, ...common],
          ...around(name),
        }),
      );
    }
    await Promise.all(this.#replicas.map((each) => each.start({ awaitReady })));
    if (headless) this.#service.has(this.#replicas.map(({ host }) => host));
    const addresses = headless ? this.#replicas.map(({ grpc }) => grpc) : await this.#addresses(options);
    for (let index = 0; index < sidecars; index += 1) {
      const node = options.spread === true ? nodeWithHome(index, addresses) : `node-${index + 1}`;
      const args = ['sidecar', '--config', files.sidecar, '--node', node];
      if (!headless) args.push(...addresses.flatMap((address) => ['--control-plane', address]));
      const name = `sidecar ${index + 1}`;
      const all = [...SIDECAR_NODE_FLAGS, buildOf(name), ...args, ...common];
      const program = { name, host: HOST, port: take(), opsPort: take(), args: all };
      const own = around(name);
      if (headless) Object.assign(own.env, this.#service.env);
      this.#sidecars.push(newSidecar({ ...program, ...own }));
    }
    await Promise.all(this.#sidecars.map((each) => each.start({ awaitReady })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#sidecars, ...this.#replicas].map((each) => each.kill('SIGKILL')));
    await Promise.all(this.#detours.map((each) => each[Symbol.asyncDispose]?.()));
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  async #addresses({ via }: MeshOptions): Promise<string[]> {
    return await Promise.all(
      this.#replicas.map(async ({ name, grpc }) => {
        if (via === undefined) return grpc;
        const detour = await via({ name, host: HOST, port: Number(grpc.split(':')[1]) });
        this.#detours.push(detour);
        return `${detour.host}:${detour.port}`;
      }),
    );
  }

  async #writeFiles(options: MeshOptions, dns: string): Promise<{ controlPlane: string; sidecar: string }> {
    const controlPlane = join(this.#folder, CONTROL_PLANE_FILE);
    const sidecar = join(this.#folder, 'sidecar.json');
    for (const [name, text] of Object.entries(options.files ?? {})) await this.write(name, text);
    await writeFile(controlPlane, JSON.stringify(controlPlaneConfig(options)));
    const found = options.headless === true ? { controlPlane: { dns } } : {};
    await writeFile(sidecar, JSON.stringify({ ...found, ...options.sidecarConfig }));
    return { controlPlane, sidecar };
  }
}

function controlPlaneConfig(options: MeshOptions): Record<string, unknown> {
  const { config, anonymous = false } = options;
  const store = storeSection(options);
  const identity = { anonymous, ...(config['identity'] as object | undefined) };
  const keys = store['type'] === 'redis' ? { keys: KEY_SECTION } : {};
  return { store, ...keys, ...config, identity };
}

function storeSection({ store = 'embedded', redisUrl }: MeshOptions): Readonly<Record<string, unknown>> {
  if (typeof store !== 'string') return store;
  if (store !== 'redis') return { type: store };
  if (redisUrl === undefined) throw new Error("store: 'redis' needs redisUrl");
  return { type: 'redis', url: redisUrl };
}

const KEY_SECTION = {
  server: [{ id: 'test', env: 'OUTRIGGER_TEST_SERVER_KEY' }],
  index: { current: { env: 'OUTRIGGER_TEST_INDEX_KEY' } },
};

/** With Redis a mesh brings its keys. */
function keyEnvironment(): Record<string, string> {
  const key = () => randomBytes(32).toString('base64');
  return { OUTRIGGER_TEST_SERVER_KEY: key(), OUTRIGGER_TEST_INDEX_KEY: key() };
}

/** All of 127.0.0.0/8 is this machine. */
function hostOf(index: number): string {
  return `127.0.0.${2 + index}`;
}

/** A node name whose sidecar prefers this one of the replicas. */
function nodeWithHome(index: number, addresses: readonly string[]): string {
  const home = addresses[index % addresses.length];
  for (let n = 1; ; n += 1) if (rendezvousOrder(`node-${n}`, addresses)[0] === home) return `node-${n}`;
}

interface ProgramOptions {
  readonly name: string;
  /** Of the mesh stream, or of MCP. */
  readonly host: string;
  readonly port: number;
  readonly opsPort: number;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

function newReplica(options: ProgramOptions & { readonly connect: string }): Replica {
  const { name, host, port, opsPort, connect } = options;
  const spec = specOf({ ...options, args: [...options.args, '--replica', name] });
  return new Replica(spec, { grpc: `${host}:${port}`, ops: `http://${HOST}:${opsPort}`, connect });
}

function newSidecar(options: ProgramOptions): Sidecar {
  const addresses = { url: `http://${HOST}:${options.port}/mcp`, ops: `http://${HOST}:${options.opsPort}` };
  return new Sidecar(specOf(options), addresses);
}

function specOf({ name, host, port, opsPort, args, env, cwd }: ProgramOptions): ProgramSpec {
  return {
    name,
    args: [...args, '--listen', `${host}:${port}`, '--ops', `${HOST}:${opsPort}`],
    env,
    ...(cwd === undefined ? {} : { cwd }),
    readyUrl: `http://${HOST}:${opsPort}/readyz`,
  };
}
