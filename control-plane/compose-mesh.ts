import type { Logger } from '../shared/log.ts';
import type { Load } from '../shared/overload/monitor.ts';
import { VERSION } from '../shared/version.ts';
import type { CapabilityHub } from './capabilities/hub.ts';
import { workloadRules } from './compose-workloads.ts';
import type { IdentityVerifier } from './identity/caller.ts';
import type { LiveSettings } from './live-settings.ts';
import { namedServer } from './named-server.ts';
import { countExchanges } from './observe.ts';
import type { Metrics } from './ops/metrics.ts';
import type { MeshCredentials } from './rpc/mesh-credentials.ts';
import { createMeshServer, type MeshServer } from './rpc/mesh-server.ts';
import type { WelcomeFacts } from './rpc/mesh-service.ts';
import type { SessionPlane } from './session/session-plane.ts';
import type { VirtualServer } from './session/virtual-server.ts';
import type { Settings, VirtualServerSettings } from './settings.ts';
import type { SessionStore } from './store/session-store.ts';
import { replaySafeNames } from './virtual-server/naming.ts';

export interface MeshParts {
  readonly live: LiveSettings;
  readonly load: Load;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly sessions: SessionPlane;
  readonly store: SessionStore;
  readonly capabilities: CapabilityHub;
  readonly verifier: IdentityVerifier;
  /** TLS; undefined: plain text, on loopback. */
  readonly credentials: MeshCredentials | undefined;
}

/** The gRPC server, and what it tells the sidecars. */
export function meshServer(parts: MeshParts): MeshServer {
  const { live, log, metrics, load, sessions, store, capabilities, verifier, credentials } = parts;
  const { replica, limits } = live.current;
  return createMeshServer({
    replica,
    build: VERSION,
    verifier,
    handle: sessions.handle,
    count: countExchanges(metrics),
    openFeed: (port) => capabilities.open(port),
    overloaded: () => load.shedding,
    ready: () => store.ready,
    welcome: (peer) => welcome(live.current, peer.virtualServer),
    log,
    limits: { maxMessageBytes: limits.messageBytes },
    ...(credentials === undefined ? {} : { credentials, workloads: workloadRules(live, log) }),
  });
}

function welcome(settings: Settings, server: string): WelcomeFacts {
  const { advertise, identity } = settings;
  return {
    resource: advertise.resource ?? '',
    issuers: identity.issuers.map(({ issuer }) => issuer),
    scopes: basicScopes(settings),
    anonymous: identity.anonymous,
    replaySafeTools: replaySafeTools(settings, namedServer(settings, server)),
    proofs: identity.proofs,
  };
}

/** What a client asks for that has not been told more: what is advertised, and what every token needs. */
function basicScopes({ advertise, identity }: Settings): string[] {
  const required = identity.issuers.flatMap((issuer) => issuer.requiredScopes);
  return [...new Set([...advertise.scopes, ...required])];
}

/** Under the names by which the client calls them, and which certainly mean them. */
function replaySafeTools(
  settings: Settings,
  server: VirtualServerSettings | VirtualServer | undefined,
): string[] {
  if (server === undefined) return [];
  return settings.backends
    .filter(({ name }) => server.backends.includes(name))
    .flatMap(({ name, replaySafe }) => replaySafeNames(server, name, [...replaySafe]));
}
