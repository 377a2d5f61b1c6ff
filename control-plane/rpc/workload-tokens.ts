import { status } from '@grpc/grpc-js';
import { MeshError } from '../../shared/errors.ts';
import { isSpiffeId } from '../../shared/spiffe-id.ts';
import type { IdentityVerifier } from '../identity/caller.ts';
import { StreamRefused } from './sidecar-stream.ts';

/** The subject of a Kubernetes service-account token. */
const SERVICE_ACCOUNT = /^system:serviceaccount:([a-z0-9.-]+):([a-z0-9.-]+)$/;

export interface WorkloadTokensOptions {
  /** By the rules for workloads' tokens, which are not those for callers'. */
  readonly verifier: Pick<IdentityVerifier, 'verify'>;
  readonly trustDomain: string;
}

/** The SPIFFE id of the workload that a token is of. Rejects with StreamRefused. */
export async function workloadOfToken(
  token: string,
  { verifier, trustDomain }: WorkloadTokensOptions,
): Promise<string> {
  const { binding } = await verifier.verify(`Bearer ${token}`).catch((thrown: unknown) => {
    throw refused(thrown);
  });
  const [, namespace, account] = SERVICE_ACCOUNT.exec(binding.subject) ?? [];
  const id = `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;
  if (namespace !== undefined && account !== undefined && isSpiffeId(id)) return id;
  throw new StreamRefused({
    code: status.UNAUTHENTICATED,
    details: 'This is no token of a service account.',
  });
}

function refused(thrown: unknown): StreamRefused {
  const { reason, retryAfterMs } = MeshError.from(thrown);
  if (reason === 'unavailable') {
    const details = 'The workload token cannot be verified now.';
    return new StreamRefused({ code: status.UNAVAILABLE, details, retryAfterMs });
  }
  const details = 'The workload token is none that this mesh accepts.';
  return new StreamRefused({ code: status.UNAUTHENTICATED, details });
}
