import { isIP } from 'node:net';
import { createSecureContext, type PeerCertificate } from 'node:tls';
import { ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js';
import type { Authorities } from '../../shared/config/certificates.ts';

/** Stands in the handshake for an address, which may not (RFC 6066 §3). */
const NAMELESS = 'control-plane.outrigger';

export interface TlsChannelOptions {
  readonly certificates: Authorities;
  /** Why whoever answers at this host is not whom we want; our authorities vouch for the certificate. */
  readonly check: (host: string, certificate: PeerCertificate) => Error | undefined;
}

/** TLS 1.3 to `host:port`. Throws where the certificates cannot be used. */
export function tlsChannel(
  address: string,
  { certificates, check }: TlsChannelOptions,
): { readonly credentials: ChannelCredentials; readonly options: ChannelOptions } {
  const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  const context = createSecureContext({ ...certificates, minVersion: 'TLSv1.3' });
  return {
    credentials: ChannelCredentials.createFromSecureContext(context, {
      checkServerIdentity: (_, certificate) => check(host, certificate),
    }),
    options: { 'grpc.ssl_target_name_override': isIP(host) === 0 ? host : NAMELESS },
  };
}
