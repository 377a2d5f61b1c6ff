import type { MeshError, Reason } from '../../shared/errors.ts';
import { errorResponse, meshErrorResponse } from '../../shared/json-rpc/envelope.ts';
import type { MeshFacts, ProofFacts } from '../mesh/exchange.ts';

/**
 * The one table from what went wrong to the status that the client sees, and the
 * headers and body that go with it. Statuses other than 200 and 202 speak of the edge, of
 * identity, of the session, of limits and of availability only; what concerns a
 * backend or a single request is 200 with a JSON-RPC error, because clients hide
 * the body of other statuses.
 */

/** What the edge itself refuses, before anything crosses the mesh. */
export type EdgeRefusal =
  | 'malformed_request'
  | 'host_refused'
  | 'origin_refused'
  | 'path_not_found'
  | 'method_not_allowed'
  | 'not_acceptable'
  | 'unsupported_media_type'
  | 'too_many_headers';

/** A refusal of the edge: fixed reason, a plain sentence, and the methods that would do (405). */
export interface Refusal {
  readonly reason: EdgeRefusal;
  readonly message: string;
  readonly allow?: string;
}

/** A whole HTTP answer. `headers` are names and values in turn, Content-Length among them. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Uint8Array;
}

/** Of the request that is answered. */
export interface AnswerContext {
  /** The verbatim JSON of each request's id; empty for a notification, a response, GET and DELETE. */
  readonly ids: readonly string[];
  /** Several requests came in one array, so several errors go back in one. */
  readonly batch: boolean;
  /** The allowed Host of the request: our own name for the client. */
  readonly host: string;
  /** Whether the request showed a token: without one a challenge names no error (RFC 6750 §3.1). */
  readonly authorized: boolean;
  /** By which logs know the request. */
  readonly requestId?: string | undefined;
  /** That token came under the scheme DPoP. */
  readonly dpop?: boolean;
  readonly facts: MeshFacts | undefined;
}

const STATUS = {
  malformed_request: 400,
  host_refused: 403,
  origin_refused: 403,
  path_not_found: 404,
  method_not_allowed: 405,
  not_acceptable: 406,
  unsupported_media_type: 415,
  too_many_headers: 431,

  parse_error: 400,
  invalid_request: 400,
  unsupported_protocol_version: 400,
  session_id_missing: 400,
  unauthenticated: 401,
  invalid_dpop_proof: 401,
  insufficient_scope: 403,
  session_not_found: 404,
  message_too_large: 413,
  rate_limited: 429,
  too_many_sessions: 429,
  internal: 500,
  session_busy: 503,
  unavailable: 503,
  store_unavailable: 503,
  overloaded: 503,
  draining: 503,
  credential_unknown: 503,

  invalid_params: 200,
  method_not_found: 200,
  backend_unavailable: 200,
  backend_unauthorized: 200,
  audience_not_allowed: 200,
  login_required: 200,
  credential_unavailable: 200,
  backend_busy: 200,
  backend_timeout: 200,
  backend_protocol_error: 200,
  backend_restarted: 200,
  outcome_unknown: 200,
  cancelled: 200,
} as const satisfies Record<Reason | EdgeRefusal, number>;

/** Where a client finds the metadata of this protected resource (RFC 9728 §3.1, with the path of ours). */
export const METADATA_PATH = '/.well-known/oauth-protected-resource';

/** As the MCP SDK's own server answers whatever its transport refuses. */
const EDGE_CODE = -32000;

/** How long a client waits that is told to come back at no particular time. */
const DEFAULT_RETRY_MS = 1_000;

export function answerRefusal(refusal: Refusal): Answer {
  const { reason, message, allow } = refusal;
  const body = errorResponse(null, { code: EDGE_CODE, message, data: { reason, retryable: false } });
  return jsonAnswer(STATUS[reason], allow === undefined ? [] : ['Allow', allow], Buffer.concat(body));
}

export function answerError(error: MeshError, context: AnswerContext): Answer {
  const status = statusOf(error.reason, context);
  const headers: string[] = context.requestId === undefined ? [] : ['X-Request-Id', context.requestId];
  if (status === 503 || status === 429) headers.push('Retry-After', retryAfter(error));
  if (status === 401 || status === 403) {
    headers.push('WWW-Authenticate', bearerChallenge(error, context));
    const { proofs } = context.facts ?? {};
    if (proofs !== undefined && (status === 401 || context.dpop === true))
      headers.push('WWW-Authenticate', proofChallenge(error, context, proofs));
  }
  // Each request of an array gets its answer; a refusal of the whole is one error.
  if (status === 200 && context.batch) {
    const errors = context.ids.map((id) => errorMessage(error, id, context).toString());
    return jsonAnswer(status, headers, Buffer.from(`[${errors.join(',')}]`));
  }
  const [id] = context.ids.length === 1 ? context.ids : [];
  return jsonAnswer(status, headers, errorMessage(error, id, context));
}

/** A body that is JSON already. */
export function jsonAnswer(status: number, headers: readonly string[], body: Uint8Array): Answer {
  const length = String(body.length);
  return {
    status,
    headers: [...headers, 'Content-Type', 'application/json', 'Content-Length', length],
    body,
  };
}

/** The JSON-RPC error for one request, as it stands in a body or in an event. `id` is verbatim JSON. */
export function errorMessage(
  error: MeshError,
  id: string | undefined,
  context: Pick<AnswerContext, 'requestId'>,
): Buffer {
  return Buffer.concat(meshErrorResponse(id === undefined ? null : Buffer.from(id), error, context));
}

/** A notification or a DELETE has no JSON-RPC answer that could say it: the status must. */
function statusOf(reason: Reason, context: AnswerContext): number {
  const status = STATUS[reason];
  return status === 200 && context.ids.length === 0 ? 503 : status;
}

/** In whole seconds, as RFC 9110 §10.2.3 has them. */
function retryAfter(error: MeshError): string {
  return String(Math.max(1, Math.ceil((error.retryAfterMs ?? DEFAULT_RETRY_MS) / 1_000)));
}

/** It comes first, and with the way to the metadata: many clients read no further. */
function bearerChallenge(error: MeshError, context: AnswerContext): string {
  const { facts, host } = context;
  const parameters: string[] = [];
  if (error.reason === 'insufficient_scope') parameters.push('error="insufficient_scope"');
  else if (context.authorized && context.dpop !== true) parameters.push('error="invalid_token"');
  parameters.push(...scopeParameter(error.scope ?? facts?.scopes.join(' ') ?? ''));
  if (facts !== undefined && facts.issuers.length > 0) {
    parameters.push(`resource_metadata="http://${host}${METADATA_PATH}/mcp"`);
  }
  return parameters.length === 0 ? 'Bearer' : `Bearer ${parameters.join(', ')}`;
}

/** RFC 9449 §7.1; beside the one for bearers, §7.2. */
function proofChallenge({ reason, scope }: MeshError, context: AnswerContext, proofs: ProofFacts): string {
  const parameters: string[] = [];
  if (reason === 'insufficient_scope' || reason === 'invalid_dpop_proof')
    parameters.push(`error="${reason}"`);
  else if (context.dpop === true) parameters.push('error="invalid_token"');
  parameters.push(...scopeParameter(scope ?? ''));
  parameters.push(`algs="${proofs.algorithms.join(' ')}"`);
  return `DPoP ${parameters.join(', ')}`;
}

function scopeParameter(scope: string): readonly string[] {
  return scope === '' ? [] : [`scope="${scope.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, '')}"`];
}
