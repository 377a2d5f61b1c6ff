import {
  McpClient as Client,
  type ClientOptions,
  Incoming,
  type McpClient,
  type Reply,
} from './mcp-client.ts';
import { type Mesh, type MeshOptions, startMesh } from './mesh.ts';
import { RecordingBackend, type Script } from './recording-backend.ts';

export { metric, until } from './story.ts';

export interface StageOptions {
  /** What each backend is, by its configured name. */
  readonly backends: Readonly<Record<string, Partial<Script>>>;
  /** Keys for the entries of the backends. */
  readonly entries?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Entries of no recording backend. */
  readonly more?: Readonly<Record<string, unknown>>;
  readonly naming?: Readonly<Record<string, unknown>>;
  /** More keys of the virtual server. */
  readonly server?: Readonly<Record<string, unknown>>;
  readonly limits?: Readonly<Record<string, unknown>>;
  /** Further sections of the configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Texts of files beside the configuration. */
  readonly files?: Readonly<Record<string, string>>;
  /** 1 when absent. */
  readonly replicas?: number;
  /** 1 when absent. */
  readonly sidecars?: number;
  /** Keys of the sidecars' configuration file. */
  readonly sidecarConfig?: Readonly<Record<string, unknown>>;
  /** The section of that name; without one the mesh takes anybody. */
  readonly identity?: Readonly<Record<string, unknown>>;
  /** More for the environment of every process of the mesh. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The stage of the message stories: backends that record, and a mesh before them. */
export interface Stage extends AsyncDisposable {
  readonly mesh: Mesh;
  backend(name: string): RecordingBackend;
  /** An initialized session of its own. */
  open(options?: Partial<ClientOptions>): Promise<McpClient>;
}

export async function startStage(options: StageOptions): Promise<Stage> {
  const backends = new Map<string, RecordingBackend>();
  for (const [name, script] of Object.entries(options.backends)) {
    backends.set(name, await RecordingBackend.start({ name, ...script }));
  }
  const stop = () => Promise.all([...backends.values()].map((each) => each.stop()));
  try {
    const mesh = await startMesh({ ...meshOptions(options, backends), env: options.env ?? {} });
    return {
      mesh,
      backend(name) {
        const backend = backends.get(name);
        if (backend === undefined) throw new Error(`no backend ${name}`);
        return backend;
      },
      open: (client = {}) => Client.open({ url: mesh.url, ...client }),
      async [Symbol.asyncDispose]() {
        await mesh[Symbol.asyncDispose]();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A POST of these very bytes in the client's session. */
export function post(
  client: McpClient,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  const own = { ...client.headers(), 'content-type': 'application/json', ...headers };
  return new Incoming(client.url, { headers: own, body }).reply();
}

function meshOptions(
  {
    entries = {},
    more = {},
    naming,
    server,
    limits = {},
    config: sections = {},
    files = {},
    replicas = 1,
    sidecars = 1,
    identity,
    sidecarConfig = {},
  }: StageOptions,
  backends: ReadonlyMap<string, RecordingBackend>,
): MeshOptions {
  const urls = [...backends].map(([name, { url }]) => [name, { url, ...entries[name] }]);
  const own = { ...server, ...(naming === undefined ? {} : { naming }) };
  const servers = Object.keys(own).length === 0 ? {} : { virtualServers: { default: own } };
  const named = identity === undefined ? {} : { identity };
  const config = {
    mcpServers: { ...Object.fromEntries(urls), ...more },
    ...servers,
    ...named,
    limits,
    ...sections,
  };
  const anonymous = identity === undefined;
  return { replicas, sidecars, store: 'embedded', anonymous, config, sidecarConfig, files };
}
