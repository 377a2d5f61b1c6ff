import type { FieldMask } from './admin-fields.ts';
import type { PageRequest } from './admin-pages.ts';
import type { Timestamp } from './admin-values.ts';

/** The messages of `admin.proto` as the proto loader has them, as far as they are read here. */

interface Masked {
  readonly readMask: FieldMask | null;
}

export interface Named {
  readonly name: string;
}

export interface Scoped {
  readonly localOnly: boolean;
}

export interface ListRequest extends PageRequest, Masked {}
export interface ListSessionsRequest extends ListRequest {
  readonly filter: string;
}
export interface GetRequest extends Named, Masked {}
export interface PrincipalMessage {
  readonly issuer: string;
  readonly subject: string;
  readonly tenant: string;
}

export interface SessionMessage extends Named {
  readonly principal: PrincipalMessage;
  readonly client: string;
  readonly virtualServer: string;
  readonly backends: readonly string[];
  readonly replica: string;
  readonly epoch: number;
  readonly restores: number;
  readonly createTime: Timestamp;
  readonly takeTime: Timestamp;
  readonly useTime: Timestamp;
  readonly idleExpireTime: Timestamp;
  readonly expireTime: Timestamp;
}

export interface BackendMessage extends Named {
  readonly kind: string;
  readonly place: string;
  readonly credentialStrategy: string;
  readonly virtualServers: readonly string[];
  readonly replicas: readonly { readonly replica: string }[];
}

export interface ListSyncMessage {
  readonly session: string;
  readonly list: string;
  readonly state: SyncState;
  readonly version: string;
  readonly sidecar: string;
}

/** From the best to the worst. */
export const SYNC_STATES = ['SYNCED', 'STALE', 'NOT_SENT', 'NACKED', 'DISCONNECTED'] as const;

export type SyncState = (typeof SYNC_STATES)[number];

export interface SidecarMessage extends Named {
  readonly virtualServer: string;
  readonly state: SyncState;
  readonly streams: readonly object[];
  readonly lists: readonly ListSyncMessage[];
}

export interface ReplicaMessage extends Named {
  readonly address: string;
  readonly version: string;
  readonly state: 'SERVING' | 'DRAINED' | 'NOT_READY';
  readonly startTime: Timestamp;
  readonly heartbeatTime: Timestamp;
  readonly sessions: number;
  readonly streams: number;
  readonly exchanges: number;
  readonly configDigest: string;
}

export interface ListBackendsResponse {
  readonly backends: readonly BackendMessage[];
  readonly nextPageToken: string;
  readonly unreachable: readonly string[];
}

export interface ListSidecarsResponse {
  readonly sidecars: readonly SidecarMessage[];
  readonly nextPageToken: string;
  readonly unreachable: readonly string[];
}
