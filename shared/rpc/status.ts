import { status } from '@grpc/grpc-js';
import type { Reason } from '../errors.ts';

/**
 * The one table between the mesh's reasons and gRPC status. NOT_FOUND is said of a
 * session only; what we cannot tell is UNAVAILABLE, never NOT_FOUND.
 */
const STATUS_OF = {
  parse_error: status.INVALID_ARGUMENT,
  invalid_request: status.INVALID_ARGUMENT,
  unsupported_protocol_version: status.INVALID_ARGUMENT,
  session_id_missing: status.INVALID_ARGUMENT,
  session_not_found: status.NOT_FOUND,
  session_busy: status.ABORTED,
  unauthenticated: status.UNAUTHENTICATED,
  invalid_dpop_proof: status.UNAUTHENTICATED,
  insufficient_scope: status.PERMISSION_DENIED,
  rate_limited: status.RESOURCE_EXHAUSTED,
  too_many_sessions: status.RESOURCE_EXHAUSTED,
  message_too_large: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  store_unavailable: status.UNAVAILABLE,
  overloaded: status.UNAVAILABLE,
  draining: status.UNAVAILABLE,
  credential_unknown: status.FAILED_PRECONDITION,
  internal: status.INTERNAL,
  invalid_params: status.INVALID_ARGUMENT,
  method_not_found: status.UNIMPLEMENTED,
  backend_unavailable: status.UNAVAILABLE,
  backend_unauthorized: status.PERMISSION_DENIED,
  audience_not_allowed: status.PERMISSION_DENIED,
  login_required: status.PERMISSION_DENIED,
  credential_unavailable: status.UNAVAILABLE,
  backend_busy: status.RESOURCE_EXHAUSTED,
  backend_timeout: status.DEADLINE_EXCEEDED,
  backend_protocol_error: status.INTERNAL,
  backend_restarted: status.ABORTED,
  outcome_unknown: status.UNKNOWN,
  cancelled: status.CANCELLED,
} as const satisfies Record<Reason, status>;

export function statusOf(reason: Reason): status {
  return STATUS_OF[reason];
}

/** The reason that a bare status stands for, when a peer or a transport gave no other. */
export function reasonOf(code: status): Reason {
  switch (code) {
    case status.INVALID_ARGUMENT:
      return 'invalid_request';
    case status.NOT_FOUND:
      return 'session_not_found';
    case status.UNAUTHENTICATED:
      return 'unauthenticated';
    case status.PERMISSION_DENIED:
      return 'insufficient_scope';
    case status.RESOURCE_EXHAUSTED:
      return 'rate_limited';
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
      return 'unavailable';
    case status.CANCELLED:
      return 'cancelled';
    default:
      return 'internal';
  }
}
