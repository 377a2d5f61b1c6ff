import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { Durations } from '../../shared/durations.ts';
import { VERSION } from '../../shared/version.ts';
import type { StoreAlarmKind } from '../store/hooks.ts';

type LostReason = Extract<StoreAlarmKind, 'session_lost' | 'record_quarantined'> | 'unknown_key';

/**
 * What a replica counts. Label values are configured names and closed sets of
 * words; never a session, a caller, a tool or anything else that a client chose.
 */
export interface Metrics {
  readonly registry: Registry;
  /** Live sessions in this replica. */
  readonly sessions: Gauge;
  /** Seconds, by how the restore ended. */
  readonly restores: Histogram<'result'>;
  /** Sessions taken over from another replica. */
  readonly takeovers: Counter;
  /** Requests that named a session of another principal. */
  readonly bindingMismatches: Counter;
  /** Sessions that the store should have had: evicted, corrupt or unreadable records. */
  readonly sessionsLost: Counter<'reason'>;
  /** Seconds, by the backend's configured name and how its call ended. */
  readonly backendCalls: Durations<'backend' | 'outcome'>;
  /** Seconds, by the backend for which a provider was asked for a credential, and what came of it. */
  readonly credentialIssues: Histogram<'backend' | 'strategy' | 'outcome'>;
  /** People who came by browser to log in, by what came of it. */
  readonly logins: Counter<'result'>;
  /** 1 for the state that a backend is in, 0 for the others, by its configured name. */
  readonly backendState: Gauge<'backend' | 'state'>;
  /** Errors, refusals and dangerous settings of the store. */
  readonly storeAlarms: Counter<'kind'>;
  /** 1 where a readiness probe would succeed now, else 0. */
  readonly ready: Gauge;
  /** Streams of sidecars by state: `open`, or `leaving` for one that takes nothing new. */
  readonly meshStreams: Gauge<'state'>;
  /** Exchanges open on all mesh streams. */
  readonly exchanges: Gauge;
  /** Frames that came for an exchange or a request that was already over. */
  readonly lateFrames: Counter<'kind'>;
  /** Requests that were not admitted: denied, or for want of a scope. */
  readonly admissionRefusals: Counter<'backend' | 'reason'>;
  /** Distinct definitions of tools and prompts that live sessions are shown, by how they stand to what was approved. */
  readonly toolDefinitions: Gauge<'backend' | 'state'>;
  /** Definitions that came to be others than those that were approved, or came back. */
  readonly toolChanges: Counter<'backend' | 'state'>;
  /** Readings of the configuration in a running replica: `applied`, `unchanged` or `rejected`. */
  readonly configReloads: Counter<'result'>;
  /** 1 where the last reading was right, 0 where it was refused. */
  readonly configReloadOk: Gauge;
  /** 1 under the digest of the configuration in force; replicas that have the same say the same. */
  readonly configInfo: Gauge<'digest'>;
  /** Evaluations of policies that failed, and so did not permit. */
  readonly policyErrors: Counter;
  /** When the certificate of the mesh stream ends, in seconds since 1970; 0 without TLS. */
  readonly certificateEnd: Gauge;
  /** Requests whose version header is another than their session negotiated. */
  readonly otherVersions: Counter;
  /** Audit events that could not be kept. */
  readonly auditLost: Counter;
  /** Spans of traces: the collector took them, or did not get them. */
  readonly spans: Counter<'outcome'>;
  /** Calls whose limits could not be counted, because the store could not be reached. */
  readonly limitErrors: Counter;
  /** What is short: 0 nothing, 1 nothing new that lasts is begun, 2 nothing new is begun. */
  readonly overloadStage: Gauge<'resource'>;
  /** Work that was refused for overload. */
  readonly sheds: Counter<'work' | 'resource'>;
  /** Requests that wait until their sessions' turns to be restored. */
  readonly restoresWaiting: Gauge;
  /** Sessions that wait for their turn to be opened at a backend. */
  readonly handshakesWaiting: Gauge<'backend'>;
  readonly restoresUnderway: Gauge;
  readonly handshakesUnderway: Gauge<'backend'>;
  readonly sessionsCreated: Counter;
  /** Sessions that left this replica, by why. */
  readonly sessionsEnded: Counter<'reason'>;
  /** Requests that the mesh itself answered with an error, by its reason. */
  readonly requestErrors: Counter<'reason'>;
  /** How long exchanges took, by how they ended; of a client that only listens, until its stream began. */
  readonly exchangeDurations: Durations<'kind' | 'outcome'>;
  /** How long the store took, by what it was asked. */
  readonly storeOperations: Durations<'operation' | 'outcome'>;
  /** From hearing that a list of a session changed to its sidecar's having the new one. */
  readonly convergence: Durations;
  /** Lists that sidecars were sent, by how they answered. */
  readonly capabilityPushes: Counter<'result'>;
  /** Lists that sidecars may answer, by how far each sidecar is. */
  readonly capabilityLists: Gauge<'state'>;
}

