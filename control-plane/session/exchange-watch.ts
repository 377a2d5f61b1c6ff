import type { Reason } from '../../shared/errors.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
import type { Logger } from '../../shared/log.ts';
import { describeMessage, faultOfAnswer, traceIn } from '../../shared/telemetry/message-spans.ts';
import type { Attributes, Span, TraceContext, Tracer } from '../../shared/telemetry/tracer.ts';
import type { Departure, Exchange, ExchangeHandler, ExchangeWatcher } from '../rpc/exchange.ts';
import type { LiveSession } from './live-session.ts';

export interface WatchOptions {
  readonly tracer: Tracer | undefined;
  readonly log: Logger;
}

/** What looks at exchanges: a span for each where traces are written, a line where the log says so much. Else nothing is done. */
export function watchExchanges({
  tracer,
  log,
}: WatchOptions): (exchange: Exchange, take: ExchangeHandler) => void {
  return (exchange, take) => {
    if (tracer === undefined && !log.debugs()) return take(exchange);
    const watched = new WatchedExchange(exchange, { tracer, log });
    exchange.watcher = watched;
    if (tracer === undefined || watched.span === undefined) take(exchange);
    else tracer.within(watched.span, () => take(exchange));
  };
}

/** Where a client that only listens or leaves would send its request. */
const TARGETS = { listen: 'GET', terminate: 'DELETE', message: 'POST' } as const;

class WatchedExchange implements ExchangeWatcher {
  readonly span: Span | undefined;
  readonly #exchange: Exchange;
  readonly #log: Logger;
  readonly #startedAt = performance.now();
  readonly #method: string | undefined;
  #session: string | undefined;
  #fault: string | undefined;
  #over = false;

  constructor(exchange: Exchange, { tracer, log }: WatchOptions) {
    this.#exchange = exchange;
    this.#log = log;
    const { name, from, attributes } = describe(exchange);
    this.#method = attributes['mcp.method.name'];
    this.span = tracer?.serve(name, from, { attributes });
  }

  get trace(): TraceContext | undefined {
    return this.span?.context;
  }

  found({ adminName, body }: LiveSession): void {
    this.#session = adminName;
    this.span?.set({ 'outrigger.session': adminName, 'mcp.protocol.version': body.protocolVersion });
  }

  said(pieces: readonly Uint8Array[]): void {
    if (this.span !== undefined) this.#fault = faultOfAnswer(pieces) ?? this.#fault;
  }

  streams(): void {
    if (this.#exchange.kind === 'listen') this.ended();
  }

  ended(why?: Reason | Departure): void {
    if (this.#over) return;
    this.#over = true;
    // A client that has left gets its answer when it comes back.
    this.span?.end(why === 'detached' ? undefined : (why ?? this.#fault));
    const { requestId: request, peer, kind } = this.#exchange;
    this.#log.debug('an exchange ended', {
      request,
      kind,
      method: this.#method,
      session: this.#session,
      stream: peer.stream,
      reason: why ?? this.#fault ?? 'answered',
      durationMs: Math.round(performance.now() - this.#startedAt),
    });
  }
}

interface Description {
  readonly name: string;
  readonly from: TraceContext | undefined;
  readonly attributes: Attributes;
}

/** The sidecar's word for where it belongs comes first: what a message says itself, the sidecar has read. */
function describe(exchange: Exchange): Description {
  const { kind, traceparent, tracestate, requestId, protocolVersion } = exchange;
  const given = traceparent === '' ? undefined : { traceparent, tracestate };
  const attributes: Attributes = {
    'http.request.method': TARGETS[kind],
    'outrigger.request': requestId,
    'mcp.protocol.version': protocolVersion === '' ? undefined : protocolVersion,
  };
  const plain = { name: `${TARGETS[kind]} /mcp`, from: given, attributes };
  if (kind !== 'message') return plain;
  try {
    const scanned = scanMessage(exchange.body);
    const { name, attributes: said } = describeMessage(exchange.body, scanned);
    return { name, from: given ?? traceIn(exchange.body, scanned), attributes: { ...attributes, ...said } };
  } catch {
    // An array of messages, or what is about to be refused.
    return plain;
  }
}
