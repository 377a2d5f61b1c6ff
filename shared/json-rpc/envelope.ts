/**
 * What the mesh writes: new envelopes around verbatim slices. Everything comes as
 * pieces in order, which share memory with what they were cut from; whoever sends
 * them joins them once.
 *
 * An id is always raw JSON (`7`, `"a"`), so that it returns with its type and spelling.
 */
import type { MeshError, Reason } from '../errors.ts';
import { type Message, type Span, slice } from './message.ts';
import { isEmptyObject, isObject, readFields } from './object.ts';
import { fields } from './walker.ts';

/** Raw JSON to stand in the place of a span. */
export interface Splice {
  readonly span: Span;
  readonly bytes: Uint8Array;
}

export interface RequestParts {
  readonly id: Uint8Array;
  readonly method: string;
  /** The raw params object, in pieces. Absent: the request has none. */
  readonly params?: readonly Uint8Array[] | undefined;
}

export interface ForwardOptions {
  /** The raw id of this hop; absent, the message is sent on as a notification. */
  readonly id?: Uint8Array;
  /** Raw JSON for a renamed name or URI, a progress token, a reserved key. */
  readonly splices?: readonly Splice[];
}

/** A request or notification in a new envelope, its params verbatim but for the splices. Vendor members beside the envelope's are dropped. */
export function forward(message: Message, { id, splices = [] }: ForwardOptions): Uint8Array[] {
  const { method = '', params: span } = message.scanned;
  const params = span === undefined ? undefined : splice(message.bytes, span, splices);
  return id === undefined ? notification(method, params) : request({ id, method, params });
}

export function request({ id, method, params }: RequestParts): Uint8Array[] {
  return params === undefined
    ? [HEAD, id, methodPiece(method), CLOSE]
    : [HEAD, id, paramsPiece(method), ...params, CLOSE];
}

export function notification(method: string, params?: readonly Uint8Array[]): Uint8Array[] {
  return params === undefined
    ? [OPEN, methodPiece(method), CLOSE]
    : [OPEN, paramsPiece(method), ...params, CLOSE];
}

/** The answer with a result, given in pieces or as one slice. */
export function response(id: Uint8Array, result: Uint8Array | readonly Uint8Array[]): Uint8Array[] {
  return result instanceof Uint8Array
    ? [HEAD, id, RESULT, result, CLOSE]
    : [HEAD, id, RESULT, ...result, CLOSE];
}

/** A backend's error, relayed with its data untouched. */
export function relayError(id: Uint8Array, error: Uint8Array): Uint8Array[] {
  return [HEAD, id, ERROR, error, CLOSE];
}

export interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

/** An error under an id; `null` where the request's id is not known (JSON-RPC 2.0 §5). */
export function errorResponse(id: Uint8Array | null, error: RpcError): Uint8Array[] {
  return [HEAD, id ?? NULL, ERROR, Buffer.from(JSON.stringify(error)), CLOSE];
}

/**
 * The mesh's own refusal: the reason's code, and `data` with reason, retryable, the backend's configured name,
 * when to try again, the scopes that are needed, and the id by which logs know the request.
 */
export function meshErrorResponse(
  id: Uint8Array | null,
  error: MeshError,
  { requestId }: { readonly requestId?: string | undefined } = {},
): Uint8Array[] {
  const { reason, retryable, backend, retryAfterMs, message } = error;
  // What a person is to grant to somebody else's server is no scope of ours.
  const scope = reason === 'insufficient_scope' ? error.scope : undefined;
  // What is undefined is not written.
  const data = { reason, retryable, backend, retryAfterMs, scope, requestId };
  return errorResponse(id, { code: CODES[reason], message, data });
}

/** The bytes of a span with some spans within it replaced. The splices do not overlap; their order does not matter. */
export function splice(bytes: Buffer, span: Span, splices: readonly Splice[]): Uint8Array[] {
  if (splices.length === 0) return [slice(bytes, span)];
  const pieces: Uint8Array[] = [];
  let p = span.start;
  for (const { span: hole, bytes: filling } of splices.toSorted((a, b) => a.span.start - b.span.start)) {
    if (hole.start > p) pieces.push(bytes.subarray(p, hole.start));
    pieces.push(filling);
    p = hole.end;
  }
  if (p < span.end) pieces.push(bytes.subarray(p, span.end));
  return pieces;
}

