import type { ServerResponse } from 'node:http';
import type { MeshError, Reason } from '../../shared/errors.ts';
import type { Scanned } from '../../shared/json-rpc/message.ts';
import type { Logger } from '../../shared/log.ts';
import { describeMessage, faultOfAnswer, traceIn } from '../../shared/telemetry/message-spans.ts';
import type { Attributes, Span, TraceContext, Tracer } from '../../shared/telemetry/tracer.ts';
import type { AnswerSink } from '../mesh/exchange.ts';
import type { ExchangeKind } from '../ops/metrics.ts';
import type { RequestHead } from './request-head.ts';

export interface WatchOptions {
  readonly tracer: Tracer | undefined;
  readonly log: Logger;
}

/** What is looked at of a request. */
interface Looked {
  readonly kind: ExchangeKind;
  readonly body: Buffer | undefined;
  readonly scanned: Scanned | undefined;
}

/** Looks at exchanges: a span for each where traces are written, a line where the log says so much. */
export class ExchangeWatch {
  readonly #options: WatchOptions;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Undefined where nobody looks. */
  begin(head: RequestHead, request: Looked): WatchedExchange | undefined {
    const { tracer, log } = this.#options;
    return tracer === undefined && !log.debugs()
      ? undefined
      : new WatchedExchange(head, request, this.#options);
  }
}

const METHODS = { message: 'POST', listen: 'GET', terminate: 'DELETE' } as const satisfies Record<
  ExchangeKind,
  string
>;

/** One exchange from its request to its answer, as traces and the log tell it. */
class WatchedExchange {
  readonly #kind: ExchangeKind;
  readonly #request: string | undefined;
  readonly #method: string | undefined;
  readonly #log: Logger;
  readonly #span: Span | undefined;
  readonly #startedAt = performance.now();
  #fault: string | undefined;
  #over = false;

  constructor(head: RequestHead, request: Looked, { tracer, log }: WatchOptions) {
    const { name, from, attributes } = describe(head, request);
    this.#kind = request.kind;
    this.#request = head.requestId;
    this.#method = attributes['mcp.method.name'];
    this.#log = log;
    this.#span = tracer?.serve(name, from, { attributes });
  }

  /** What the replica is told instead of what the client said; nothing where no trace is written. */
  get trace(): { readonly traceparent: string; readonly tracestate: string | undefined } | undefined {
    if (this.#span === undefined) return undefined;
    const { traceparent, tracestate } = this.#span.context;
    return { traceparent, tracestate };
  }

  /** The sink, heard on the way. A client that leaves ends it too. */
  around(sink: AnswerSink, response: ServerResponse): AnswerSink {
    response.once('close', () => this.ended('detached'));
    return {
      json: (pieces, sessionId) => {
        this.#said(pieces);
        this.ended();
        sink.json(pieces, sessionId);
      },
      accepted: () => {
        this.ended();
        sink.accepted();
      },
      stream: () => {
        if (this.#kind === 'listen') this.ended();
        sink.stream();
      },
      event: (pieces, eventId, retryMs) => {
        this.#said(pieces);
        return sink.event(pieces, eventId, retryMs);
      },
      end: () => {
        this.ended();
        sink.end();
      },
      fail: (error: MeshError) => {
        this.ended(error.reason);
        sink.fail(error);
      },
    };
  }

  /** A list that the sidecar knew itself. */
  answeredHere(): void {
    this.#span?.set({ 'outrigger.answered_by': 'sidecar' });
    this.ended();
  }

  /** Only the first counts. Undefined: it was answered. */
  ended(why?: Reason | 'detached'): void {
    if (this.#over) return;
    this.#over = true;
    // A client that has left gets its answer when it comes back.
    this.#span?.end(why === 'detached' ? undefined : (why ?? this.#fault));
    this.#log.debug('an exchange ended', {
      request: this.#request,
      kind: this.#kind,
      method: this.#method,
      reason: why ?? this.#fault ?? 'answered',
      durationMs: Math.round(performance.now() - this.#startedAt),
    });
  }

  #said(pieces: readonly Uint8Array[]): void {
    if (this.#span !== undefined) this.#fault = faultOfAnswer(pieces) ?? this.#fault;
  }
}

interface Description {
  readonly name: string;
  readonly from: TraceContext | undefined;
  readonly attributes: Attributes;
}

/** What a message itself says of its trace comes before what its transport says (semantic conventions for MCP). */
function describe(head: RequestHead, { kind, body, scanned }: Looked): Description {
  const { traceparent, tracestate, protocolVersion } = head;
  const method = METHODS[kind];
  const given = traceparent === undefined ? undefined : { traceparent, tracestate };
  const said =
    body === undefined || scanned === undefined
      ? { name: `${method} /mcp`, attributes: {} }
      : describeMessage(body, scanned);
  const within = body === undefined || scanned === undefined ? undefined : traceIn(body, scanned);
  return {
    name: said.name,
    from: within ?? given,
    attributes: {
      'http.request.method': method,
      'network.protocol.name': 'http',
      'outrigger.request': head.requestId,
      'mcp.protocol.version': protocolVersion,
      ...said.attributes,
    },
  };
}
