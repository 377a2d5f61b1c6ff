import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import type { Message } from '../../shared/json-rpc/message.ts';
import { type SseEvent, SseParser } from '../../shared/sse/parser.ts';
import { BackendFault } from './backend.ts';
import type { OutgoingHandler } from './connections.ts';
import type { Deadlines, Watched } from './deadlines.ts';
import { faultOfError, type Refusal, unsendable } from './faults.ts';
import { scan } from './messages.ts';

/** How an exchange ended. `answered`: a body of messages that ended as HTTP says; `accepted`: a success without one. */
export type Outcome =
  | { readonly kind: 'answered'; readonly as: 'json' | 'events' }
  | { readonly kind: 'accepted'; readonly status: number }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'failed'; readonly fault: BackendFault };

/** Who is told what came. */
export interface ExchangeSink {
  /** The head of an answer that holds messages, before them. */
  opened?(headers: IncomingHttpHeaders, as: 'json' | 'events'): void;
  message(message: Message): void;
  /** The id of the last event, and the reconnection time that the backend asked for. */
  eventId?(id: string): void;
  retry?(ms: number): void;
  /** An event of another type than `message`, which Streamable HTTP does not have. */
  named?(event: string, data: Buffer): void;
  /** An event that is no JSON-RPC message; without this method it ends the exchange as failed. */
  garbage?(): void;
  /** At most once, and nothing after it; not after `abort`. */
  ended(outcome: Outcome): void;
}

export interface ExchangeLimits {
  /** The longest message, in bytes. */
  readonly messageBytes: number;
  /** The longest answer in all, in bytes; Infinity for a listening stream. */
  readonly totalBytes: number;
  /** How long a message may stop in its middle, in milliseconds. */
  readonly stallMs: number;
}

export interface ExchangeOptions {
  readonly sink: ExchangeSink;
  readonly limits: ExchangeLimits;
  readonly deadlines: Deadlines;
  /** What a success says in its body is of no interest: it is `accepted`. */
  readonly ignoresBody?: boolean;
  /** Its connection is free again, or was never used. Exactly once. */
  readonly released: () => void;
}

const REFUSAL_BYTES = 65_536;
/** How much, and for how long, may still come on a stream that gave its answer before its connection is dropped. */
const DRAIN_BYTES = 65_536;
const DRAIN_MS = 2_000;

const NOBODY: ExchangeSink = { message() {}, ended() {} };

type Mode = 'head' | 'json' | 'events' | 'refusal' | 'accepted' | 'over';

/** One HTTP request to a backend and the messages of its answer; the handler that undici calls. */
export class Exchange implements OutgoingHandler, Watched {
  dueAt = Number.POSITIVE_INFINITY;
  /** Whether bytes of the request may have reached the backend. */
  written = false;
  #sink: ExchangeSink;
  readonly #limits: ExchangeLimits;
  readonly #deadlines: Deadlines;
  readonly #ignoresBody: boolean;
  readonly #released: () => void;
  #mode: Mode = 'head';
  #controller: Dispatcher.DispatchController | undefined;
  #refusal: { status: number; headers: IncomingHttpHeaders } | undefined;
  #status = 0;
  #received = 0;
  #drainFrom: number | undefined;
  #first: Buffer | undefined;
  #chunks: Buffer[] | undefined;
  #events: SseParser | undefined;
  #lastEventId = '';
  #retryMs: number | undefined;

  constructor(options: ExchangeOptions) {
    this.#sink = options.sink;
    this.#limits = options.limits;
    this.#deadlines = options.deadlines;
    this.#ignoresBody = options.ignoresBody === true;
    this.#released = options.released;
  }