/** The result with one key set in its `_meta`, else verbatim. `value` is raw JSON; the same key from a backend is replaced. */
export function resultWithMeta(result: Buffer, key: string, value: Uint8Array): Uint8Array[] {
  const whole = { start: 0, end: result.length };
  return splice(result, whole, [metaSplice(result, { key, value })]);
}

/** A splice that adds a member, raw JSON `"key":value`, at the front of an object. */
export function insertMember(bytes: Buffer, object: Span, member: Uint8Array): Splice {
  const at = { start: object.start + 1, end: object.start + 1 };
  return { span: at, bytes: isEmptyObject(bytes, object) ? member : Buffer.concat([member, COMMA]) };
}

/** A text as raw JSON. */
export function encodeString(text: string): Buffer {
  return Buffer.from(JSON.stringify(text));
}

function metaSplice(result: Buffer, { key, value }: { key: string; value: Uint8Array }): Splice {
  const [meta] = readFields(result, { start: 0, end: result.length }, META);
  const member = Buffer.concat([encodeString(key), COLON, value]);
  const object = Buffer.concat([OPEN_OBJECT, member, CLOSE]);
  if (meta === undefined) {
    return insertMember(result, { start: 0, end: result.length }, Buffer.concat([META_KEY, object]));
  }
  if (!isObject(result, meta)) return { span: meta, bytes: object };
  const [same] = readFields(result, meta, fields([key]));
  return same === undefined ? insertMember(result, meta, member) : { span: same, bytes: value };
}

const META = fields(['_meta']);

const HEAD = Buffer.from('{"jsonrpc":"2.0","id":');
const OPEN = Buffer.from('{"jsonrpc":"2.0"');
const RESULT = Buffer.from(',"result":');
const ERROR = Buffer.from(',"error":');
const CLOSE = Buffer.from('}');
const OPEN_OBJECT = Buffer.from('{');
const NULL = Buffer.from('null');
const COLON = Buffer.from(':');
const COMMA = Buffer.from(',');
const META_KEY = Buffer.from('"_meta":');

/** The methods that messages mostly have, encoded once. */
const METHOD_PIECES = new Map(
  [
    'ping',
    'tools/call',
    'tools/list',
    'resources/read',
    'prompts/get',
    'completion/complete',
    'notifications/progress',
    'notifications/message',
    'notifications/cancelled',
    'sampling/createMessage',
    'elicitation/create',
  ].map((method) => [method, encodeMethod(method)]),
);

function encodeMethod(method: string): { readonly alone: Buffer; readonly withParams: Buffer } {
  const member = `,"method":${JSON.stringify(method)}`;
  return { alone: Buffer.from(member), withParams: Buffer.from(`${member},"params":`) };
}

function methodPiece(method: string): Buffer {
  return (METHOD_PIECES.get(method) ?? encodeMethod(method)).alone;
}

function paramsPiece(method: string): Buffer {
  return (METHOD_PIECES.get(method) ?? encodeMethod(method)).withParams;
}

/** -32001 means "session not found" and nothing else. */
const CODES = {
  parse_error: -32700,
  invalid_request: -32600,
  method_not_found: -32601,
  invalid_params: -32602,
  session_not_found: -32001,
  unsupported_protocol_version: -32000,
  session_id_missing: -32000,
  session_busy: -32000,
  unauthenticated: -32000,
  invalid_dpop_proof: -32000,
  insufficient_scope: -32000,
  rate_limited: -32000,
  too_many_sessions: -32000,
  message_too_large: -32000,
  unavailable: -32000,
  store_unavailable: -32000,
  overloaded: -32000,
  draining: -32000,
  credential_unknown: -32000,
  backend_unauthorized: -32000,
  audience_not_allowed: -32000,
  login_required: -32000,
  credential_unavailable: -32000,
  cancelled: -32000,
  internal: -32603,
  backend_unavailable: -32603,
  backend_busy: -32603,
  backend_timeout: -32603,
  backend_protocol_error: -32603,
  backend_restarted: -32603,
  outcome_unknown: -32603,
} as const satisfies Record<Reason, number>;
