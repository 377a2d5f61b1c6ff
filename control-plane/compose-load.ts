import type { Program } from '../shared/lifecycle.ts';
import type { Logger } from '../shared/log.ts';
import { type Load, OverloadMonitor, RESOURCES } from '../shared/overload/monitor.ts';
import type { LiveSettings } from './live-settings.ts';
import type { Health } from './ops/health.ts';
import type { Metrics } from './ops/metrics.ts';
import type { ReachableBackends } from './reachable-backends.ts';
import type { MeshServer } from './rpc/mesh-server.ts';
import type { SessionPlane } from './session/session-plane.ts';

export interface LoadParts {
  readonly live: LiveSettings;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly program: Program;
  readonly health: Health;
}

/** What gives way when something is short. */
export interface Relieved {
  readonly sessions: SessionPlane;
  readonly mesh: MeshServer;
  readonly backends: ReachableBackends;
}

/**
 * Watches what this replica may run short of. While memory is, idle sessions leave it;
 * when nothing new is begun any more, sidecars are asked to go elsewhere, some at a time.
 */
export function watchLoad({ live, log, metrics, program, health }: LoadParts, parts: () => Relieved): Load {
  const load = new OverloadMonitor({
    settings: () => live.current.overload,
    log,
    onShed: (work, resource) => metrics.sheds.inc({ work, resource }),
    relieve(stage) {
      const { sessions, mesh } = parts();
      if (load.stageOf('heap') > 0 || load.stageOf('memory') > 0) sessions.manager.shrink();
      if (stage === 2) mesh.relieve();
    },
    onStage: () => parts().mesh.refresh(),
  });
  program.defer('overload', () => load.stop());
  health.require('overload', () => (load.shedding ? 'there is more to do here than can be done' : undefined));
  showLoad(metrics, load, parts);
  return load;
}

function showLoad(
  { overloadStage, restoresWaiting, restoresUnderway, handshakesWaiting, handshakesUnderway }: Metrics,
  load: OverloadMonitor,
  parts: () => Relieved,
): void {
  Object.assign(overloadStage, {
    collect() {
      for (const resource of RESOURCES) overloadStage.set({ resource }, load.stageOf(resource));
    },
  });
  Object.assign(restoresWaiting, {
    collect: () => restoresWaiting.set(parts().sessions.manager.restoresWaiting),
  });
  Object.assign(restoresUnderway, {
    collect: () => restoresUnderway.set(parts().sessions.manager.restoresUnderway),
  });
  Object.assign(handshakesWaiting, {
    collect() {
      handshakesWaiting.reset();
      for (const [backend, { waiting }] of parts().backends.handshakes())
        handshakesWaiting.set({ backend }, waiting);
    },
  });
  Object.assign(handshakesUnderway, {
    collect() {
      handshakesUnderway.reset();
      for (const [backend, { running }] of parts().backends.handshakes())
        handshakesUnderway.set({ backend }, running);
    },
  });
}
