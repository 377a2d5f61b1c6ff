import { MeshError } from '../../shared/errors.ts';
import { requestId } from '../../shared/request-id.ts';
import type { Pieces } from '../../shared/rpc/frame-writer.ts';
import { type Reader, unpinned } from '../../shared/rpc/inflow.ts';
import {
  CUT_BYTES,
  CUT_MS,
  HeadKind,
  type Open,
  OpenKind,
  PIECE_BYTES,
  type ReplicaFrame,
  WINDOW_BYTES,
} from '../../shared/rpc/mesh-protocol.ts';
import { type Carrier, Lane, type Outbox } from '../../shared/rpc/outbox.ts';
import { readTrace } from '../../shared/telemetry/tracer.ts';
import type { CapabilityFeed } from '../capabilities/feed.ts';
import type { Caller } from '../identity/caller.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';
import type {
  Departure,
  Exchange,
  ExchangeCounter,
  ExchangeOutcome,
  ExchangeWatcher,
  ReplySink,
  SidecarPeer,
} from './exchange.ts';

/** The stream that an exchange came on, as far as the exchange needs it. */
export interface ServingStream {
  readonly peer: SidecarPeer;
  readonly outbox: Outbox<ReplicaFrame>;
  /** Where the sidecar can answer lists by itself. */
  readonly feed: CapabilityFeed | undefined;
  readonly count: ExchangeCounter | undefined;
  /** The exchange is over on the wire. */
  freed(exchange: ServedExchange): void;
  /** Something of ours threw where nothing may. */
  faulted(thrown: unknown): void;
}

const KINDS: Readonly<Record<number, Exchange['kind']>> = {
  [OpenKind.MESSAGE]: 'message',
  [OpenKind.LISTEN]: 'listen',
  [OpenKind.TERMINATE]: 'terminate',
};

/** Undefined for a kind that only a newer peer knows. */
export function kindOf(open: Open): Exchange['kind'] | undefined {
  return KINDS[open.kind];
}

/**
 * One exchange at the replica, from Open to its last frame: what the handler sees
 * (Exchange), where it answers (ReplySink), the way out (Lane) and the way in
 * (Reader). One object, because it is made for every call.
 */
export class ServedExchange extends Lane<ReplicaFrame> implements Exchange, ReplySink, Reader {
  readonly kind: Exchange['kind'];
  readonly sessionId: string;
  readonly protocolVersion: string;
  readonly lastEventId: string;
  readonly traceparent: string;
  readonly tracestate: string;
  readonly requestId: string;
  /** The id of the credential it came under; 0: none. */
  readonly credentialId: number;
  /** Shown with this request, where its token needs one. */
  readonly proof: Open['proof'];
  /** When it is over, on the monotonic clock in milliseconds; Infinity: never. */
  readonly deadlineAt: number;
  onDeparture: ((why: Departure) => void) | undefined = undefined;
  onDrain: (() => void) | undefined = undefined;
  onRevoked: (() => void) | undefined = undefined;
  watcher: ExchangeWatcher | undefined = undefined;

  owed = 0;
  pieces: Uint8Array[] | undefined = undefined;
  assembled = 0;
  paused = false;
  /** When the last piece of its body came. */
  heardAt: number;

  readonly #stream: ServingStream;
  #caller: Caller | undefined = undefined;
  #body: Buffer | undefined = undefined;
  #dispatched = false;
  #streams = false;
  #finished = false;
  #left: Departure | undefined = undefined;
  #full = false;
  readonly #openedAt: number;
  #counted = false;

  /** `now` is monotonic, in milliseconds. */
  constructor(open: Open, kind: Exchange['kind'], { stream, now }: { stream: ServingStream; now: number }) {
    super(open.exchange, stream.outbox);
    this.#stream = stream;
    this.kind = kind;
    this.sessionId = open.sessionId;
    this.protocolVersion = open.protocolVersion;
    this.lastEventId = open.lastEventId;
    const trace = open.traceparent === '' ? undefined : readTrace(open);
    this.traceparent = trace?.traceparent ?? '';
    this.tracestate = trace?.tracestate ?? '';
    this.requestId = requestId(open.requestId);
    this.credentialId = open.credential;
    this.proof = open.proof;
    this.deadlineAt = open.deadlineMs === 0 ? Number.POSITIVE_INFINITY : now + open.deadlineMs;
    this.heardAt = now;
    this.#openedAt = now;
  }

