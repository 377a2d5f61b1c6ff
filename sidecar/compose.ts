import { systemClock } from '../shared/clock.ts';
import type { Program } from '../shared/lifecycle.ts';
import type { Logger } from '../shared/log.ts';
import { OverloadMonitor, RESOURCES } from '../shared/overload/monitor.ts';
import { openTracer } from '../shared/telemetry/open-tracer.ts';
import type { Tracer } from '../shared/telemetry/tracer.ts';
import { VERSION } from '../shared/version.ts';
import { LocalLists } from './capabilities/local-lists.ts';
import type { Settings } from './config.ts';
import { heldTokenFromGrant } from './credentials/granted-token.ts';
import {
  bareTokenFromFile,
  type HeldToken,
  heldTokenFromFile,
  heldTokenFromValue,
} from './credentials/held-token.ts';
import { showAddress } from './http/address.ts';
import { Edge } from './http/edge.ts';
import { ExchangeWatch } from './http/exchange-watch.ts';
import { type Listener, listen } from './http/listener.ts';
import { TlsFromFiles } from './mesh/channel-security.ts';
import { createMeshClient, type ObservedMeshClient } from './mesh/client.ts';
import { SidecarMetrics } from './ops/metrics.ts';
import { startOps } from './ops/server.ts';

/** How long the streams to the replicas may take to end once the clients are served. */
const MESH_CLOSE_MS = 1_000;

/** What a shutdown may take beyond the time that open calls have. */
export const CLOSING_MS = 3_000;

/**
 * Builds a sidecar and starts it. It listens whether or not a replica can be
 * reached: until then clients are told to come back, and the readiness probe says
 * why. On the way out the clients' calls end first, then the streams, then health.
 */
export async function startSidecar(
  settings: Settings,
  { log, program }: { readonly log: Logger; readonly program: Pick<Program, 'defer'> },
): Promise<void> {
  const { listen: addresses, limits, timeouts } = settings;
  const metrics = new SidecarMetrics();
  let started = false;

  const about = { service: 'outrigger-sidecar', instance: settings.node };
  const tracer = await openTracer(settings.tracing, { ...about, log, program });
  if (tracer !== undefined) observeTraces(metrics, tracer);
  const lists = new LocalLists();
  program.defer('the lists answered here', async () => lists.close());
  const security = secure(settings, { log, program });
  const mesh = createMeshClient({
    lists,
    node: settings.node,
    build: VERSION,
    virtualServer: settings.virtualServer,
    replicas: settings.controlPlane,
    ...(security === undefined ? {} : { security }),
    workloadToken: workloadToken(settings, log),
    log,
  });
  program.defer('the mesh streams', () => mesh.close(MESH_CLOSE_MS));

  let listener: Listener | undefined;
  const load = new OverloadMonitor({
    settings: () => settings.overload,
    log,
    onShed: (work, resource) => metrics.shed(work, resource),
    relieve: () => listener?.relieve(),
    onLook: (lateMs) => metrics.late(lateMs),
  });
  program.defer('overload', () => load.stop());
  const edge = new Edge({
    mesh,
    lists,
    load,
    heldToken: await createHeldToken(settings, { log, program }),
    limits: {
      bodyBytes: limits.message,
      bufferedBytes: limits.buffered,
      streams: limits.streams,
      keepAliveMs: timeouts.keepAlive,
      stallMs: timeouts.stalledReader,
    },
    extraHosts: settings.allowedHosts,
    extraOrigins: settings.allowedOrigins,
    metrics,
    log,
    watch: new ExchangeWatch({ tracer, log }),
  });
  const ops = await startOps({
    ...addresses.ops,
    metrics,
    health: {
      get started() {
        return started;
      },
      get ready() {
        return started && mesh.connected && !edge.state.draining;
      },
    },
  });
  program.defer('health and metrics', () => ops.close());

  const serving = await listen({
    address: addresses.mcp,
    edge,
    maxConnections: limits.connections,
    headersTimeoutMs: timeouts.headers,
    requestTimeoutMs: timeouts.request,
    keepAliveTimeoutMs: timeouts.idle,
    log,
  });
  listener = serving;
  program.defer('the MCP endpoint', async () => {
    serving.stop();
    await edge.drain(timeouts.drain);
    await serving.close();
  });

  observe(metrics, { edge, listener: serving, mesh, lists });
  observeLoad(metrics, load);
  observeProcess(metrics);
  if (security !== undefined && settings.tls?.files.cert !== undefined) {
    metrics.watch({
      name: 'outrigger_sidecar_certificate_expiry_timestamp_seconds',
      help: 'When the certificate of the mesh stream ends.',
      type: 'gauge',
      read: () => security.end,
    });
  }
  started = true;
  const at = showAddress(serving.address);
  const url = serving.address.kind === 'unix' ? at : `http://${at}/mcp`;
  log.info('listening', { url, address: `${ops.host}:${ops.port}` });
}

function secure(
  { tls }: Settings,
  { log, program }: { readonly log: Logger; readonly program: Pick<Program, 'defer'> },
): TlsFromFiles | undefined {
  if (tls === undefined) return undefined;
  const security = new TlsFromFiles(tls, log);
  program.defer('certificates', async () => security.close());
  return security;
}

