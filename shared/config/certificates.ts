import { createPrivateKey, X509Certificate } from 'node:crypto';
import { spiffeIdOf } from '../spiffe-id.ts';

/** What proves who we are on a TLS connection, and whom we believe; each in PEM. */
export interface Certificates {
  /** Our own, and those between it and its authority. */
  readonly cert: string;
  readonly key: string;
  /** The authorities that vouch for the other side. */
  readonly ca: string;
}

export interface CertificateFault {
  readonly part: keyof Certificates;
  readonly message: string;
}

/** Without a certificate of our own: the other side alone proves who it is. */
export type Authorities = Pick<Certificates, 'ca'> & Partial<Certificates>;

/** What keeps them from being used, without a word of them. */
export function certificateFaults({ cert, key, ca }: Authorities): CertificateFault[] {
  const faults: CertificateFault[] = [];
  const own = cert === undefined ? undefined : firstOf(cert);
  if (cert !== undefined && own === undefined)
    faults.push({ part: 'cert', message: 'expected a certificate in PEM' });
  if (firstOf(ca) === undefined) faults.push({ part: 'ca', message: 'expected certificates in PEM' });
  try {
    const fits = key === undefined || (own?.checkPrivateKey(createPrivateKey(key)) ?? true);
    if (!fits) faults.push({ part: 'key', message: 'this key is not that of the certificate' });
  } catch {
    faults.push({ part: 'key', message: 'expected a private key in PEM, without a passphrase' });
  }
  return faults;
}

/** When our own certificate ends, in seconds since 1970. */
export function certificateEnd(cert: string): number {
  const end = Date.parse(firstOf(cert)?.validTo ?? '');
  return Number.isNaN(end) ? 0 : end / 1_000;
}

/** The SPIFFE id of our own certificate; undefined where it has none. */
export function certificateId(cert: string): string | undefined {
  return spiffeIdOf(firstOf(cert)?.subjectAltName);
}

function firstOf(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}