  /** Drops the connection; the sink hears nothing more. */
  abort(): void {
    if (this.#mode === 'over') return;
    this.#close();
    this.#controller?.abort(new BackendFault('aborted', 'The exchange was ended here.'));
  }

  /** The answer is there: a well-behaved exchange ends now, and its connection can be used again. Another is cut soon. */
  drain(): void {
    if (this.#mode === 'over' || (this.#mode !== 'events' && !this.#ignoresBody)) return;
    this.#drainFrom = this.#received;
    this.#watch(DRAIN_MS);
  }

  expire(): void {
    if (this.#drainFrom !== undefined) this.abort();
    else this.#fail(new BackendFault('interrupted', 'The backend stopped in the middle of a message.'));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It was given up while it waited for a connection.
    if (this.#mode === 'over') controller.abort(new BackendFault('aborted', 'The exchange was ended here.'));
    else this.written = true;
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200 || this.#mode !== 'head') return;
    this.#status = status;
    if (status >= 300) {
      this.#refusal = { status, headers };
      this.#mode = 'refusal';
      return this.#watch(this.#limits.stallMs);
    }
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      return this.#fail(
        new BackendFault('protocol', 'The backend sent an encoding that was not asked for.', { status }),
      );
    }
    this.#open(status, headers);
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#received += chunk.length;
    switch (this.#mode) {
      case 'json':
        return this.#collect(chunk, this.#limits.messageBytes);
      case 'events':
        return this.#feed(chunk);
      case 'refusal':
        if (this.#received <= REFUSAL_BYTES) this.#collect(chunk, REFUSAL_BYTES);
        else this.#endRefused();
        return;
      case 'accepted':
        if (this.#received > DRAIN_BYTES) this.#endAccepted();
        return;
      default:
        return;
    }
  }

  onResponseEnd(): void {
    switch (this.#mode) {
      case 'json':
        return this.#endJson();
      case 'events':
        return this.#end({ kind: 'answered', as: 'events' });
      case 'refusal':
        return this.#endRefused();
      case 'accepted':
        return this.#endAccepted();
      default:
        return this.#close();
    }
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#end({ kind: 'failed', fault: faultOfError(error, this.written) });
  }

  /** The request could not be made ready; nothing of it left us. */
  unsent(cause: unknown): void {
    this.#end({ kind: 'failed', fault: unsendable(cause) });
  }

  #open(status: number, headers: IncomingHttpHeaders): void {
    const type = essence(headers['content-type']);
    if (this.#ignoresBody) this.#mode = 'accepted';
    else if (type === 'application/json') this.#mode = 'json';
    else if (type === 'text/event-stream') {
      this.#mode = 'events';
      const maxEventBytes = this.#limits.messageBytes;
      this.#events = new SseParser({ maxEventBytes, onEvent: (event) => this.#take(event) });
      // A stream may last for hours: it must not keep the bytes that its head came in.
      if (this.#controller !== undefined) this.#controller.rawHeaders = null;
    } else if (status !== 200 || headers['content-length'] === '0') this.#mode = 'accepted';
    else {
      return this.#fail(
        new BackendFault('protocol', 'The backend answered with another content type than MCP has.', {
          status,
        }),
      );
    }
    if (this.#mode === 'json' || this.#mode === 'events') this.#sink.opened?.(headers, this.#mode);
  }

  #feed(chunk: Buffer): void {
    const parser = this.#events;
    if (parser === undefined || this.#received > this.#limits.totalBytes) return this.#failTooLong();
    if (this.#drainFrom !== undefined && this.#received - this.#drainFrom > DRAIN_BYTES) return this.abort();
    try {
      parser.push(chunk);
    } catch (cause) {
      return this.#fail(new BackendFault('protocol', 'The stream of the backend cannot be read.', { cause }));
    }
    this.#place(parser);
    if (this.#drainFrom !== undefined || this.#mode !== 'events') return;
    if (parser.midway) this.#watch(this.#limits.stallMs);
    else if (this.dueAt !== Number.POSITIVE_INFINITY) this.#unwatch();
  }

  #take({ event, data }: SseEvent): void {
    if (this.#mode !== 'events') return;
    if (this.#events !== undefined) this.#place(this.#events);
    if (event !== 'message') {
      this.#sink.named?.(event, data);
      return;
    }
    // An event without data says where to go on from.
    if (data.length === 0) return;
    const message = scan(data);
    if (message !== undefined) this.#sink.message(message);
    else if (this.#sink.garbage !== undefined) this.#sink.garbage();
    else this.#fail(garbage(this.#status));
  }

  /** Tells where the stream stands, when that changed. */
  #place({ lastEventId, retryMs }: SseParser): void {
    if (lastEventId !== this.#lastEventId) {
      this.#lastEventId = lastEventId;
      this.#sink.eventId?.(lastEventId);
    }
    if (retryMs !== undefined && retryMs !== this.#retryMs) {
      this.#retryMs = retryMs;
      this.#sink.retry?.(retryMs);
    }
  }

  #collect(chunk: Buffer, limit: number): void {
    if (this.#received > limit) return this.#failTooLong();
    if (this.#first === undefined) this.#first = chunk;
    else if (this.#chunks === undefined) this.#chunks = [this.#first, chunk];
    else this.#chunks.push(chunk);
  }

  #body(): Buffer {
    if (this.#chunks !== undefined) return Buffer.concat(this.#chunks);
    return this.#first ?? Buffer.alloc(0);
  }

  #endJson(): void {
    const message = scan(this.#body());
    if (message === undefined) return this.#fail(garbage(this.#status));
    this.#sink.message(message);
    this.#end({ kind: 'answered', as: 'json' });
  }

  #endAccepted(): void {
    const controller = this.#received > DRAIN_BYTES ? this.#controller : undefined;
    this.#end({ kind: 'accepted', status: this.#status });
    controller?.abort(uninteresting());
  }

  #endRefused(): void {
    const { status, headers } = this.#refusal ?? { status: this.#status, headers: {} };
    const refusal: Refusal = { status, headers, body: this.#body() };
    const controller = this.#received > REFUSAL_BYTES ? this.#controller : undefined;
    this.#end({ kind: 'refused', refusal });
    controller?.abort(uninteresting());
  }

  #fail(fault: BackendFault): void {
    if (this.#mode === 'over') return;
    this.#end({ kind: 'failed', fault });
    this.#controller?.abort(fault);
  }

  #failTooLong(): void {
    this.#fail(new BackendFault('protocol', 'The answer of the backend is too long.'));
  }

  #end(outcome: Outcome): void {
    if (this.#mode === 'over') return;
    const sink = this.#sink;
    this.#close();
    sink.ended(outcome);
  }

  #close(): void {
    if (this.#mode === 'over') return;
    this.#mode = 'over';
    this.#released();
    // undici may keep its handler until the connection is used again: a call and its answer are not kept with it.
    this.#sink = NOBODY;
    this.#first = undefined;
    this.#chunks = undefined;
    if (this.dueAt !== Number.POSITIVE_INFINITY) this.#unwatch();
  }

  #watch(ms: number): void {
    if (this.dueAt === Number.POSITIVE_INFINITY) this.#deadlines.watch(this);
    this.dueAt = performance.now() + ms;
  }

  #unwatch(): void {
    this.dueAt = Number.POSITIVE_INFINITY;
    this.#deadlines.forget(this);
  }
}

function garbage(status: number): BackendFault {
  return new BackendFault('protocol', 'The backend answered with something that is no JSON-RPC message.', {
    status,
  });
}

function uninteresting(): BackendFault {
  return new BackendFault('aborted', 'The rest of the answer is of no interest.');
}

/** The media type without its parameters (RFC 9110, section 8.3.1). */
function essence(contentType: string | undefined): string {
  if (contentType === undefined) return '';
  const end = contentType.indexOf(';');
  return (end === -1 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}