const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Counted from nothing on: an increase from no number to one is none to Prometheus, and nobody is woken. */
const LOST: Readonly<Record<LostReason, 0>> = { session_lost: 0, record_quarantined: 0, unknown_key: 0 };
const ALARMS: Readonly<Record<StoreAlarmKind, 0>> = {
  eviction_policy: 0,
  credentials_refused: 0,
  record_quarantined: 0,
  session_lost: 0,
  store_full: 0,
  clock_skew: 0,
  store_flushed: 0,
};

/** Beside prom-client's own metrics those that count every call. */
class MeshRegistry extends Registry {
  readonly #durations: readonly { render(): string }[];

  constructor(durations: readonly { render(): string }[]) {
    super();
    this.#durations = durations;
  }

  override async metrics(): Promise<string> {
    return [await super.metrics(), ...this.#durations.map((each) => each.render())].join('\n');
  }
}

export function createMetrics(): Metrics {
  const exchangeDurations = new Durations({
    name: 'outrigger_exchange_seconds',
    help: 'Exchanges by kind and how they ended, and how long they took.',
    labels: ['kind', 'outcome'],
  });
  const storeOperations = new Durations({
    name: 'outrigger_store_operation_seconds',
    help: 'Operations of the session store by outcome, and how long they took.',
    labels: ['operation', 'outcome'],
  });
  const convergence = new Durations({
    name: 'outrigger_capability_convergence_seconds',
    help: 'From hearing that a list changed until a sidecar had the new one.',
  });
  const backendCalls = new Durations({
    name: 'outrigger_backend_call_seconds',
    help: 'Calls of backends by outcome, and how long they took.',
    labels: ['backend', 'outcome'],
  });
  const registry = new MeshRegistry([exchangeDurations, storeOperations, convergence, backendCalls]);
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: 'outrigger_' });
  new Gauge({
    name: 'outrigger_build_info',
    help: 'The version of this replica.',
    labelNames: ['version'],
    registers,
  }).set({ version: VERSION }, 1);
  const metrics: Metrics = {
    registry,
    exchangeDurations,
    storeOperations,
    convergence,
    backendCalls,
    ready: new Gauge({
      name: 'outrigger_ready',
      help: 'Whether this replica takes work: 1, or 0.',
      registers,
    }),
    sessionsCreated: new Counter({
      name: 'outrigger_sessions_created_total',
      help: 'Sessions that clients began here.',
      registers,
    }),
    sessionsEnded: new Counter({
      name: 'outrigger_sessions_ended_total',
      help: 'Sessions that left this replica, by why: closed, expired, taken by another replica, or evicted to be restored later.',
      labelNames: ['reason'],
      registers,
    }),
    requestErrors: new Counter({
      name: 'outrigger_request_errors_total',
      help: 'Requests within sessions that the mesh itself answered with an error, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    capabilityPushes: new Counter({
      name: 'outrigger_capability_pushes_total',
      help: 'Lists that sidecars were sent and have answered for, by answer.',
      labelNames: ['result'],
      registers,
    }),
    capabilityLists: new Gauge({
      name: 'outrigger_capability_lists',
      help: 'Lists that connected sidecars may answer by themselves, by how far they are with each.',
      labelNames: ['state'],
      registers,
    }),
    restoresUnderway: new Gauge({
      name: 'outrigger_restores_underway',
      help: 'Sessions that are being restored.',
      registers,
    }),
    handshakesUnderway: new Gauge({
      name: 'outrigger_backend_handshakes_underway',
      help: 'Sessions that are being opened at a backend.',
      labelNames: ['backend'],
      registers,
    }),
    sessions: new Gauge({ name: 'outrigger_sessions', help: 'Live sessions in this replica.', registers }),
    restores: new Histogram({
      name: 'outrigger_restore_seconds',
      help: 'Restores of sessions by result, and how long they took.',
      labelNames: ['result'],
      buckets: SECONDS,
      registers,
    }),
    takeovers: new Counter({
      name: 'outrigger_takeovers_total',
      help: 'Sessions taken over from another replica.',
      registers,
    }),
    bindingMismatches: new Counter({
      name: 'outrigger_session_binding_mismatches_total',
      help: 'Requests that named a session of another principal.',
      registers,
    }),
    sessionsLost: new Counter({
      name: 'outrigger_session_lost_total',
      help: 'Sessions whose record was evicted, corrupt or unreadable.',
      labelNames: ['reason'],
      registers,
    }),
    credentialIssues: new Histogram({
      name: 'outrigger_credential_exchange_seconds',
      help: 'Credentials asked of providers by outcome, and how long that took.',
      labelNames: ['backend', 'strategy', 'outcome'],
      buckets: SECONDS,
      registers,
    }),
    logins: new Counter({
      name: 'outrigger_logins_total',
      help: 'What came of people who logged in at third parties by browser.',
      labelNames: ['result'],
      registers,
    }),
    backendState: new Gauge({
      name: 'outrigger_backend_state',
      help: 'Whether backends answer: 1 for the state that one is in, 0 for the others.',
      labelNames: ['backend', 'state'],
      registers,
    }),
    storeAlarms: new Counter({
      name: 'outrigger_store_alarms_total',
      help: 'Errors, refusals and dangerous settings of the session store.',
      labelNames: ['kind'],
      registers,
    }),
    meshStreams: new Gauge({
      name: 'outrigger_mesh_streams',
      help: 'Streams of sidecars that stand, by state.',
      labelNames: ['state'],
      registers,
    }),
    exchanges: new Gauge({
      name: 'outrigger_exchanges',
      help: 'Exchanges open on all mesh streams.',
      registers,
    }),
    lateFrames: new Counter({
      name: 'outrigger_late_frames_total',
      help: 'Frames for an exchange or a request that was already over.',
      labelNames: ['kind'],
      registers,
    }),
    admissionRefusals: new Counter({
      name: 'outrigger_admission_refusals_total',
      help: 'Requests that were not admitted, by what they named and why.',
      labelNames: ['backend', 'reason'],
      registers,
    }),
    toolDefinitions: new Gauge({
      name: 'outrigger_tool_definitions',
      help: 'Definitions of tools and prompts that live sessions are shown, by how they stand to what was approved.',
      labelNames: ['backend', 'state'],
      registers,
    }),
    toolChanges: new Counter({
      name: 'outrigger_tool_definition_changes_total',
      help: 'Definitions of tools and prompts that changed against what was approved, or came back.',
      labelNames: ['backend', 'state'],
      registers,
    }),
    configReloads: new Counter({
      name: 'outrigger_config_reloads_total',
      help: 'Readings of the configuration in a running replica, by what came of them.',
      labelNames: ['result'],
      registers,
    }),
    configReloadOk: new Gauge({
      name: 'outrigger_config_last_reload_successful',
      help: 'Whether the configuration was right when it was last read.',
      registers,
    }),
    configInfo: new Gauge({
      name: 'outrigger_config_info',
      help: 'The configuration in force, by a digest that its replicas share.',
      labelNames: ['digest'],
      registers,
    }),
    policyErrors: new Counter({
      name: 'outrigger_policy_errors_total',
      help: 'Policies that could not be evaluated.',
      registers,
    }),
    certificateEnd: new Gauge({
      name: 'outrigger_mesh_certificate_expiry_timestamp_seconds',
      help: 'When the certificate of the mesh stream ends; 0 without TLS.',
      registers,
    }),
    otherVersions: new Counter({
      name: 'outrigger_protocol_version_mismatches_total',
      help: 'Requests that named another protocol version than their session negotiated.',
      registers,
    }),
    spans: new Counter({
      name: 'outrigger_spans_total',
      help: 'Spans of traces by outcome: written, or lost because the collector did not take them.',
      labelNames: ['outcome'],
      registers,
    }),
    auditLost: new Counter({
      name: 'outrigger_audit_lost_total',
      help: 'Audit events that could not be kept.',
      registers,
    }),
    limitErrors: new Counter({
      name: 'outrigger_call_limit_errors_total',
      help: 'Calls whose limits could not be counted, because the store could not be reached.',
      registers,
    }),
    overloadStage: new Gauge({
      name: 'outrigger_overload_stage',
      help: 'What is short: 0 nothing, 1 nothing new that lasts is begun, 2 nothing new is begun.',
      labelNames: ['resource'],
      registers,
    }),
    sheds: new Counter({
      name: 'outrigger_shed_total',
      help: 'Work that was refused for overload, by what it was and what was short.',
      labelNames: ['work', 'resource'],
      registers,
    }),
    restoresWaiting: new Gauge({
      name: 'outrigger_restores_waiting',
      help: 'Requests that wait until their sessions are restored in turn.',
      registers,
    }),
    handshakesWaiting: new Gauge({
      name: 'outrigger_backend_handshakes_waiting',
      help: 'Sessions that wait for their turn to be opened at a backend.',
      labelNames: ['backend'],
      registers,
    }),
  };
  for (const reason of Object.keys(LOST)) metrics.sessionsLost.inc({ reason }, 0);
  for (const kind of Object.keys(ALARMS)) metrics.storeAlarms.inc({ kind }, 0);
  return metrics;
}
