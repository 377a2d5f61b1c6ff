import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { BackendRegistry } from '../backend/registry.ts';
import type { CallCounts } from '../ops/call-counts.ts';
import type { History } from '../ops/history.ts';
import type { SessionManager } from '../session/session-manager.ts';
import type { BackendSettings, Settings } from '../settings.ts';
import {
  type BackendMessage,
  type ListSyncMessage,
  type SidecarMessage,
  SYNC_STATES,
} from './admin-messages.ts';
import { protoDuration, type Timestamp, timestamp } from './admin-values.ts';
import type { MeshServer } from './mesh-server.ts';
import type { ReplicaState } from './replica-directory.ts';

export interface AdminLocalOptions {
  readonly settings: () => Settings;
  readonly version: string;
  /** Of the gRPC port, `host:port`. */
  readonly address: () => string;
  readonly registry: BackendRegistry;
  readonly manager: SessionManager;
  readonly mesh: MeshServer;
  readonly configDigest: () => string;
  readonly callCounts: () => Promise<CallCounts>;
  readonly history: Pick<History, 'since'>;
}

const NANOS_PER_MS = 1_000_000;

/** What this replica knows of itself, of its backends and of its sidecars. */
export class AdminLocal {
  readonly #options: AdminLocalOptions;
  readonly #startedAt = Date.now();
  readonly #loop = monitorEventLoopDelay({ resolution: 10 });

  constructor(options: AdminLocalOptions) {
    this.#options = options;
    this.#loop.enable();
  }

  stop(): void {
    this.#loop.disable();
  }

  get replica(): string {
    return this.#options.settings().replica;
  }

  self(): ReplicaState {
    const { mesh, manager, version, address, configDigest } = this.#options;
    const streams = mesh.streams();
    return {
      name: this.replica,
      address: address(),
      version,
      state: mesh.away ? 'DRAINED' : mesh.ready ? 'SERVING' : 'NOT_READY',
      startedAt: this.#startedAt,
      sessions: manager.size,
      streams: streams.length,
      exchanges: streams.reduce((sum, { counters }) => sum + counters.exchanges, 0),
      configDigest: configDigest(),
    };
  }

