import type { SessionPlane } from '../session/session-plane.ts';
import type { AdminAnswers } from './admin-answers.ts';
import { notFound } from './admin-fault.ts';
import { fieldsOf, masked } from './admin-fields.ts';
import type { Admin } from './admin-gate.ts';
import { type AdminLocal, mergeBackends, mergeSidecars } from './admin-local.ts';
import type {
  BackendMessage,
  GetRequest,
  ListBackendsResponse,
  ListRequest,
  ListSidecarsResponse,
  Named,
  ReplicaMessage,
  Scoped,
  SidecarMessage,
} from './admin-messages.ts';
import { ofOneReplica } from './admin-one-replica.ts';
import { pageOf } from './admin-pages.ts';
import type { AdminPeers, PeerAnswers } from './admin-peers.ts';
import { type Timestamp, timestamp } from './admin-values.ts';
import type { MeshServer } from './mesh-server.ts';
import type { KnownReplica, ReplicaDirectory } from './replica-directory.ts';

export interface FleetAnswersOptions {
  readonly plane: Pick<SessionPlane, 'refresh'>;
  readonly mesh: MeshServer;
  readonly local: AdminLocal;
  readonly peers: AdminPeers;
  readonly directory: ReplicaDirectory;
}

const BACKEND = fieldsOf<BackendMessage>({
  name: true,
  kind: true,
  place: true,
  credentialStrategy: true,
  virtualServers: true,
  replicas: true,
});
const SIDECAR = fieldsOf<SidecarMessage>({
  name: true,
  virtualServer: true,
  state: true,
  streams: true,
  lists: true,
});
const REPLICA = fieldsOf<ReplicaMessage>({
  name: true,
  address: true,
  version: true,
  state: true,
  startTime: true,
  heartbeatTime: true,
  sessions: true,
  streams: true,
  exchanges: true,
  configDigest: true,
});
/** What a peer is asked for: all of it. */
const EVERYTHING = { pageSize: 1_000 };

/** What is asked about backends, sidecars and replicas: each replica knows its own part. */
export function fleetAnswers(options: FleetAnswersOptions): AdminAnswers {
  const { local, mesh, peers, directory } = options;
  const one = { replica: local.replica, peers };
  return {
    methods: {
      listBackends: async (request: ListRequest & Scoped, admin) => {
        const { readMask } = request;
        const { backends, unreachable } = await allBackends(options, request, admin);
        const { page, nextPageToken } = pageOf(backends, { list: 'backends', request });
        const shown = page.map((each) => masked(each, { readMask, fields: BACKEND }));
        return { backends: shown, nextPageToken, unreachable };
      },
      getBackend: async ({ name, readMask }: GetRequest, admin) => {
        const { backends } = await allBackends(options, EVERYWHERE, admin);
        return masked(the(backends, { kind: 'backend', name }), { readMask, fields: BACKEND });
      },
      getSidecar: async ({ name, readMask }: GetRequest, admin) => {
        const { sidecars } = await allSidecars(options, EVERYWHERE, admin);
        return masked(the(sidecars, { kind: 'sidecar', name }), { readMask, fields: SIDECAR });
      },
      getReplica: async ({ name, readMask }: GetRequest) => {
        const replicas = (await directory.all()).map(replicaMessage);
        return masked(the(replicas, { kind: 'replica', name }), { readMask, fields: REPLICA });
      },
      refreshBackend: (request: Named & Scoped, admin) => refresh(options, request, admin),
      listSidecars: async (request: ListRequest & Scoped, admin) => {
        const { readMask } = request;
        const { sidecars, unreachable } = await allSidecars(options, request, admin);
        const { page, nextPageToken } = pageOf(sidecars, { list: 'sidecars', request });
        const shown = page.map((each) => masked(each, { readMask, fields: SIDECAR }));
        return { sidecars: shown, nextPageToken, unreachable };
      },
      listReplicas: async (request: ListRequest) => {
        const { readMask } = request;
        const replicas = (await directory.all()).map(replicaMessage);
        const { page, nextPageToken } = pageOf(replicas, { list: 'replicas', request });
        return { replicas: page.map((each) => masked(each, { readMask, fields: REPLICA })), nextPageToken };
      },
      drainReplica: (request: Named & Scoped, admin) =>
        ofOneReplica(one, { method: 'DrainReplica', request, admin }, () => {
          mesh.leave();
          return beaten(options);
        }),
      undrainReplica: (request: Named & Scoped, admin) =>
        ofOneReplica(one, { method: 'UndrainReplica', request, admin }, () => {
          mesh.comeBack();
          return beaten(options);
        }),
      getStats: async (request: Scoped, admin) => {
        const question = { method: 'GetStats', request: {}, admin };
        const asked = await others<StatsMessage>(options, request, question);
        const replicas = [await local.stats(), ...asked.answers.flatMap((each) => each.replicas)];
        return { replicas, unreachable: asked.unreachable };
      },
      getHistory: async (request: HistoryRequest, admin) => {
        const { sinceTime } = request;
        const question = { method: 'GetHistory', request: { sinceTime }, admin };
        const asked = await others<StatsMessage>(options, request, question);
        const replicas = [local.history(sinceTime), ...asked.answers.flatMap((each) => each.replicas)];
        return { replicas, unreachable: asked.unreachable };
      },
    },
    watches: {
      watchBackends: ({ resumeToken }: { readonly resumeToken: string }, admin) => ({
        of: 'backends',
        resumeToken,
        list: async () => (await allBackends(options, EVERYWHERE, admin)).backends,
        event: (type, backend) => ({ type, backend }),
      }),
    },
  };
}

