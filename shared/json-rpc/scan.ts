import { MeshError } from '../errors.ts';
import { JsonRpcFault } from './fault.ts';
import { type Scanned, type Span, slice } from './message.ts';
import { type Findings, fields, found, MAX_DEPTH, Walker } from './walker.ts';

/** Messages in one array, where the negotiated revision has arrays at all (2025-03-26). */
const MAX_BATCH = 100;

/** Bytes between the quotes of a string id. */
const MAX_ID_BYTES = 256;

const META = fields(['progressToken'], { slot: 6 });
const PARAMS = fields(
  ['name', 'uri', 'ref', '_meta', 'progressToken', 'requestId', 'cursor', 'level', 'task', 'taskId'],
  { slot: 7, below: { _meta: META } },
);
const ENVELOPE = fields(['jsonrpc', 'id', 'method', 'params', 'result', 'error'], {
  below: { params: PARAMS },
});

const JSONRPC = 0;
const ID = 1;
const METHOD = 2;
const PARAMS_SLOT = 3;
const RESULT = 4;
const ERROR = 5;

/** The array itself is a level of its own. */
const BATCH_DEPTH = MAX_DEPTH + 1;

const QUOTE = 0x22;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const MINUS = 0x2d;

export interface ScanOptions {
  /**
   * `strict`, for what clients send: a string of at most 256 bytes or a safe
   * integer, in plain digits. `any`, for what backends send: any string or number,
   * to be given back byte for byte; an error response may have no id or null.
   */
  readonly ids?: 'strict' | 'any';
}

/**
 * Reads one message: UTF-8, strict JSON, depth, number of parts, the shape of a
 * JSON-RPC 2.0 request, notification or response as MCP narrows it, and where its
 * fields lie. A field of the envelope, or of params one that routing reads, that
 * occurs twice or in another case is refused (-32600), escapes decoded first.
 *
 * Linear in the size of the message. Throws `JsonRpcFault`.
 */
export function scanMessage(bytes: Buffer, options: ScanOptions = {}): Scanned {
  const at: Findings = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  ];
  const walker = new Walker(bytes, at);
  walker.checkEncoding();
  const start = walker.space(0);
  const isObject = walker.at(start) === OPEN_BRACE;
  walker.finish(isObject ? walker.fields(start, 1, ENVELOPE) : walker.value(start, 1));
  if (!isObject) throw new JsonRpcFault(-32600, 'The message is not a JSON object.');
  return judge(bytes, at, { refusal: walker.refusal, ids: options.ids ?? 'strict' });
}

/**
 * The spans of the messages in an array; undefined when the message is no array.
 * The messages themselves are still to be scanned. Throws `JsonRpcFault`: not
 * JSON, empty, or more than `MAX_BATCH`.
 */
export function scanBatch(bytes: Buffer): Span[] | undefined {
  const walker = new Walker(bytes, [], BATCH_DEPTH);
  const start = walker.space(0);
  if (walker.at(start) !== OPEN_BRACKET) return undefined;
  walker.checkEncoding();
  const spans: Span[] = [];
  const end = walker.array(start, 1, (first, last) => spans.push({ start: first, end: last }));
  walker.finish(end);
  if (spans.length === 0) throw new JsonRpcFault(-32600, 'The array of messages is empty.');
  if (spans.length > MAX_BATCH)
    throw new JsonRpcFault(-32600, `The array has more than ${MAX_BATCH} messages.`);
  return spans;
}

/** The text of a raw JSON string. Throws MeshError `invalid_params` where the span holds another kind of value. */
export function decodeString(bytes: Buffer, span: Span): string {
  if (bytes[span.start] !== QUOTE)
    throw new MeshError('invalid_params', 'A parameter that must be a string is not one.');
  return JSON.parse(bytes.toString('utf8', span.start, span.end)) as string;
}

function judge(
  bytes: Buffer,
  at: Findings,
  rules: { refusal: string | undefined; ids: 'strict' | 'any' },
): Scanned {
  const scanned = assemble(bytes, at);
  const { id, error } = scanned;
  const { refusal, ids } = rules;
  const goodId =
    id !== undefined && refusal !== 'id' && (ids === 'any' ? isAnyId(bytes, id) : isStrictId(bytes, id));
  const problem =
    refusal === undefined
      ? complaint(bytes, at, scanned)
      : `The member "${refusal}" occurs twice, or in another case.`;
  if (problem !== undefined) throw new JsonRpcFault(-32600, problem, goodId ? slice(bytes, id) : undefined);
  if (goodId || scanned.kind === 'notification') return scanned;
  // A backend that could not read our message does not know whose error it returns.
  if (ids === 'any' && error !== undefined && (id === undefined || isNull(bytes, id)))
    return { ...scanned, id: undefined };
  throw new JsonRpcFault(-32600, 'The member "id" must be a short string or a safe integer.');
}

