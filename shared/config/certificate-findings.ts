import { X509Certificate } from 'node:crypto';
import type { Finding } from '../findings.ts';
import { spiffeIdOf } from '../spiffe-id.ts';
import { type CertificateFault, type Certificates, certificateFaults } from './certificates.ts';

const DAY_MS = 86_400_000;
/** Time enough for people to act on; of a certificate that lives shorter than a month, a fifth of its life. */
const SOON_MS = 7 * DAY_MS;
const SOON_PART = 0.2;
/** More steps than any chain has. */
const LONGEST_CHAIN = 8;

const REMEDIES: Readonly<Record<CertificateFault['part'], string>> = {
  cert: 'write the certificate in PEM, first its own and then those between it and its authority',
  key: 'put the private key that the certificate was made for there, in PEM without a passphrase',
  ca: 'write the certificates of the authorities in PEM, one after the other',
};

/** Whether these certificates will do, now and for a while. `now` in milliseconds since 1970. */
export function certificateFindings(
  certificates: Certificates,
  { of, now }: { readonly of: string; readonly now: number },
): Finding[] {
  const faults = certificateFaults(certificates);
  if (faults.length > 0)
    return faults.map(({ part, message }) => certificateFault({ of: `${of} (${part})`, part, message }));
  const [own, ...between] = certificatesIn(certificates.cert);
  if (own === undefined) return [];
  const authorities = certificatesIn(certificates.ca);
  const found = [validity(own, now), chain(own, { between, authorities }), workload(own)];
  const worries = found.filter((each) => each !== undefined);
  if (worries.length > 0) return worries.map((each): Finding => ({ check: 'certificates', of, ...each }));
  const id = spiffeIdOf(own.subjectAltName);
  const detail = `${id ?? 'names no workload'}, valid until ${dateOf(own.validTo)}`;
  return [{ check: 'certificates', of, status: 'ok', detail }];
}

/** A part that cannot be used at all. */
export function certificateFault({ of, part, message }: CertificateFault & { readonly of: string }): Finding {
  return { check: 'certificates', of, status: 'failed', detail: message, remedy: REMEDIES[part] };
}

type Worry = Pick<Finding, 'status' | 'detail' | 'remedy'>;

function validity({ validFrom, validTo }: X509Certificate, now: number): Worry | undefined {
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
  if (now < from) {
    const remedy = 'set the clock of this machine, or wait; certificates are made for a time that has begun';
    return { status: 'failed', detail: `not valid before ${dateOf(validFrom)}`, remedy };
  }
  const remedy = 'renew it: write a new certificate and its key over these files, nothing needs a restart';
  if (now >= to) return { status: 'failed', detail: `expired on ${dateOf(validTo)}`, remedy };
  const soon = Math.min(SOON_MS, (to - from) * SOON_PART);
  if (to - now > soon) return undefined;
  return { status: 'warning', detail: `expires soon, on ${dateOf(validTo)}`, remedy };
}

interface Vouchers {
  readonly between: readonly X509Certificate[];
  readonly authorities: readonly X509Certificate[];
}

/** The other side may believe other authorities than we do, so this is no proof of a fault. */
function chain(own: X509Certificate, { between, authorities }: Vouchers): Worry | undefined {
  const issued = (by: X509Certificate, of: X509Certificate) => of.checkIssued(by) && of.verify(by.publicKey);
  let last = own;
  for (let step = 0; step < LONGEST_CHAIN; step += 1) {
    const below = last;
    if (authorities.some((authority) => issued(authority, below))) return undefined;
    const next = between.find((each) => each !== below && issued(each, below));
    if (next === undefined) break;
    last = next;
  }
  return {
    status: 'warning',
    detail: 'none of the authorities in ca vouches for it',
    remedy:
      'where both sides are to have the same authorities, put theirs into ca, and those between into cert',
  };
}

function workload({ subjectAltName }: X509Certificate): Worry | undefined {
  if (!(subjectAltName ?? '').includes('URI:') || spiffeIdOf(subjectAltName) !== undefined) return undefined;
  return {
    status: 'warning',
    detail: 'its URI is no SPIFFE id, or there are several, so it names no workload',
    remedy: 'give it exactly one URI, such as spiffe://mesh.example/ns/outrigger/sa/control-plane',
  };
}

function certificatesIn(pem: string): X509Certificate[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return found.map((each) => new X509Certificate(each));
}

function dateOf(written: string): string {
  return new Date(written).toISOString().slice(0, 10);
}
