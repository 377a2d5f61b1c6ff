/**
 * Traces, as the two programs see them: OpenTelemetry's, without its packages, which
 * only a program that writes traces loads (`open-tracer.ts`). Names and meanings are
 * those of the semantic conventions for MCP.
 *
 * What a span may say is a closed set, as in a log: no token, no session id, nothing
 * of arguments or results. A resource's URI is not said either: what a caller fills
 * into a template is an argument.
 */

/** W3C Trace Context as it travels: two headers, or two members of `_meta`. */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate?: string | undefined;
}

/** W3C Trace Context §3.2; more of a later version is passed over (§4.3). */
const PARENT =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{0,64})?$/;
/** Four times what everybody passes on (§3.3.1.5). */
const STATE = /^[\x20-\x7e]{1,2048}$/;

/**
 * What a client said of its trace, as far as it can be passed on: a member of `_meta` may
 * be any text, and every backend gets it as a header. A malformed parent is none.
 */
export function readTrace({ traceparent, tracestate = '' }: TraceContext): TraceContext | undefined {
  if (!PARENT.test(traceparent)) return undefined;
  return { traceparent, tracestate: STATE.test(tracestate) ? tracestate : undefined };
}

const ATTRIBUTES = {
  'mcp.method.name': true,
  'mcp.protocol.version': true,
  'jsonrpc.request.id': true,
  'gen_ai.operation.name': true,
  'gen_ai.tool.name': true,
  'gen_ai.prompt.name': true,
  'rpc.response.status_code': true,
  'network.transport': true,
  'network.protocol.name': true,
  'http.request.method': true,
  'outrigger.request': true,
  /** The name that admins use for a session: the beginning of its record's name, never its id. */
  'outrigger.session': true,
  'outrigger.backend': true,
  'outrigger.credential.strategy': true,
  'outrigger.answered_by': true,
} as const;

export type AttributeName = keyof typeof ATTRIBUTES;
export type Attributes = { readonly [Name in AttributeName]?: string | undefined };

/** Something that takes time and is part of a trace. It ends once; what is said of it later is dropped. */
export interface Span {
  /** What the next hop is told: this span, or where it is not written whatever came before it. */
  readonly context: TraceContext;
  set(attributes: Attributes): void;
  /** `fault` is what went wrong, from a closed set of words or as a number of JSON-RPC: `error.type`. */
  end(fault?: string): void;
}

export interface SpanFacts {
  readonly attributes: Attributes;
  /** How long it has taken already, in milliseconds. */
  readonly sinceMs?: number;
}

export interface Tracer {
  /** Takes a trace on where it comes in. One that is malformed, or none, begins another. */
  serve(name: string, from: TraceContext | undefined, facts: SpanFacts): Span;
  /** Runs what is done for a span: `ask` and `step` in it, and in what it waits for, are parts of it. */
  within(span: Span, work: () => void): void;
  /** Whether what runs now is part of a trace that is written. */
  traces(): boolean;
  /** Another program is asked. Undefined where nothing is traced, or what was traced is over by now. */
  ask(name: string, facts: SpanFacts): Span | undefined;
  /** Something is done here that takes time. Undefined as in `ask`. */
  step(name: string, facts: SpanFacts): Span | undefined;
  readonly counters: TraceCounters;
}

export interface TraceCounters {
  /** Spans that the collector took. */
  readonly written: number;
  /** Spans that it did not get: it could not be reached, refused them, or was too slow. */
  readonly lost: number;
}
