import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';
import type { Certificates } from '../../shared/config/certificates.ts';

/**
 * TLS 1.3 for the gRPC server, with certificates that can be replaced while it serves:
 * new connections get the new ones, those that stand go on. Everybody is asked for a
 * certificate. Who shows none, or one that nobody vouches for, gets as far as the
 * services, and each of them refuses whom it does not know, with a status that says
 * why: a connection broken in the handshake tells the people at the other end nothing.
 */
export class MeshCredentials extends ServerCredentials {
  constructor(certificates: Certificates) {
    super({ requestCert: true, rejectUnauthorized: false }, contextOf(certificates));
  }

  /** Returns what makes connections from then on use these. Throws where they cannot be used. */
  prepare(certificates: Certificates): () => void {
    const context = contextOf(certificates);
    // The server would only log what is wrong with them, and drop every connection.
    createSecureContext(context);
    return () => this.updateSecureContextOptions(context);
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function contextOf({ cert, key, ca }: Certificates): SecureContextOptions {
  return { cert, key, ca, minVersion: 'TLSv1.3' };
}