  get caller(): Caller {
    if (this.#caller === undefined)
      throw new MeshError('internal', 'An exchange was used before its caller was known.');
    return this.#caller;
  }

  get body(): Buffer {
    if (this.#body === undefined)
      throw new MeshError('internal', 'An exchange was used before its body was whole.');
    return this.#body;
  }

  get peer(): SidecarPeer {
    return this.#stream.peer;
  }

  get reply(): ReplySink {
    return this;
  }

  get closed(): boolean {
    return this.#finished || this.#left !== undefined;
  }

  /** Whether its body is still coming. */
  get receiving(): boolean {
    return this.#body === undefined && !this.closed;
  }

  answeredList(session: LiveSession, kind: ListKind): void {
    const { feed } = this.#stream;
    feed?.listed({ session, kind, caller: this.caller, credential: this.credentialId });
  }

  /** The body is whole. */
  complete(body: Buffer): void {
    this.#body = body;
  }

  /** The credential's verdict. */
  admit(caller: Caller): void {
    this.#caller = caller;
  }

  /** Hands the exchange to the handler once its body and its caller are there. */
  dispatch(handle: (exchange: Exchange) => unknown): void {
    if (this.#dispatched || this.#finished || this.#body === undefined || this.#caller === undefined) return;
    const early = this.#left;
    if (early !== undefined && early !== 'detached') return;
    this.#dispatched = true;
    try {
      const result = handle(this);
      if (result instanceof Promise) result.catch((thrown: unknown) => this.#broke(thrown));
    } catch (thrown) {
      this.#broke(thrown);
    }
    if (early !== undefined) this.#tell(early);
  }

  json(pieces: readonly Uint8Array[], sessionId?: string): void {
    if (this.closed) return;
    this.watcher?.said(pieces);
    const head: NonNullable<ReplicaFrame['head']> & Carrier = {
      exchange: this.exchange,
      kind: HeadKind.JSON,
      sessionId: sessionId ?? null,
    };
    this.#finish({ head }, head, pieces);
  }

  accepted(): void {
    if (this.closed) return;
    this.#finish({ head: { exchange: this.exchange, kind: HeadKind.ACCEPTED } });
  }

  stream(): void {
    if (this.closed) return;
    this.#streams = true;
    this.watcher?.streams();
    if (this.kind === 'listen') this.#count('answered');
    this.push({ head: { exchange: this.exchange, kind: HeadKind.STREAM } });
  }

  event(pieces: readonly Uint8Array[], eventId?: string, retryMs?: number): boolean {
    if (this.closed) return true;
    if (this.waiting > CUT_BYTES) {
      this.cut();
      return true;
    }
    this.watcher?.said(pieces);
    const data: NonNullable<ReplicaFrame['data']> & Carrier = {
      exchange: this.exchange,
      eventId: eventId ?? null,
      retryMs: retryMs ?? null,
    };
    // What waits for a slow reader holds no more memory than it is counted with.
    this.push({ data }, data, pieces.map(unpinned));
    this.#full = this.waiting + this.uncredited > WINDOW_BYTES;
    return !this.#full;
  }

  end(retryMs?: number): void {
    if (this.closed) return;
    this.#finish({ data: { exchange: this.exchange, retryMs: retryMs ?? null, end: true } });
  }

  fail(error: MeshError): void {
    if (this.closed) return;
    this.watcher?.ended(error.reason);
    this.#count(error.reason);
    this.#finish({ failure: failureOf(this.exchange, error) });
  }

  /** The sidecar's side of it is over: nothing is sent any more, and the handler hears why. */
  depart(why: Departure): void {
    if (this.closed) return;
    this.watcher?.ended(why);
    this.#count(why);
    this.#left = why;
    this.#free();
    if (this.#dispatched) this.#tell(why);
  }

  /** Its caller is not one any more: a GET listens no longer. */
  revoke(): void {
    if (this.closed) return;
    // What has not begun never does.
    if (!this.#streams)
      return this.fail(new MeshError('unauthenticated', 'The access token is not accepted any more.'));
    try {
      this.onRevoked?.();
    } catch (thrown) {
      this.#stream.faulted(thrown);
    }
  }

  /** The reader does not read: it gets a last frame, and the work goes on as after a Detach. */
  cut(): void {
    if (this.closed) return;
    const error = new MeshError('overloaded', 'The answer was not read in time.');
    this.#stream.outbox.control({ failure: failureOf(this.exchange, error) });
    this.depart('detached');
  }

  /** Ends what took too long: the call, its reader, its body. `now` is monotonic, in milliseconds. */
  tick(now: number): void {
    if (now >= this.deadlineAt) this.#expire();
    else if (this.stalledAt > 0 && now - this.stalledAt > CUT_MS) this.cut();
    else if (this.receiving && now - this.heardAt > CUT_MS) {
      // Whether it was we who kept its credit back, or the sidecar that stopped.
      const reason = this.owed < PIECE_BYTES ? 'invalid_request' : 'overloaded';
      this.fail(new MeshError(reason, 'The message did not arrive in time.'));
    }
  }

  #expire(): void {
    if (this.closed) return;
    const error = new MeshError('backend_timeout', 'The call took longer than its deadline.');
    this.#stream.outbox.control({ failure: failureOf(this.exchange, error) });
    this.depart('deadline');
  }

  protected override emptied(): void {
    if (this.#finished) return this.#free();
    if (!this.#full) return;
    this.#full = false;
    try {
      this.onDrain?.();
    } catch (thrown) {
      this.#broke(thrown);
    }
  }

  #finish(frame: ReplicaFrame, carrier?: Carrier, body?: Pieces): void {
    this.#finished = true;
    this.watcher?.ended();
    this.#count('answered');
    this.push(frame, carrier, body);
  }

  /** Only the first counts. */
  #count(outcome: ExchangeOutcome): void {
    if (this.#counted) return;
    this.#counted = true;
    this.#stream.count?.(this.kind, outcome, performance.now() - this.#openedAt);
  }

  #free(): void {
    this.close();
    this.#stream.freed(this);
  }

  #tell(why: Departure): void {
    try {
      this.onDeparture?.(why);
    } catch (thrown) {
      this.#stream.faulted(thrown);
    }
  }

  #broke(thrown: unknown): void {
    this.#stream.faulted(thrown);
    this.fail(MeshError.from(thrown));
  }
}

/** The frame's payload for a failure. What the log knows of it stays here. */
export function failureOf(exchange: number, error: MeshError): NonNullable<ReplicaFrame['failure']> {
  return {
    exchange,
    reason: error.reason,
    detail: error.message,
    retryAfterMs: error.retryAfterMs ?? null,
    scope: error.scope ?? null,
    backend: error.backend ?? null,
  };
}