const EVERYWHERE: Scoped = { localOnly: false };

interface StatsMessage {
  readonly replicas: readonly object[];
}

interface HistoryRequest extends Scoped {
  readonly sinceTime: Timestamp | null;
}

/** What the peers say, unless this replica alone was asked. */
export async function others<Message>(
  { peers }: Pick<FleetAnswersOptions, 'peers'>,
  { localOnly }: Scoped,
  question: Parameters<AdminPeers['ask']>[0],
): Promise<PeerAnswers<Message>> {
  return localOnly ? { answers: [], unreachable: [] } : peers.ask<Message>(question);
}

async function allBackends(options: FleetAnswersOptions, scope: Scoped, admin: Admin) {
  const question = { method: 'ListBackends', request: EVERYTHING, admin };
  const { answers, unreachable } = await others<ListBackendsResponse>(options, scope, question);
  const all = [...options.local.backends(), ...answers.flatMap(({ backends }) => backends)];
  return { backends: mergeBackends(all), unreachable };
}

async function allSidecars(options: FleetAnswersOptions, scope: Scoped, admin: Admin) {
  const question = { method: 'ListSidecars', request: EVERYTHING, admin };
  const { answers, unreachable } = await others<ListSidecarsResponse>(options, scope, question);
  const all = [...options.local.sidecars(), ...answers.flatMap(({ sidecars }) => sidecars)];
  return { sidecars: mergeSidecars(all), unreachable };
}

async function refresh(
  options: FleetAnswersOptions,
  { name, localOnly }: Named & Scoped,
  admin: Admin,
): Promise<object> {
  the(options.local.backends(), { kind: 'backend', name });
  const question = { method: 'RefreshBackend', request: { name }, admin };
  const asked = await others<{ readonly sessionCount: number }>(options, { localOnly }, question);
  const own = options.plane.refresh(name.slice('backends/'.length));
  const sessionCount = asked.answers.reduce((sum, each) => sum + each.sessionCount, own);
  return { sessionCount, unreachable: asked.unreachable };
}

/** Others see it at once, and not with the next beat. */
async function beaten({ local: { replica }, directory }: FleetAnswersOptions): Promise<ReplicaMessage> {
  await directory.beat();
  const self = (await directory.all()).find((each) => each.name === replica);
  if (self === undefined) throw notFound(`replica "${replica}"`);
  return replicaMessage(self);
}

function the<T extends Named>(
  entries: readonly T[],
  { kind, name }: { readonly kind: string; readonly name: string },
): T {
  const found = entries.find((each) => each.name === name);
  if (found === undefined) throw notFound(`${kind} "${name}"`);
  return found;
}

function replicaMessage({ name, startedAt, beatAt, ...rest }: KnownReplica): ReplicaMessage {
  return {
    ...rest,
    name: `replicas/${name}`,
    startTime: timestamp(startedAt),
    heartbeatTime: timestamp(beatAt),
  };
}
