import { isIP } from 'node:net';
import { checkServerIdentity, createSecureContext, type PeerCertificate } from 'node:tls';
import { ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js';
import { type Authorities, certificateEnd, certificateFaults } from '../../shared/config/certificates.ts';
import { FileWatch, ReadFiles } from '../../shared/config/watched-files.ts';
import type { Logger } from '../../shared/log.ts';
import { spiffeIdOf } from '../../shared/spiffe-id.ts';

/** How the channel of the next stream to a replica is secured. */
export interface ChannelSecurity {
  for(address: string): { readonly credentials: ChannelCredentials; readonly options: ChannelOptions };
}

/** For replicas on this machine. */
export const PLAIN_TEXT: ChannelSecurity = {
  for: () => ({ credentials: ChannelCredentials.createInsecure(), options: {} }),
};

export type CertificateFiles = Readonly<Record<'ca', string> & Partial<Record<'cert' | 'key', string>>>;

export interface TlsFiles {
  /** PEM files; without `cert` and `key` the sidecar proves itself by a token. */
  readonly files: CertificateFiles;
  /** A file that holds the token of the workload, shown in place of a certificate. */
  readonly workloadToken?: string;
  /** The name in the replicas' certificates; undefined: the host of each address. */
  readonly serverName: string | undefined;
  /** The replicas' SPIFFE id, looked at instead of their name. */
  readonly serverId: string | undefined;
}

/** Stands in the handshake where a replica is known by its address: no address may stand there (RFC 6066 §3). */
const NAMELESS = 'control-plane.outrigger';

/**
 * TLS to the replicas, by certificates in files that somebody renews. A stream gets
 * what the files hold when it is opened, and keeps its connection when they change:
 * nothing is cut. Files that cannot be used, half of a pair that is being replaced
 * for example, are said in the log, and what was read before them stays.
 */
export class TlsFromFiles implements ChannelSecurity {
  readonly #tls: TlsFiles;
  readonly #log: Logger;
  readonly #watch: FileWatch;
  #certificates: Authorities;

  /** Throws where the files cannot be used. */
  constructor(tls: TlsFiles, log: Logger) {
    this.#tls = tls;
    this.#log = log;
    this.#watch = new FileWatch({ changed: () => this.#renew() });
    this.#certificates = this.#read();
  }

  /** When our own certificate ends, in seconds since 1970; 0 without one. */
  get end(): number {
    return certificateEnd(this.#certificates.cert ?? '');
  }

  for(address: string): ReturnType<ChannelSecurity['for']> {
    const { serverName, serverId } = this.#tls;
    const host = serverName ?? hostOf(address);
    const secureContext = createSecureContext({ ...this.#certificates, minVersion: 'TLSv1.3' });
    return {
      credentials: ChannelCredentials.createFromSecureContext(secureContext, {
        checkServerIdentity: (_, certificate) =>
          serverId === undefined ? checkServerIdentity(host, certificate) : checkId(serverId, certificate),
      }),
      options: { 'grpc.ssl_target_name_override': isIP(host) === 0 ? host : NAMELESS },
    };
  }

  close(): void {
    this.#watch.close();
  }

  #renew(): void {
    try {
      this.#certificates = this.#read();
      this.#log.info('certificates read', { event: 'certificates_renewed', file: this.#tls.files.ca });
    } catch (error) {
      this.#log.error('the certificates cannot be used; those before them stay', {
        event: 'certificates_rejected',
        error,
      });
    }
  }

  #read(): Authorities {
    const { cert, key, ca } = this.#tls.files;
    const read = new ReadFiles();
    try {
      const own =
        cert === undefined || key === undefined ? {} : { cert: read.read(cert), key: read.read(key) };
      const certificates: Authorities = { ...own, ca: read.read(ca) };
      const [fault] = certificateFaults(certificates);
      if (fault !== undefined) throw new Error(`${this.#tls.files[fault.part]}: ${fault.message}`);
      return certificates;
    } finally {
      this.#watch.follow(read.marks);
    }
  }
}

function checkId(expected: string, { subjectaltname }: PeerCertificate): Error | undefined {
  if (spiffeIdOf(subjectaltname) === expected) return undefined;
  return new Error('the replica is another workload than controlPlane.tls.serverId says');
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}
