import { randomBytes } from 'node:crypto';
import { startIssuer, type TokenOptions } from './issuer.ts';
import { type ClientOptions, McpClient } from './mcp-client.ts';
import type { Mesh, Replica } from './mesh.ts';
import type { RecordingBackend } from './recording-backend.ts';
import { metric, type StageOptions, startStage, until } from './stage.ts';

export { until } from './stage.ts';

/** Everything twice or more: callers with tokens of their own, two replicas, three backends that record. */
export interface Company extends AsyncDisposable {
  readonly mesh: Mesh;
  backend(name: string): RecordingBackend;
  token(sub: string, options?: TokenOptions): string;
  /** A session of its own for this caller. One joins after the other. */
  join(sub: string, options?: Partial<ClientOptions>): Promise<Member>;
  /** Kills the replica that has the sessions. The sidecar knows when this resolves. */
  loseOwner(): Promise<Replica>;
  /** It runs again, and the sidecar has a stream to it. */
  bringBack(replica: Replica): Promise<void>;
}

/** One caller's session. */
export interface Member {
  readonly client: McpClient;
  /** The id that this backend gave to the session. */
  at(backend: string): string;
}

export interface CompanyOptions extends Partial<Omit<StageOptions, 'identity' | 'replicas'>> {
  /** Keys of the identity section, beside its issuer. */
  readonly identity?: Readonly<Record<string, unknown>>;
}

/** What nobody may touch: a number's spelling, an unsafe integer, the order of keys, escapes, odd names. */
export const ODD =
  '{"z":1.0,"big":123456789012345678901,"a":"\\u00e9\\/","nested":{"__proto__":{"x":1},"e":1E+2}}';

/** Far more than it is idle: a sidecar that has a home is in no hurry to find a second replica again. */
const BACK_WITHIN_MS = 35_000;

export async function startCompany(options: CompanyOptions = {}): Promise<Company> {
  const issuer = await startIssuer();
  const { backends = { alpha: {}, beta: {}, gamma: {} }, identity = {} } = options;
  const { url, jwksUri, audience } = issuer;
  const issuers = [{ issuer: url, jwksUri, audiences: [audience] }];
  const stage = await startStage({
    ...options,
    backends,
    replicas: 2,
    identity: { issuers, ...identity },
  }).catch(async (error: unknown) => {
    await issuer.stop();
    throw error;
  });
  const { mesh } = stage;
  const names = Object.keys(backends);
  const token = (sub: string, more: TokenOptions = {}) => issuer.token({ sub, ...more });
  return {
    mesh,
    backend: (name) => stage.backend(name),
    token,
    async join(sub, client = {}) {
      const before = names.map((name) => stage.backend(name).view.sessions.length);
      const opened = await stage.open({ token: token(sub), ...client });
      const own = new Map(
        names.map((name, at) => [name, stage.backend(name).view.sessions.slice(before[at])[0]?.id]),
      );
      return {
        client: opened,
        at(name) {
          const id = own.get(name);
          if (id === undefined) throw new Error(`${sub} has no session at ${name}`);
          return id;
        },
      };
    },
    async loseOwner() {
      const counts = await Promise.all(mesh.replicas.map((each) => metric(each, 'outrigger_sessions')));
      const owner = mesh.replicas.find((_, at) => (counts[at] ?? 0) > 0);
      if (owner === undefined) throw new Error('no replica has a session');
      await owner.kill('SIGKILL');
      const stranger = new McpClient({ url: mesh.url, token: token('nobody') });
      stranger.sessionId = randomBytes(48).toString('base64url');
      await until('the sidecar knows', async () => (await stranger.request('ping')).status === 404);
      return owner;
    },
    async bringBack(replica) {
      await replica.start();
      const streams = () => metric(mesh.sidecar, 'outrigger_sidecar_mesh_streams');
      await until('the sidecar has both replicas', async () => (await streams()) === 2, BACK_WITHIN_MS);
    },
    async [Symbol.asyncDispose]() {
      await stage[Symbol.asyncDispose]();
      await issuer.stop();
    },
  };
}
