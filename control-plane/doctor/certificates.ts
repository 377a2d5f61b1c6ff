import { certificateFindings } from '../../shared/config/certificate-findings.ts';
import type { Finding } from '../../shared/findings.ts';
import type { Settings } from '../settings.ts';

/** Those of the mesh stream; none where it is in plain text, on loopback. */
export function checkCertificates({ meshTls }: Settings): Finding[] {
  if (meshTls === undefined) return [];
  return certificateFindings(meshTls.certificates, { of: 'listen.grpc.tls', now: Date.now() });
}
