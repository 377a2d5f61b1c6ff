/**
 * What the page is told: messages of the admin API (`proto/outrigger/admin/v1`) as far
 * as the page reads them, in JSON. Types alone, for both ends.
 */

export interface Timestamp {
  readonly seconds: number;
  readonly nanos: number;
}

export interface Overview {
  /** The replica that answers. */
  readonly replica: string;
  /** Its clock, in milliseconds since 1970. */
  readonly now: number;
  /** Why nothing is told of the other replicas; empty where they were asked. */
  readonly alone: string;
  readonly replicas: readonly ReplicaView[];
  readonly stats: readonly StatsView[];
  readonly backends: readonly BackendView[];
  readonly history: readonly ReplicaHistory[];
  /** Names of replicas that could not be asked. */
  readonly unreachable: readonly string[];
}

export interface ReplicaView {
  readonly name: string;
  readonly address: string;
  readonly version: string;
  readonly state: string;
  readonly startTime: Timestamp | null;
  readonly heartbeatTime: Timestamp | null;
  readonly sessions: number;
  readonly streams: number;
  readonly exchanges: number;
  readonly configDigest: string;
}

export interface StatsView {
  readonly replica: string;
  readonly sessions: number;
  readonly exchanges: number;
  readonly residentBytes: number;
  readonly loopDelay: Timestamp | null;
}

export interface BackendView {
  readonly name: string;
  readonly kind: string;
  readonly place: string;
  readonly credentialStrategy: string;
  readonly replicas: readonly BackendHealthView[];
}

export interface BackendHealthView {
  readonly replica: string;
  readonly state: string;
  readonly sinceTime: Timestamp | null;
  readonly lastFault: string;
  readonly consecutiveFailures: number;
  readonly sessionsOpen: number;
  readonly sessionsMissing: number;
}

export interface ReplicaHistory {
  readonly replica: string;
  readonly samples: readonly SampleView[];
}

export interface SampleView {
  readonly time: Timestamp | null;
  readonly period: Timestamp | null;
  readonly calls: number;
  readonly failures: number;
  readonly median: Timestamp | null;
  readonly p95: Timestamp | null;
  readonly restores: number;
  readonly failedRestores: number;
  readonly bindingMismatches: number;
}

export interface SidecarPage {
  readonly sidecars: readonly SidecarView[];
  readonly nextPageToken: string;
  readonly unreachable: readonly string[];
}

export interface SidecarView {
  readonly name: string;
  readonly virtualServer: string;
  readonly state: string;
  readonly streams: readonly { readonly replica: string; readonly exchanges: number }[];
  /** How many lists are in which state. */
  readonly lists: Readonly<Record<string, number>>;
}

export interface SessionPage {
  readonly sessions: readonly SessionView[];
  readonly nextPageToken: string;
}

export interface SessionView {
  readonly name: string;
  readonly principal: { readonly issuer: string; readonly subject: string; readonly tenant: string } | null;
  readonly client: string;
  readonly virtualServer: string;
  readonly backends: readonly string[];
  readonly replica: string;
  readonly epoch: number;
  readonly restores: number;
  readonly createTime: Timestamp | null;
  readonly useTime: Timestamp | null;
  readonly idleExpireTime: Timestamp | null;
  readonly expireTime: Timestamp | null;
}

export interface Explanation {
  readonly session: SessionView | null;
  readonly state: string;
  readonly findings: readonly string[];
  readonly backends: readonly SessionBackendView[];
  readonly streams: {
    readonly calls: readonly string[];
    readonly attached: number;
    readonly resumable: number;
    readonly listening: boolean;
  } | null;
  readonly protocolVersion: string;
  readonly lists: readonly {
    readonly list: string;
    readonly sidecar: string;
    readonly state: string;
    readonly version: string;
  }[];
}

export interface SessionBackendView {
  readonly name: string;
  readonly state: string;
  readonly sinceTime: Timestamp | null;
  readonly reason: string;
  readonly message: string;
  readonly credentialStrategy: string;
  readonly identityOutcome: string;
  readonly identityTime: Timestamp | null;
}

/** Why there is no answer. */
export interface Refusal {
  /** UPPER_SNAKE_CASE. */
  readonly reason: string;
  readonly message: string;
}
