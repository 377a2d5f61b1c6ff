import { systemClock } from '../shared/clock.ts';
import type { Logger } from '../shared/log.ts';
import type { Load } from '../shared/overload/monitor.ts';
import type { Tracer } from '../shared/telemetry/tracer.ts';
import { VERSION } from '../shared/version.ts';
import type { Keys } from './keys.ts';
import type { LiveSettings } from './live-settings.ts';
import { namedServer } from './named-server.ts';
import { observeSessions } from './observe.ts';
import type { Metrics } from './ops/metrics.ts';
import type { ReachableBackends } from './reachable-backends.ts';
import type { Admission } from './session/admission.ts';
import type { Audit } from './session/audit.ts';
import type { CallLimits } from './session/call-limits.ts';
import { watchExchanges } from './session/exchange-watch.ts';
import type { ShownItems } from './session/list-reads.ts';
import type { ListWatcher } from './session/list-watcher.ts';
import type { InviteToLogin } from './session/login-elicitations.ts';
import { type BackendPolicy, createSessionPlane, type SessionPlane } from './session/session-plane.ts';
import type { BackendSettings, Settings } from './settings.ts';
import type { SessionStore } from './store/session-store.ts';

export interface SessionParts {
  readonly live: LiveSettings;
  readonly tracer: Tracer | undefined;
  readonly load: Load;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly audit: Audit;
  readonly callLimits: CallLimits;
  readonly store: SessionStore;
  readonly backends: ReachableBackends;
  readonly keys: Keys;
  readonly admission: Admission;
  readonly watcher: ListWatcher;
  readonly inviteToLogin: InviteToLogin | undefined;
  readonly ended: (sessionId: string) => void;
  readonly onItems: (list: ShownItems) => void;
}

/** The sessions of this replica, by its configuration as it is now. */
export function sessionPlane(parts: SessionParts): SessionPlane {
  const { live, log, metrics, audit, tracer, store, backends, keys, admission, watcher, ended } = parts;
  return createSessionPlane({
    replica: live.current.replica,
    build: VERSION,
    store,
    clock: systemClock,
    keys,
    backends: backends.all,
    policy: policies(live),
    virtualServer: (name) => namedServer(live.current, name),
    admission,
    limits: live.part(({ limits, identity }) => ({ ...limits, tokenGraceMs: identity.tokenGraceMs })),
    grantableScopes: () => grantableScopes(live.current),
    callLimits: parts.callLimits,
    load: parts.load,
    observer: observeSessions({ metrics, log, audit, tracer }),
    watch: watchExchanges({ tracer, log }),
    onSessionEnded: ended,
    ...(parts.inviteToLogin === undefined ? {} : { inviteToLogin: parts.inviteToLogin }),
    onItems: parts.onItems,
    watcher,
    onFault: (error, request) => log.error('a request failed', { reason: error.reason, request, error }),
  });
}

/** By backend. One that left the configuration keeps its own for the calls that are still under way. */
function policies(live: LiveSettings): (backend: string) => BackendPolicy {
  const known = new Map<string, BackendPolicy>();
  const learn = (settings: Settings) => {
    for (const backend of settings.backends) known.set(backend.name, policyOf(backend));
  };
  learn(live.current);
  live.onChange((next) => () => learn(next));
  return (name) => known.get(name) ?? NO_POLICY;
}

function policyOf({ timeouts, onStateLoss }: BackendSettings): BackendPolicy {
  return { ...timeouts, onStateLoss };
}

/** For a backend that a session still desires and configuration no longer has; nothing is sent to it. */
const NO_POLICY: BackendPolicy = { initializeMs: 0, requestMs: 0, humanPacedMs: 0, onStateLoss: 'error' };

/** Every scope that configuration names, so that an issuer of ours is taken to know it. */
function grantableScopes({ advertise, identity, admission }: Settings): ReadonlySet<string> {
  return new Set([
    ...advertise.scopes,
    ...identity.issuers.flatMap(({ requiredScopes }) => requiredScopes),
    ...Object.entries(identity.scopeImplies).flat(2),
    ...[...admission.backends.values()].flatMap(({ all, tools }) => [all, ...tools.values()].flat()),
  ]);
}
