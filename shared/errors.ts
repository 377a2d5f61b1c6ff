/**
 * The closed set of reasons for which the mesh itself refuses or fails. A reason
 * is decided once, where the fault is met; two tables translate it, one to gRPC
 * status (`shared/rpc/status.ts`), one to HTTP (`sidecar/http/answers.ts`).
 *
 * The first group is answered as an HTTP status, because it speaks of the edge,
 * of identity, of the session, of limits or of availability. The second group is
 * about a backend or about one JSON-RPC request: it is HTTP 200 with a JSON-RPC
 * error, because clients hide the body of other statuses.
 */
export const EDGE_REASONS = [
  'parse_error',
  'invalid_request',
  'unsupported_protocol_version',
  'session_id_missing',
  'session_not_found',
  'session_busy',
  'unauthenticated',
  'invalid_dpop_proof',
  'insufficient_scope',
  'rate_limited',
  'too_many_sessions',
  'message_too_large',
  'unavailable',
  'store_unavailable',
  'overloaded',
  'draining',
  'credential_unknown',
  'internal',
] as const;

export const RPC_REASONS = [
  'invalid_params',
  'method_not_found',
  'backend_unavailable',
  'backend_unauthorized',
  'audience_not_allowed',
  'login_required',
  'credential_unavailable',
  'backend_busy',
  'backend_timeout',
  'backend_protocol_error',
  'backend_restarted',
  'outcome_unknown',
  'cancelled',
] as const;

export type EdgeReason = (typeof EDGE_REASONS)[number];
export type RpcReason = (typeof RPC_REASONS)[number];
export type Reason = EdgeReason | RpcReason;

const KNOWN: ReadonlySet<string> = new Set<string>([...EDGE_REASONS, ...RPC_REASONS]);
const EDGE: ReadonlySet<string> = new Set<string>(EDGE_REASONS);
const RETRYABLE: ReadonlySet<Reason> = new Set<Reason>([
  'session_busy',
  'rate_limited',
  'too_many_sessions',
  'unavailable',
  'store_unavailable',
  'overloaded',
  'draining',
  'credential_unknown',
  'backend_unavailable',
  'credential_unavailable',
  'backend_busy',
]);

/** Narrows a reason that came over the wire; a newer peer's unknown reason reads as `internal`. */
export function toReason(value: string): Reason {
  return KNOWN.has(value) ? (value as Reason) : 'internal';
}

/** Whether the reason is answered as an HTTP status (true) or as a JSON-RPC error under 200. */
export function isEdgeReason(reason: Reason): reason is EdgeReason {
  return EDGE.has(reason);
}

export interface MeshErrorOptions {
  /** Why, for the log only. Never shown to a peer. */
  readonly cause?: unknown;
  /** The configured name of the backend concerned. */
  readonly backend?: string;
  /** When trying again makes sense, in milliseconds from now. */
  readonly retryAfterMs?: number;
  /** All scopes that the operation needs, space separated (RFC 6750 §3.1), with `insufficient_scope`; with `login_required` what to ask the person for, which no peer is told. */
  readonly scope?: string;
}

/**
 * A refusal or a failure with one reason of the closed set. `message` is a plain
 * sentence meant for the peer: it holds no token, no session id, no URL with
 * credentials. What really happened is in `cause`, for the log.
 */
export class MeshError extends Error {
  override readonly name = 'MeshError';
  readonly reason: Reason;
  readonly backend: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly scope: string | undefined;

  constructor(reason: Reason, message: string, options: MeshErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.backend = options.backend;
    this.retryAfterMs = options.retryAfterMs;
    this.scope = options.scope;
  }

  /** Whether the same request may succeed later without any change by the caller. */
  get retryable(): boolean {
    return RETRYABLE.has(this.reason);
  }

  /** Any thrown value as a `MeshError`; what is not one becomes `internal` and keeps its cause for the log. */
  static from(thrown: unknown): MeshError {
    if (thrown instanceof MeshError) return thrown;
    return new MeshError('internal', 'The mesh failed to handle this request.', { cause: thrown });
  }
}
