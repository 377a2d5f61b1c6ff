import { encodeString, insertMember, splice } from '../json-rpc/envelope.ts';
import { type Scanned, type Span, slice } from '../json-rpc/message.ts';
import { isObject, isString, type Member, peekFields, readMembers } from '../json-rpc/object.ts';
import { decodeString, scanMessage } from '../json-rpc/scan.ts';
import { fields } from '../json-rpc/walker.ts';
import type { Attributes, TraceContext } from './tracer.ts';

/** What spans have to do with JSON-RPC messages; only looked at where a span is written. */

interface Described {
  readonly name: string;
  readonly attributes: Attributes;
}

/** A method's name is chosen by who sends it. */
const METHOD = /^[\w./$-]{1,64}$/;
const TRACE = fields(['traceparent', 'tracestate']);
const IS_ERROR = fields(['isError']);
const CODE = fields(['code']);
const TRUE = Buffer.from('true');
/** A code is a number; what else stands there, whoever answers has chosen. */
const NUMBER = /^-?\d{1,10}$/;

/** The name and attributes of a span for a request or a notification (semantic conventions for MCP, Client and Server). */
export function describeMessage(bytes: Buffer, { method, id, name }: Scanned): Described {
  if (method === undefined) return { name: 'response', attributes: {} };
  const said = METHOD.test(method) ? method : '_OTHER';
  const target = name === undefined || !isString(bytes, name) ? undefined : decodeString(bytes, name);
  const tool = method === 'tools/call' ? target : undefined;
  const prompt = method === 'prompts/get' ? target : undefined;
  const item = tool ?? prompt;
  return {
    name: item === undefined ? said : `${said} ${item}`,
    attributes: {
      'mcp.method.name': said,
      'jsonrpc.request.id': id === undefined ? undefined : idOf(bytes, id),
      'gen_ai.tool.name': tool,
      'gen_ai.operation.name': tool === undefined ? undefined : 'execute_tool',
      'gen_ai.prompt.name': prompt,
    },
  };
}

/** The trace that a message itself says it belongs to, in its `_meta` (SEP-414). */
export function traceIn(bytes: Buffer, { meta }: Scanned): TraceContext | undefined {
  if (meta === undefined || !isObject(bytes, meta)) return undefined;
  const [traceparent, tracestate] = peekFields(bytes, meta, TRACE);
  if (traceparent === undefined || !isString(bytes, traceparent)) return undefined;
  const state = tracestate !== undefined && isString(bytes, tracestate);
  return {
    traceparent: decodeString(bytes, traceparent),
    tracestate: state ? decodeString(bytes, tracestate) : undefined,
  };
}

/**
 * The message as part of this trace: where its `_meta` names one, it names this one.
 * `always` writes it there in any case, for a transport that carries no headers.
 */
export function withTrace(
  pieces: readonly Uint8Array[],
  trace: TraceContext,
  { always }: { readonly always: boolean },
): readonly Uint8Array[] {
  const bytes = Buffer.concat(pieces);
  const { params, meta } = scanMessage(bytes, { ids: 'any' });
  const whole = { start: 0, end: bytes.length };
  if (params === undefined) return pieces;
  if (meta === undefined) {
    if (!always) return pieces;
    const member = Buffer.concat([META_KEY, OPEN, membersOf(trace), CLOSE]);
    return splice(bytes, whole, [insertMember(bytes, params, member)]);
  }
  if (!isObject(bytes, meta)) return pieces;
  const known = readMembers(bytes, meta).map((member) => ({ member, name: decodeString(bytes, member.key) }));
  const named = (name: string) => known.filter((each) => each.name === name).map(({ member }) => member);
  const parents = named('traceparent');
  if (parents.length === 0 && !always) return pieces;
  const replace = (members: readonly Member[], value: string) =>
    members.map((member) => ({ span: member.value, bytes: encodeString(value) }));
  if (parents.length > 0) {
    const states = replace(named('tracestate'), trace.tracestate ?? '');
    return splice(bytes, whole, [...replace(parents, trace.traceparent), ...states]);
  }
  // A state without a parent says nothing (W3C Trace Context §3.3), and two of them would be no JSON to some.
  const states = replace(named('tracestate'), trace.tracestate ?? '');
  const { traceparent } = trace;
  const member = membersOf(states.length > 0 ? { traceparent } : trace);
  return splice(bytes, whole, [...states, insertMember(bytes, meta, member)]);
}

/** A trace as headers (W3C Trace Context §3); a state says nothing alone. */
export function traceHeaders({ traceparent, tracestate }: TraceContext): Readonly<Record<string, string>> {
  return tracestate === undefined || tracestate === '' ? { traceparent } : { traceparent, tracestate };
}

/** What an answer says went wrong, as `error.type` has it: the code of an error, or that of a tool. */
export function faultOfAnswer(pieces: readonly Uint8Array[]): string | undefined {
  const bytes = Buffer.concat(pieces);
  try {
    return faultIn(bytes, scanMessage(bytes, { ids: 'any' }));
  } catch {
    // An array of answers, or what only its reader can judge.
    return undefined;
  }
}

/** The same for an answer that was scanned. */
export function faultIn(bytes: Buffer, { error, result }: Scanned): string | undefined {
  if (error !== undefined && isObject(bytes, error)) {
    const [code] = peekFields(bytes, error, CODE);
    const said = code === undefined ? '' : slice(bytes, code).toString('latin1');
    return NUMBER.test(said) ? said : '_OTHER';
  }
  if (result === undefined || !isObject(bytes, result)) return undefined;
  const [isError] = peekFields(bytes, result, IS_ERROR);
  return isError !== undefined && slice(bytes, isError).equals(TRUE) ? 'tool_error' : undefined;
}

function idOf(bytes: Buffer, id: Span): string {
  return isString(bytes, id) ? decodeString(bytes, id) : slice(bytes, id).toString('latin1');
}

function membersOf({ traceparent, tracestate }: TraceContext): Buffer {
  const state = tracestate === undefined ? '' : `,"tracestate":${JSON.stringify(tracestate)}`;
  return Buffer.from(`"traceparent":${JSON.stringify(traceparent)}${state}`);
}

const META_KEY = Buffer.from('"_meta":');
const OPEN = Buffer.from('{');
const CLOSE = Buffer.from('}');
