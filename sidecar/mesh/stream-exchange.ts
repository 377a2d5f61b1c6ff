import { MeshError, toReason } from '../../shared/errors.ts';
import { type Inflow, MessageTooLong, type Reader, unpinned } from '../../shared/rpc/inflow.ts';
import {
  CancelReason,
  type Data,
  type Failure,
  type Head,
  HeadKind,
  OpenKind,
  type SidecarFrame,
} from '../../shared/rpc/mesh-protocol.ts';
import { type Carrier, Lane, type Outbox } from '../../shared/rpc/outbox.ts';
import type { ClientExchange } from './client-exchange.ts';
import type { Registered } from './credential-table.ts';

/** The stream that carries an exchange, as far as the exchange needs it. */
export interface CarryingStream {
  readonly outbox: Outbox<SidecarFrame>;
  readonly inflow: Inflow;
  /** The exchange is over on the wire. */
  freed(exchange: StreamExchange): void;
  /** The replica does not know the credential. */
  credentialUnknown(exchange: StreamExchange): void;
}

const OPEN_KINDS = {
  message: OpenKind.MESSAGE,
  listen: OpenKind.LISTEN,
  terminate: OpenKind.TERMINATE,
} as const;
const CANCEL_REASONS = {
  cancelled: CancelReason.CANCELLED,
  deadline: CancelReason.DEADLINE,
  shutdown: CancelReason.SHUTDOWN,
} as const;

/** One exchange on one stream: its way out (Lane), its way in (Reader), and what became of its answer. */
export class StreamExchange extends Lane<SidecarFrame> implements Reader {
  readonly client: ClientExchange;
  readonly credential: Registered | undefined;
  owed = 0;
  pieces: Uint8Array[] | undefined = undefined;
  assembled = 0;
  paused = false;
  readonly #stream: CarryingStream;
  #leaving = false;
  #streaming = false;
  #sessionId = '';
  #eventId = '';
  #retryMs = 0;

  constructor(
    exchange: number,
    client: ClientExchange,
    options: { stream: CarryingStream; credential: Registered | undefined },
  ) {
    super(exchange, options.stream.outbox);
    this.client = client;
    this.credential = options.credential;
    this.#stream = options.stream;
  }

  /** Queues the Open frame and the message. */
  send(): void {
    const { request, deadlineAt, lastEventId } = this.client;
    const open: NonNullable<SidecarFrame['open']> & Carrier = {
      exchange: this.exchange,
      kind: OPEN_KINDS[request.kind],
      credential: this.credential?.id ?? null,
      sessionId: request.sessionId ?? null,
      protocolVersion: request.protocolVersion ?? null,
      lastEventId: lastEventId ?? null,
      deadlineMs:
        deadlineAt === Number.POSITIVE_INFINITY
          ? null
          : Math.max(1, Math.ceil(deadlineAt - performance.now())),
      traceparent: request.traceparent ?? null,
      tracestate: request.tracestate ?? null,
      requestId: request.requestId,
      body: null,
      more: null,
      follows: this.client.follows || null,
      proof: request.proof === undefined ? null : { ...request.proof, urls: [...request.proof.urls] },
    };
    this.push({ open }, open, request.body === undefined ? undefined : [request.body]);
    if (this.client.detached) this.detach();
  }

  cancel(reason: 'cancelled' | 'deadline' | 'shutdown'): void {
    if (this.shut) return;
    if (this.started) {
      this.#stream.outbox.control({ cancel: { exchange: this.exchange, reason: CANCEL_REASONS[reason] } });
    }
    this.free();
  }

  /** Behind the message: what was begun is sent whole. */
  detach(): void {
    this.#leaving = true;
    this.push({ detach: { exchange: this.exchange } });
  }

  /** Leaves the answer to whoever resumes it, at once. */
  abandon(): void {
    if (this.started) this.#stream.outbox.control({ detach: { exchange: this.exchange } });
    this.free();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    if (!this.shut) this.#stream.inflow.settle(this);
  }

  head(head: Head): void {
    if (head.kind === HeadKind.ACCEPTED) {
      this.free();
      this.client.accepted();
    } else if (head.kind === HeadKind.STREAM) {
      this.#streaming = true;
      this.client.stream();
    } else {
      this.#sessionId = head.sessionId;
      this.#answer(head.body, head.more);
    }
  }

  data(data: Data): void {
    if (!this.#streaming) return this.#answer(data.body, data.more);
    if (this.pieces === undefined) {
      this.#eventId = data.eventId;
      this.#retryMs = data.retryMs;
    }
    const pieces = this.#take(data.body, data.more);
    if (pieces === undefined) return;
    const { client } = this;
    if (pieces.length > 0 || this.#eventId !== '' || this.#retryMs > 0) {
      const held = pieces.length === 1 ? pieces.map(unpinned) : pieces;
      this.paused = !client.event(held, this.#eventId || undefined, this.#retryMs || undefined);
    }
    if (data.end) {
      this.free();
      client.end();
    } else this.#stream.inflow.settle(this);
  }

  failure(failure: Failure): void {
    const reason = toReason(failure.reason);
    if (reason === 'credential_unknown') return this.#stream.credentialUnknown(this);
    this.free();
    this.client.fail(errorOf(failure));
  }

  /** Ends it at its deadline; `now` is monotonic, in milliseconds. */
  tick(now: number): void {
    const { client } = this;
    if (now < client.deadlineAt) return;
    this.cancel('deadline');
    client.fail(new MeshError('backend_timeout', 'The call took longer than its deadline.'));
  }

  /** Ends it on this stream, once. */
  free(): void {
    if (this.shut) return;
    this.close();
    this.client.attempt = undefined;
    this.#stream.freed(this);
  }

  protected override emptied(): void {
    if (this.#leaving) this.free();
  }

  #answer(body: Uint8Array, more: boolean): void {
    const pieces = this.#take(body, more);
    if (pieces === undefined) return;
    this.free();
    this.client.json(pieces, this.#sessionId || undefined);
  }

  #take(body: Uint8Array, more: boolean): readonly Uint8Array[] | undefined {
    try {
      return this.#stream.inflow.take(this, body, more);
    } catch (thrown) {
      if (!(thrown instanceof MessageTooLong)) throw thrown;
      const { client } = this;
      this.cancel('cancelled');
      client.fail(
        new MeshError('backend_protocol_error', 'The answer is longer than the mesh carries.', {
          cause: thrown,
        }),
      );
      return undefined;
    }
  }
}

function errorOf({ reason, detail, retryAfterMs, scope, backend }: Failure): MeshError {
  return new MeshError(toReason(reason), detail, {
    ...(retryAfterMs > 0 && { retryAfterMs }),
    ...(scope !== '' && { scope }),
    ...(backend !== '' && { backend }),
  });
}