/** What proves which workload this is, where no certificate does. */
function workloadToken({ tls }: Settings, log: Logger): (() => string | undefined) | undefined {
  return tls?.workloadToken === undefined ? undefined : bareTokenFromFile({ file: tls.workloadToken, log });
}

async function createHeldToken(
  { token }: Settings,
  { log, program }: { readonly log: Logger; readonly program: Pick<Program, 'defer'> },
): Promise<HeldToken | undefined> {
  if (token === undefined) return undefined;
  if ('file' in token) return heldTokenFromFile({ file: token.file, log });
  if ('value' in token) return heldTokenFromValue(token.value);
  // Most sidecars need no OAuth client.
  const { requestToken } = await import('./credentials/token-grant.ts');
  const request = (signal: AbortSignal) => requestToken(token.grant, signal);
  const held = heldTokenFromGrant({ request, clock: systemClock, log });
  program.defer('the token grant', async () => held.stop());
  return held;
}

function observeLoad(metrics: SidecarMetrics, load: OverloadMonitor): void {
  metrics.watch({
    name: 'outrigger_sidecar_overload_stage',
    help: 'What is short: 0 nothing, 1 nothing new that lasts is begun, 2 nothing new is begun.',
    type: 'gauge',
    label: 'resource',
    read: () => RESOURCES.map((resource) => [resource, load.stageOf(resource)]),
  });
}

/** Home, others that stand ready, and those that only finish what is open. */
function streamStates(mesh: ObservedMeshClient): [state: string, count: number][] {
  const streams = mesh.streams();
  const leaving = streams.filter((stream) => stream.leaving).length;
  const home = streams.filter((stream) => stream.home && !stream.leaving).length;
  return [
    ['home', home],
    ['ready', streams.length - home - leaving],
    ['leaving', leaving],
  ];
}

function observeProcess(metrics: SidecarMetrics): void {
  const of = (name: string, help: string, type: 'gauge' | 'counter', read: () => number) =>
    metrics.watch({ name: `outrigger_sidecar_${name}`, help, type, read });
  metrics.watch({
    name: 'outrigger_sidecar_build_info',
    help: 'The version of this sidecar.',
    type: 'gauge',
    label: 'version',
    read: () => [[VERSION, 1]],
  });
  of('process_resident_memory_bytes', 'Resident memory.', 'gauge', () => process.memoryUsage.rss());
  of('nodejs_heap_size_used_bytes', 'Used heap.', 'gauge', () => process.memoryUsage().heapUsed);
  of('process_cpu_seconds_total', 'Processor time.', 'counter', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000_000;
  });
  const startedAt = (Date.now() - process.uptime() * 1_000) / 1_000;
  of('process_start_time_seconds', 'When it started, since 1970.', 'gauge', () => startedAt);
}

function observeTraces(metrics: SidecarMetrics, { counters }: Tracer): void {
  const counter = (name: string, help: string, read: () => number) =>
    metrics.watch({ name: `outrigger_sidecar_spans_${name}_total`, help, type: 'counter', read });
  counter('written', 'Spans of traces that the collector took.', () => counters.written);
  counter('lost', 'Spans of traces that the collector did not take.', () => counters.lost);
}

function observe(
  metrics: SidecarMetrics,
  {
    edge,
    listener,
    mesh,
    lists,
  }: { edge: Edge; listener: Listener; mesh: ObservedMeshClient; lists: LocalLists },
): void {
  const { state } = edge;
  const gauge = (name: string, help: string, read: () => number) =>
    metrics.watch({ name: `outrigger_sidecar_${name}`, help, type: 'gauge', read });
  const counter = (name: string, help: string, read: () => number) =>
    metrics.watch({ name: `outrigger_sidecar_${name}`, help, type: 'counter', read });
  gauge('home_stream_up', 'Whether a home stream to a replica stands.', () => (mesh.connected ? 1 : 0));
  metrics.watch({
    name: 'outrigger_sidecar_mesh_streams',
    help: 'Streams to replicas that stand, by state.',
    type: 'gauge',
    label: 'state',
    read: () => streamStates(mesh),
  });
  gauge('exchanges_waiting', 'Exchanges that wait for a replica.', () => mesh.waiting);
  gauge('exchanges_open', 'Exchanges in progress.', () => state.open.size);
  gauge('event_streams_open', 'Event streams to clients.', () => state.streams.size);
  gauge('buffered_bytes', 'Bytes held for slow clients.', () => state.buffers.held);
  counter('event_streams_cut_total', 'Event streams cut because nobody read them.', () => state.streams.cut);
  counter('lists_answered_total', 'Lists answered without a replica.', () => lists.counters.answered);
  gauge(
    'list_grants',
    'Sessions and credentials whose lists are answered here.',
    () => lists.counters.grants,
  );
  gauge('list_sets', 'Lists held.', () => lists.counters.sets);
  gauge('list_bytes', 'Bytes of lists held.', () => lists.counters.bytes);
  counter('connections_refused_total', 'Connections beyond the cap.', () => listener.connectionsRefused);
}
