import { ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js';
import { matchesSpiffe, spiffeIdOf } from '../../shared/spiffe-id.ts';
import type { MeshTlsSettings } from '../settings.ts';
import { isLoopback } from './mesh-server.ts';
import { tlsChannel } from './tls-channel.ts';

export interface PeerChannel {
  readonly credentials: ChannelCredentials;
  readonly options: ChannelOptions;
  /** Both ends proved that they are replicas. */
  readonly proven: boolean;
}

const OPTIONS: ChannelOptions = {
  'grpc.enable_channelz': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
};

/**
 * How this replica reaches another: under its own certificate, and whoever answers must
 * be a replica by its SPIFFE id, whatever its address is called; in plain text on this
 * machine alone. Undefined: not at all.
 */
export function peerChannel(address: string, tls: MeshTlsSettings | undefined): PeerChannel | undefined {
  if (tls === undefined) {
    if (!isLoopback(address)) return undefined;
    return { credentials: ChannelCredentials.createInsecure(), options: OPTIONS, proven: false };
  }
  const { certificates, replicas } = tls;
  const { credentials, options } = tlsChannel(address, {
    certificates,
    check: (_, { subjectaltname }) =>
      isReplica(replicas, spiffeIdOf(subjectaltname)) ? undefined : new Error('this is no replica'),
  });
  return { credentials, options: { ...OPTIONS, ...options }, proven: true };
}

/** Whether an id is that of a replica. */
export function isReplica(replicas: readonly string[], id: string | undefined): boolean {
  return id !== undefined && replicas.some((pattern) => matchesSpiffe(pattern, id));
}
