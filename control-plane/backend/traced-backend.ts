import type { Message } from '../../shared/json-rpc/message.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
import { describeMessage, faultIn, traceHeaders, withTrace } from '../../shared/telemetry/message-spans.ts';
import type { Attributes, Span, Tracer } from '../../shared/telemetry/tracer.ts';
import type { Credential } from '../credentials/strategy.ts';
import {
  type Backend,
  type BackendCall,
  type BackendEvents,
  type BackendFacts,
  BackendFault,
  type BackendHint,
  type BackendSession,
  type ListenOptions,
  type OpenOptions,
  type SessionEnd,
} from './backend.ts';

/** How messages reach a backend; a pipe carries no headers. */
export type BackendTransport = 'tcp' | 'pipe';

interface Tracing {
  readonly backend: string;
  readonly transport: BackendTransport;
  readonly tracer: Tracer;
}

/**
 * A backend whose handshakes and calls are parts of the traces of those who need them. Each
 * is a span of a client, and what is sent names it: in the headers, in `_meta` where the
 * message named a trace there, and in `_meta` in any case where nothing else can carry it.
 */
export class TracedBackend implements Backend {
  readonly #backend: Backend;
  readonly #tracing: Tracing;

  constructor(backend: Backend, { tracer, transport }: Omit<Tracing, 'backend'>) {
    this.#backend = backend;
    this.#tracing = { tracer, transport, backend: backend.name };
  }

  get name(): string {
    return this.#backend.name;
  }

  get resumable(): boolean {
    return this.#backend.resumable;
  }

  get ownProcess(): boolean {
    return this.#backend.ownProcess;
  }

  async open(options: OpenOptions): Promise<BackendSession> {
    const { tracer } = this.#tracing;
    const attributes = { ...about(this.#tracing), 'mcp.method.name': 'initialize' };
    const span = tracer.ask('initialize', { attributes });
    const trace = span?.context;
    const opening = this.#backend.open(trace === undefined ? options : { ...options, trace });
    const session = await (span === undefined ? opening : until(opening, span));
    span?.set({ 'mcp.protocol.version': session.facts.protocolVersion });
    span?.end();
    return new TracedSession(session, this.#tracing);
  }

  resume(hint: BackendHint, events: BackendEvents): BackendSession | undefined {
    const session = this.#backend.resume(hint, events);
    return session && new TracedSession(session, this.#tracing);
  }

  stop(): Promise<void> {
    return this.#backend.stop();
  }
}

class TracedSession implements BackendSession {
  readonly #session: BackendSession;
  readonly #tracing: Tracing;

  constructor(session: BackendSession, tracing: Tracing) {
    this.#session = session;
    this.#tracing = tracing;
  }

  get facts(): BackendFacts {
    return this.#session.facts;
  }

  get hint(): BackendHint | undefined {
    return this.#session.hint;
  }

  get fingerprint(): string {
    return this.#session.fingerprint;
  }

  async call(call: BackendCall): Promise<Message> {
    const span = this.#begin(call);
    if (span === undefined) return await this.#session.call(call);
    const { transport } = this.#tracing;
    const pieces = withTrace(call.pieces, span.context, { always: transport === 'pipe' });
    const headers = { ...call.headers, ...traceHeaders(span.context) };
    const answer = await until(this.#session.call({ ...call, pieces, headers }), span);
    const fault = faultIn(answer.bytes, answer.scanned);
    if (answer.scanned.error !== undefined) span.set({ 'rpc.response.status_code': fault });
    span.end(fault);
    return answer;
  }

  notify(pieces: readonly Uint8Array[], credential: Credential): Promise<void> {
    return this.#session.notify(pieces, credential);
  }

  respond(pieces: readonly Uint8Array[], credential: Credential): Promise<void> {
    return this.#session.respond(pieces, credential);
  }

  cancel(id: number, reason: string | undefined, credential: Credential): void {
    this.#session.cancel(id, reason, credential);
  }

  listen(options: ListenOptions): Promise<'closed' | 'unsupported'> {
    return this.#session.listen(options);
  }

  close(how: SessionEnd): Promise<void> {
    return this.#session.close(how);
  }

  #begin({ pieces }: BackendCall): Span | undefined {
    const { tracer } = this.#tracing;
    if (!tracer.traces()) return undefined;
    const bytes = Buffer.concat(pieces);
    const { name, attributes } = describeMessage(bytes, scanMessage(bytes, { ids: 'any' }));
    const { protocolVersion } = this.#session.facts;
    return tracer.ask(name, {
      attributes: { ...about(this.#tracing), ...attributes, 'mcp.protocol.version': protocolVersion },
    });
  }
}

function about({ backend, transport }: Tracing): Attributes {
  const http = transport === 'tcp' ? ({ 'network.protocol.name': 'http' } as const) : {};
  return { 'outrigger.backend': backend, 'network.transport': transport, ...http };
}

/** What it comes to; a failure ends the span. */
async function until<Result>(asked: Promise<Result>, span: Span): Promise<Result> {
  try {
    return await asked;
  } catch (thrown) {
    span.end(thrown instanceof BackendFault ? thrown.kind : '_OTHER');
    throw thrown;
  }
}
