import { certificateEnd } from '../shared/config/certificates.ts';
import type { Tracer } from '../shared/telemetry/tracer.ts';
import { HEALTH_STATES } from './backend/health.ts';
import type { BackendRegistry } from './backend/registry.ts';
import { SET_STATES } from './capabilities/set-sender.ts';
import type { LiveSettings } from './live-settings.ts';
import type { Health } from './ops/health.ts';
import type { Metrics } from './ops/metrics.ts';
import type { MeshServer } from './rpc/mesh-server.ts';
import type { SessionPlane } from './session/session-plane.ts';

/** Gauges that are read off what there is, when somebody asks for metrics. */

export function countStreams(metrics: Metrics, mesh: MeshServer, sessions: SessionPlane): void {
  const collect = (gauge: { set(value: number): void }, read: () => number) =>
    Object.assign(gauge, { collect: () => gauge.set(read()) });
  collect(metrics.sessions, () => sessions.manager.size);
  collect(metrics.exchanges, () => mesh.streams().reduce((sum, { counters }) => sum + counters.exchanges, 0));
  const { meshStreams, capabilityLists } = metrics;
  Object.assign(meshStreams, {
    collect() {
      const streams = mesh.streams();
      const leaving = streams.filter((stream) => stream.leaving).length;
      meshStreams.set({ state: 'open' }, streams.length - leaving);
      meshStreams.set({ state: 'leaving' }, leaving);
    },
  });
  Object.assign(capabilityLists, {
    collect() {
      for (const state of SET_STATES) capabilityLists.set({ state }, 0);
      for (const stream of mesh.streams())
        for (const { state } of stream.sync()) if (state !== 'DISCONNECTED') capabilityLists.inc({ state });
    },
  });
}

export function showHealth({ ready }: Metrics, health: Health): void {
  Object.assign(ready, { collect: () => ready.set(health.ready().ok ? 1 : 0) });
}

export function countSpans({ spans }: Metrics, tracer: Tracer | undefined): void {
  if (tracer === undefined) return;
  Object.assign(spans, {
    collect() {
      spans.reset();
      spans.inc({ outcome: 'written' }, tracer.counters.written);
      spans.inc({ outcome: 'lost' }, tracer.counters.lost);
    },
  });
}

export function showCertificate({ certificateEnd: gauge }: Metrics, live: LiveSettings): void {
  if (live.current.meshTls === undefined) return;
  Object.assign(gauge, {
    collect: () => gauge.set(certificateEnd(live.current.meshTls?.certificates.cert ?? '')),
  });
}

/** One line for each backend and state: 1 for the state it is in. */
export function showBackends({ backendState }: Metrics, registry: BackendRegistry): void {
  Object.assign(backendState, {
    collect() {
      backendState.reset();
      for (const backend of registry.names) {
        const health = registry.health(backend);
        for (const state of HEALTH_STATES)
          backendState.set({ backend, state }, health?.state === state ? 1 : 0);
      }
    },
  });
}