  backends(): readonly BackendMessage[] {
    const { backends, virtualServers } = this.#options.settings();
    return backends.map((backend) => ({
      name: `backends/${backend.name}`,
      kind: backend.kind,
      place: placeOf(backend),
      credentialStrategy: backend.credential.strategy,
      virtualServers: virtualServers
        .filter((each) => each.backends.includes(backend.name))
        .map(({ name }) => name),
      replicas: [this.#healthOf(backend.name)],
    }));
  }

  /** The lists of one session that sidecars of this replica answer. */
  listsOf(adminName: string): readonly ListSyncMessage[] {
    const session = `sessions/${adminName}`;
    return this.sidecars().flatMap(({ lists }) => lists.filter((list) => list.session === session));
  }

  sidecars(): readonly SidecarMessage[] {
    const { mesh } = this.#options;
    const present = mesh.streams().map(({ node, virtualServer, stream, since, counters, sync }) => ({
      node,
      virtualServer,
      lists: sync(),
      streams: [
        { replica: this.replica, stream, sinceTime: timestamp(since), exchanges: counters.exchanges },
      ],
    }));
    const departed = mesh.departed().map((each) => ({ ...each, streams: [] }));
    return mergeSidecars(
      [...present, ...departed].map(({ node, virtualServer, lists, streams }) => ({
        name: `sidecars/${node}`,
        virtualServer,
        state: 'SYNCED',
        streams,
        lists: lists.map((each) => ({ ...each, session: `sessions/${each.session}`, sidecar: node })),
      })),
    );
  }

  async stats() {
    const { manager, callCounts } = this.#options;
    const { sessions, exchanges } = this.self();
    const { rss, heapUsed } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const delayMs = this.#loop.percentile(99) / NANOS_PER_MS;
    this.#loop.reset();
    const { backends, restores, failedRestores } = await callCounts();
    return {
      replica: this.replica,
      uptime: protoDuration(Date.now() - this.#startedAt),
      sessions,
      busySessions: [...manager.sessions()].filter(({ busy }) => busy).length,
      sidecars: this.sidecars().filter(({ streams }) => streams.length > 0).length,
      exchanges,
      residentBytes: rss,
      heapBytes: heapUsed,
      cpuTime: protoDuration((user + system) / 1_000),
      loopDelay: protoDuration(delayMs),
      backendCalls: backends.map(({ latency, ...calls }) => ({
        ...calls,
        latency: latency.map(({ withinMs, calls: count }) => ({
          within: protoDuration(withinMs),
          calls: count,
        })),
      })),
      restores,
      failedRestores,
    };
  }

  history(since: Timestamp | null) {
    const ms = since === null ? 0 : since.seconds * 1_000 + since.nanos / NANOS_PER_MS;
    const samples = this.#options.history.since(ms);
    return {
      replica: this.replica,
      samples: samples.map(({ at, periodMs, medianMs, p95Ms, mismatches, ...counts }) => ({
        ...counts,
        time: timestamp(at),
        period: protoDuration(periodMs),
        median: protoDuration(medianMs),
        p95: protoDuration(p95Ms),
        bindingMismatches: mismatches,
      })),
    };
  }

  #healthOf(name: string) {
    const { registry, manager } = this.#options;
    const health = registry.health(name);
    const wanting = [...manager.sessions()].filter(({ body }) => body.desired.includes(name));
    const open = wanting.filter(({ links }) => links.get(name)?.session !== undefined).length;
    return {
      replica: this.replica,
      state: (health?.state ?? 'unknown').toUpperCase(),
      sinceTime: health === undefined ? null : timestamp(health.since),
      lastFault: health?.lastFault ?? '',
      consecutiveFailures: health?.consecutiveFailures ?? 0,
      sessionsOpen: open,
      sessionsMissing: wanting.length - open,
    };
  }
}

/** One entry for each name, with all that was said of it. A sidecar that is connected anywhere is not disconnected. */
export function mergeSidecars(sidecars: readonly SidecarMessage[]): readonly SidecarMessage[] {
  const byName = new Map<string, SidecarMessage>();
  for (const each of sidecars) {
    const known = byName.get(each.name);
    byName.set(each.name, {
      ...each,
      streams: [...(known?.streams ?? []), ...each.streams],
      lists: [...(known?.lists ?? []), ...each.lists],
    });
  }
  return [...byName.values()].map((sidecar) => {
    const connected = sidecar.streams.length > 0;
    const lists = sidecar.lists.filter(({ state }) => !connected || state !== 'DISCONNECTED');
    const worst = Math.max(0, ...lists.map(({ state }) => SYNC_STATES.indexOf(state)));
    const state = connected ? (SYNC_STATES[worst] ?? 'SYNCED') : 'DISCONNECTED';
    return { ...sidecar, lists, state };
  });
}

export function mergeBackends(backends: readonly BackendMessage[]): readonly BackendMessage[] {
  const byName = new Map<string, BackendMessage>();
  for (const each of backends) {
    const known = byName.get(each.name);
    byName.set(
      each.name,
      known === undefined ? each : { ...known, replicas: [...known.replicas, ...each.replicas] },
    );
  }
  return [...byName.values()].map((each) => ({
    ...each,
    replicas: each.replicas.toSorted((one, other) => (one.replica < other.replica ? -1 : 1)),
  }));
}

/** Without a path, a query or a name, which may be secrets; of a program without its arguments. */
function placeOf(backend: BackendSettings): string {
  if (backend.kind === 'stdio') return backend.command;
  return URL.canParse(backend.url) ? new URL(backend.url).origin : '';
}
