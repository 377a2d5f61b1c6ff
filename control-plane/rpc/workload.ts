import { status } from '@grpc/grpc-js';
import { matchesSpiffe, spiffeIdOf } from '../../shared/spiffe-id.ts';
import type { MeshTlsSettings } from '../settings.ts';
import type { SidecarPeer } from './exchange.ts';

/** What a call tells of the other end of its connection. */
export interface AuthenticatedCall {
  getAuthContext(): { readonly sslPeerCertificate?: { readonly subjectaltname?: string | undefined } };
}

/**
 * The workload at the other end, by the SPIFFE id of its certificate, which our
 * authorities vouch for; undefined for one that proved nothing.
 */
export function workloadOf(call: AuthenticatedCall): string | undefined {
  return spiffeIdOf(call.getAuthContext().sslPeerCertificate?.subjectaltname);
}

export interface WorkloadRefusal {
  readonly code: status;
  readonly details: string;
}

export interface WorkloadRules extends Pick<MeshTlsSettings, 'clients'> {
  /** SPIFFE ids, as patterns, of those that are no sidecars whatever `clients` says: replicas and admins. */
  readonly others?: readonly string[];
  /** The SPIFFE id of the workload that a token is of, for sidecars without a certificate. Rejects with StreamRefused. */
  readonly prove?: (token: string) => Promise<string>;
}

/** Why a stream of this workload is not taken, or not for this virtual server; undefined: it is. */
export function workloadRefusal(
  rules: WorkloadRules,
  { workload, virtualServer }: Partial<Pick<SidecarPeer, 'workload' | 'virtualServer'>>,
): WorkloadRefusal | undefined {
  if (workload === undefined) return UNPROVEN;
  if (rules.others?.some((id) => matchesSpiffe(id, workload))) return denied('This workload is no sidecar.');
  if (rules.clients === undefined) return undefined;
  const known = rules.clients.filter(({ id }) => matchesSpiffe(id, workload));
  if (known.length === 0) return denied('This workload is not among those that are served.');
  const served = known.some(
    ({ virtualServers }) =>
      virtualServers === undefined || virtualServer === undefined || virtualServers.includes(virtualServer),
  );
  return served ? undefined : denied('This workload is not served that virtual server.');
}

const UNPROVEN: WorkloadRefusal = {
  code: status.UNAUTHENTICATED,
  details:
    'A client certificate with one SPIFFE id, of an authority of this mesh, or a token of the workload, where those count, is required.',
};

function denied(details: string): WorkloadRefusal {
  return { code: status.PERMISSION_DENIED, details };
}