function assemble(bytes: Buffer, at: Findings): Scanned {
  const methodSpan = found(at, METHOD);
  const id = found(at, ID);
  const method =
    methodSpan === undefined || bytes[methodSpan.start] !== QUOTE ? undefined : methodName(bytes, methodSpan);
  return {
    kind: methodSpan === undefined ? 'response' : id === undefined ? 'notification' : 'request',
    method,
    id,
    params: found(at, PARAMS_SLOT),
    result: found(at, RESULT),
    error: found(at, ERROR),
    name: found(at, 7),
    uri: found(at, 8),
    ref: found(at, 9),
    meta: found(at, 10),
    // A progress notification names its token itself; a request asks for progress in its _meta.
    progressToken: found(at, method === 'notifications/progress' ? 11 : 6),
    requestId: found(at, 12),
    cursor: found(at, 13),
    level: found(at, 14),
    task: found(at, 15),
    taskId: found(at, 16),
  };
}

/** What keeps the JSON object from being a message, its id apart. */
function complaint(bytes: Buffer, at: Findings, scanned: Scanned): string | undefined {
  const { kind, method, params, result, error } = scanned;
  if (!isVersion(bytes, at[2 * JSONRPC] as number, at[2 * JSONRPC + 1] as number))
    return 'The member "jsonrpc" must be "2.0".';
  if (kind !== 'response') {
    if (method === undefined) return 'The member "method" must be a string.';
    if (result !== undefined || error !== undefined) return 'A request has neither "result" nor "error".';
    if (params !== undefined && bytes[params.start] !== OPEN_BRACE)
      return 'The member "params" must be an object.';
    return undefined;
  }
  if ((result === undefined) === (error === undefined))
    return 'A message has "method", or one of "result" and "error".';
  const outcome = result ?? error;
  if (outcome !== undefined && bytes[outcome.start] !== OPEN_BRACE)
    return 'The outcome of a request must be an object.';
  return undefined;
}

/** Known methods are compared as bytes, which is cheaper than to make a string for each message. */
const METHODS = new Map<number, { readonly code: Buffer; readonly name: string }[]>();
for (const name of [
  'initialize',
  'ping',
  'tools/call',
  'tools/list',
  'resources/read',
  'prompts/get',
  'notifications/initialized',
  'notifications/progress',
  'notifications/message',
  'notifications/cancelled',
]) {
  const code = Buffer.from(`"${name}"`);
  METHODS.set(code.length, [...(METHODS.get(code.length) ?? []), { code, name }]);
}

function methodName(bytes: Buffer, span: Span): string {
  for (const { code, name } of METHODS.get(span.end - span.start) ?? [])
    if (equals(bytes, span.start, code)) return name;
  return decodeString(bytes, span);
}

const VERSION = Buffer.from('"2.0"');

function isVersion(bytes: Buffer, start: number, end: number): boolean {
  return end - start === VERSION.length && equals(bytes, start, VERSION);
}

function equals(bytes: Buffer, start: number, wanted: Buffer): boolean {
  for (let i = 0; i < wanted.length; i++) if (bytes[start + i] !== wanted[i]) return false;
  return true;
}

function isStrictId(bytes: Buffer, { start, end }: Span): boolean {
  if (bytes[start] === QUOTE) return end - start - 2 <= MAX_ID_BYTES;
  const first = bytes[start] === MINUS ? start + 1 : start;
  let magnitude = 0;
  for (let p = first; p < end; p++) {
    const digit = (bytes[p] as number) - 0x30;
    if (digit < 0 || digit > 9) return false;
    magnitude = magnitude * 10 + digit;
  }
  return magnitude <= Number.MAX_SAFE_INTEGER && (magnitude > 0 || first === start);
}

/** A number or a string, whatever it is. */
function isAnyId(bytes: Buffer, { start }: Span): boolean {
  const c = bytes[start] as number;
  return c === QUOTE || c === MINUS || (c >= 0x30 && c <= 0x39);
}

function isNull(bytes: Buffer, { start }: Span): boolean {
  return bytes[start] === 0x6e;
}
