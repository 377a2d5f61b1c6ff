import { isDeepStrictEqual } from 'node:util';
import { systemClock } from '../shared/clock.ts';
import type { Logger } from '../shared/log.ts';
import type { LogLevels } from '../shared/log-levels.ts';
import { VERSION } from '../shared/version.ts';
import type { BackendRegistry } from './backend/registry.ts';
import type { AdminSettings } from './config-admin.ts';
import type { IdentityVerifier } from './identity/caller.ts';
import { LiveVerifier } from './identity/live-verifier.ts';
import type { Keys } from './keys.ts';
import type { LiveSettings } from './live-settings.ts';
import type { CallCounts } from './ops/call-counts.ts';
import type { History } from './ops/history.ts';
import { type ConfigControl, configAnswers } from './rpc/admin-config-answers.ts';
import { fleetAnswers } from './rpc/admin-fleet-answers.ts';
import { AdminGate } from './rpc/admin-gate.ts';
import { AdminLocal } from './rpc/admin-local.ts';
import { logLevelAnswers } from './rpc/admin-log-level.ts';
import { AdminPeers } from './rpc/admin-peers.ts';
import { AdminQuestions } from './rpc/admin-questions.ts';
import { adminService } from './rpc/admin-service.ts';
import { sessionAnswers } from './rpc/admin-session-answers.ts';
import { AdminSessions } from './rpc/admin-sessions.ts';
import { AdminWatches } from './rpc/admin-watch.ts';
import { channelzService } from './rpc/channelz-service.ts';
import type { MeshServer } from './rpc/mesh-server.ts';
import { ReplicaDirectory } from './rpc/replica-directory.ts';
import type { Admission } from './session/admission.ts';
import type { Audit } from './session/audit.ts';
import { RecordCrypto } from './session/record-crypto.ts';
import { RecordNames } from './session/record-names.ts';
import type { SessionPlane } from './session/session-plane.ts';
import type { SessionStore } from './store/session-store.ts';

export interface AdminParts {
  readonly live: LiveSettings;
  readonly log: Logger;
  readonly levels: LogLevels;
  readonly store: SessionStore;
  readonly keys: Keys;
  readonly registry: BackendRegistry;
  readonly admission: Admission;
  readonly sessions: SessionPlane;
  readonly mesh: MeshServer;
  readonly verifier: IdentityVerifier;
  readonly audit: Audit;
  /** Of the gRPC port, once it is known. */
  readonly address: () => string;
  readonly config: () => ConfigControl;
  /** Of this replica's calls and restores. */
  readonly callCounts: () => Promise<CallCounts>;
  readonly history: Pick<History, 'since'>;
}

export interface AdminApi {
  /** The same questions without gRPC. */
  readonly questions: AdminQuestions;
  /** The other replicas hear of this one from now on. */
  start(): void;
  /** Ends the watches; before the server waits for its calls. */
  endWatches(): void;
  stop(): Promise<void>;
}

/** Puts the admin API together and adds it to the gRPC server. Where configuration has none, it says so to whoever asks. */
export function administer(parts: AdminParts): AdminApi {
  const { live, log, store, keys, registry, admission, sessions, mesh, address, config } = parts;
  const { replica, limits } = live.current;
  const crypto = new RecordCrypto(keys.server);
  const settings = () => live.current;
  const local = new AdminLocal({
    settings,
    version: VERSION,
    address,
    registry,
    manager: sessions.manager,
    mesh,
    configDigest: () => config().digest,
    callCounts: parts.callCounts,
    history: parts.history,
  });
  const directory = new ReplicaDirectory({
    store,
    crypto,
    clock: systemClock,
    self: () => local.self(),
    enabled: () => live.current.admin !== undefined,
  });
  const peers = new AdminPeers({ replica, directory, tls: () => live.current.meshTls });
  const names = new RecordNames(keys.index);
  const stored = new AdminSessions({ store, crypto, names, manager: sessions.manager, limits });
  const answers = [
    sessionAnswers({ settings, sessions: stored, plane: sessions, admission, registry, local, peers }),
    fleetAnswers({ plane: sessions, mesh, local, peers, directory }),
    configAnswers({ settings, config, peers }),
    logLevelAnswers({ replica, levels: parts.levels, peers }),
  ];
  const watches = new AdminWatches();
  const gate = adminGate(parts);
  mesh.administer(adminService({ replica, gate, answers, watches, audit: parts.audit, log }), [
    channelzService(gate),
  ]);
  return {
    questions: new AdminQuestions({ gate, answers, audit: parts.audit, log }),
    start: () => directory.start(),
    endWatches: () => watches.stop(),
    async stop() {
      local.stop();
      await directory.stop();
    },
  };
}

/** Follows the configuration: who is an admin may change, and with it whose word counts. */
function adminGate({ live, log, verifier: callers }: AdminParts): AdminGate {
  const make = (admin: AdminSettings | undefined) =>
    admin?.role === undefined ? undefined : new LiveVerifier(admin.identity, { clock: systemClock, log });
  let verifier = make(live.current.admin);
  live.onChange((next, before) => {
    const other = isDeepStrictEqual(next.admin, before.admin) ? verifier : make(next.admin);
    return () => {
      verifier = other;
    };
  });
  return new AdminGate({
    settings: () => live.current.admin,
    verifier: () => verifier,
    callers,
    replicas: () => live.current.meshTls?.replicas ?? [],
  });
}
