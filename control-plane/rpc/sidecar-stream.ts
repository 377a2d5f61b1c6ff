import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import { MeshError } from '../../shared/errors.ts';
import { MessageTooLong, unpinned, WindowExceeded } from '../../shared/rpc/inflow.ts';
import {
  CAPABILITIES,
  type Cancel,
  CancelReason,
  type Credential,
  type Data,
  type Hello,
  type Open,
  PROOFS,
  type ReceivedSidecarFrame,
  type ReceivedSidecarFrames,
  type ReplicaFrame,
  type ReplicaFrames,
} from '../../shared/rpc/mesh-protocol.ts';
import type { Outbox } from '../../shared/rpc/outbox.ts';
import type { PulseTimes } from '../../shared/rpc/pulse.ts';
import { type Refusal, refusal } from '../../shared/rpc/retry-info.ts';
import { type StreamCounters, StreamEnd } from '../../shared/rpc/stream-end.ts';
import type { CapabilityFeed, FeedPort, SyncView } from '../capabilities/feed.ts';
import type { IdentityVerifier } from '../identity/caller.ts';
import { CredentialRegistry } from './credential-registry.ts';
import type { Departure, ExchangeCounter, ExchangeHandler, SidecarPeer } from './exchange.ts';
import { failureOf, kindOf, ServedExchange } from './served-exchange.ts';

/** The raw call that grpc-js gives. */
export type MeshCall = ServerDuplexStream<ReceivedSidecarFrames, ReplicaFrames>;

export interface StreamLimits {
  /** Open exchanges of one stream. */
  readonly exchanges: number;
  readonly credentials: number;
  /** The longest message, in bytes. */
  readonly maxMessageBytes: number;
  /** What unfinished request bodies of one stream may hold, in bytes. */
  readonly holdBytes: number;
}

export interface SidecarStreamOptions {
  readonly call: MeshCall;
  readonly stream: string;
  /** The workload that the connection proves. */
  readonly workload: string | undefined;
  /** The workload that the token in Hello is of; absent, no token counts. */
  readonly prove: ((token: string) => Promise<string>) | undefined;
  readonly verifier: IdentityVerifier;
  readonly handle: ExchangeHandler;
  readonly count: ExchangeCounter | undefined;
  readonly limits: StreamLimits;
  readonly pulse: PulseTimes;
  /** Lets the sidecar answer lists by itself, where it can. */
  readonly openFeed: ((port: FeedPort) => CapabilityFeed) | undefined;
  /** Hello came. Returns the frame to answer with, or throws a refusal to end with. */
  greet(hello: Hello, stream: SidecarStream): ReplicaFrame;
  /** The stream is over, for whatever reason. Called once. */
  over(stream: SidecarStream): void;
  faulted(thrown: unknown): void;
}

/** A refusal of the whole stream, by gRPC status. */
export class StreamRefused extends Error {
  override readonly name = 'StreamRefused';
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.details);
    this.refusal = refusal;
  }
}

const DEPARTURES: Readonly<Record<number, Departure>> = {
  [CancelReason.CANCELLED]: 'cancelled',
  [CancelReason.DEADLINE]: 'deadline',
  [CancelReason.SHUTDOWN]: 'shutdown',
};

type State = 'greeting' | 'proving' | 'open' | 'leaving' | 'over';

/**
 * One mesh stream at the replica. State: `greeting` until Hello, `open`, `leaving`
 * after GoAway until the last exchange is over, `over`. A slow sidecar costs only
 * itself: its answers wait in their lanes, bounded by `CUT_BYTES` each, its request
 * bodies by credit.
 */
export class SidecarStream {
  peer: SidecarPeer;
  readonly #options: SidecarStreamOptions;
  readonly #call: MeshCall;
  readonly #end: StreamEnd<ReplicaFrame, ServedExchange>;
  #credentials: CredentialRegistry | undefined;
  #feed: CapabilityFeed | undefined;
  /** How far the sidecar was when the stream ended. */
  #lastSync: readonly SyncView[] | undefined;
  #state: State = 'greeting';
  #lastExchange = 0;

  constructor(options: SidecarStreamOptions) {
    this.#options = options;
    this.#call = options.call;
    this.peer = { node: '', virtualServer: '', stream: options.stream, workload: options.workload };
    this.#end = new StreamEnd({
      call: options.call,
      pulse: options.pulse,
      maxMessageBytes: options.limits.maxMessageBytes,
      holdBytes: options.limits.holdBytes,
      piece: (exchange, body, more) => ({ data: { exchange, body, more } }),
      credit: (exchange, bytes) => ({ credit: { exchange, bytes } }),
      silent: () => this.end({ code: status.DEADLINE_EXCEEDED, details: 'The sidecar fell silent.' }),
      tick: (exchange, now) => exchange.tick(now),
      done: () => {
        this.#finish();
        this.#call.end();
      },
    });
    this.#listen();
  }

  get outbox(): Outbox<ReplicaFrame> {
    return this.#end.outbox;
  }

  get counters(): StreamCounters {
    return this.#end.counters(this.#credentials?.size ?? 0);
  }

  get feed(): CapabilityFeed | undefined {
    return this.#feed;
  }

  /** How far the sidecar is with the lists that it may answer. */
  sync(): readonly SyncView[] {
    return this.#lastSync ?? this.#feed?.sync(this.#state === 'open') ?? [];
  }

  get count(): ExchangeCounter | undefined {
    return this.#options.count;
  }

  get leaving(): boolean {
    return this.#state === 'leaving';
  }

  get greeted(): boolean {
    return this.#state === 'open' || this.#state === 'leaving';
  }

  /** Ends the stream with a status; its exchanges are lost. */
  end(refused: Refusal): void {
    if (this.#state === 'over') return;
    const { code, details, metadata } = refusal(refused);
    // Answers of this very turn still leave.
    this.outbox.flush();
    this.#finish();
    if (!this.#call.cancelled) this.#call.emit('error', { code, details, metadata });
  }

  /** What callers are judged by, or what Welcome said, may be another now. `anonymous`: whether one without a token is served. */
  renew(welcome: ReplicaFrame, { anonymous }: { anonymous: boolean }): void {
    if (!this.greeted) return;
    this.outbox.control(welcome);
    this.#credentials?.recheckAll();
    if (!anonymous) this.#revoked(ANONYMOUS);
  }

  /** Takes no more exchanges; ends when the open ones are over. */
  goAway(reconnectAfterMs: number, reason: 'draining' | 'overloaded'): void {
    if (this.#state !== 'open') return;
    this.#state = 'leaving';
    this.outbox.control({ goAway: { lastExchange: this.#lastExchange, reconnectAfterMs, reason } });
    this.#end.leave();
  }

  /** Sends a frame that concerns no exchange, such as SessionEnded. */
  notify(frame: ReplicaFrame): void {
    if (this.greeted) this.outbox.control(frame);
  }

  freed(exchange: ServedExchange): void {
    this.#end.remove(exchange);
  }

  faulted(thrown: unknown): void {
    this.#options.faulted(thrown);
  }

  #listen(): void {
    const call = this.#call;
    call.on('data', (message: ReceivedSidecarFrames) => this.#receive(message));
    call.on('end', () => this.#halfClosed());
    // After a client's cancel neither the write's callback nor `drain` comes: these two race them.
    call.on('cancelled', () => this.#finish());
    call.on('close', () => this.#finish());
    call.on('error', () => this.#finish());
  }

  /** The sidecar sends no more: with nothing open the stream is over in peace. */
  #halfClosed(): void {
    if (this.#state === 'over') return;
    if (!this.greeted) return this.end(VIOLATION);
    this.#state = 'leaving';
    this.#end.leave();
  }

  #finish(): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#end.halt();
    this.#credentials?.close();
    this.#lastSync = this.#feed?.sync(false) ?? [];
    this.#feed?.close();
    for (const exchange of [...this.#end.exchanges.values()]) exchange.depart('lost');
    this.#options.over(this);
  }

  #receive(message: ReceivedSidecarFrames): void {
    if (this.#state === 'over') return;
    this.#end.heard(message.frames.length);
    try {
      for (const frame of message.frames) {
        if (!this.#take(frame)) return this.end(VIOLATION);
      }
    } catch (thrown) {
      this.#broke(thrown);
    }
  }

  #broke(thrown: unknown): void {
    if (thrown instanceof WindowExceeded) {
      return this.end({
        code: status.RESOURCE_EXHAUSTED,
        details: 'More was sent than there was credit for.',
      });
    }
    if (thrown instanceof StreamRefused) return this.end(thrown.refusal);
    this.faulted(thrown);
    this.end({ code: status.INTERNAL, details: 'The replica failed to read the stream.' });
  }

  /** One frame, the frequent ones first. False: a violation. One of a newer peer is nothing. */
  #take(frame: ReceivedSidecarFrame): boolean {
    if (this.#state === 'greeting') return frame.hello !== null && this.#meet(frame.hello);
    // A sidecar says nothing more before Welcome.
    if (this.#state === 'proving') return false;
    if (frame.open !== null) return this.#open(frame.open);
    if (frame.data !== null) this.#data(frame.data);
    else if (frame.credit !== null) this.#end.find(frame.credit.exchange)?.credit(frame.credit.bytes);
    else if (frame.cancel !== null) this.#cancel(frame.cancel);
    else if (frame.detach !== null) this.#end.find(frame.detach.exchange)?.depart('detached');
    else if (frame.credential !== null) return this.#credential(frame.credential);
    else if (frame.forget !== null) this.#forget(frame.forget.id);
    else if (frame.ack !== null) this.#feed?.ack(frame.ack.set);
    else if (frame.nack !== null) this.#feed?.nack(frame.nack);
    else if (frame.active !== null) this.#feed?.active(frame.active.sessions);
    else if (frame.held !== null) this.#feed?.held(frame.held);
    return frame.hello === null;
  }

  #meet(hello: Hello): boolean {
    if (hello.node === '') return false;
    const { prove } = this.#options;
    if (prove === undefined || this.peer.workload !== undefined || hello.workloadToken === '') {
      this.#greet(hello);
      return true;
    }
    this.#state = 'proving';
    prove(hello.workloadToken)
      .then((workload) => {
        if (this.#state !== 'proving') return;
        this.peer = { ...this.peer, workload };
        this.#greet(hello);
      })
      .catch((thrown: unknown) => this.#broke(thrown));
    return true;
  }

  #greet(hello: Hello): void {
    const { node, virtualServer } = hello;
    this.peer = { ...this.peer, node, virtualServer: virtualServer || 'default' };
    const welcome = this.#options.greet(hello, this);
    this.#credentials = new CredentialRegistry({
      node,
      verifier: this.#options.verifier,
      maxCredentials: this.#options.limits.credentials,
      proofs: hello.features.includes(PROOFS),
      send: (frame) => this.outbox.control(frame),
      revoked: (id) => this.#revoked(id),
      admitted: (exchange) => exchange.dispatch(this.#options.handle),
    });
    if (hello.features.includes(CAPABILITIES)) {
      this.#feed = this.#options.openFeed?.({
        send: (frame, bytes) => this.outbox.control(frame, bytes),
        recheck: (credential) => this.#credentials?.recheck(credential),
      });
    }
    this.#state = 'open';
    this.outbox.control(welcome);
  }

  #open(open: Open): boolean {
    if (this.#state === 'leaving' && !open.follows) {
      this.#end.late += 1;
      return true;
    }
    if (open.exchange <= this.#lastExchange) return false;
    this.#lastExchange = open.exchange;
    const kind = kindOf(open);
    if (kind === undefined) {
      this.#refuse(
        open.exchange,
        new MeshError('invalid_request', 'This kind of exchange is not known here.'),
      );
    } else if (this.#end.exchanges.size >= this.#options.limits.exchanges) {
      const detail = 'Too many requests are open at once.';
      this.#refuse(open.exchange, new MeshError('rate_limited', detail, { retryAfterMs: RETRY_AFTER_MS }));
      this.count?.(kind, 'rate_limited', 0);
    } else {
      const exchange = new ServedExchange(open, kind, { stream: this, now: performance.now() });
      this.#end.add(exchange);
      this.#body(exchange, open.body, open.more);
    }
    return true;
  }

  /** Fails an exchange that was never made. */
  #refuse(exchange: number, error: MeshError): void {
    this.outbox.control({ failure: failureOf(exchange, error) });
  }

  #data(data: Data): void {
    const exchange = this.#end.find(data.exchange);
    if (exchange === undefined) return;
    if (exchange.receiving) this.#body(exchange, data.body, data.more);
    else this.#end.late += 1;
  }

  #body(exchange: ServedExchange, body: Uint8Array, more: boolean): void {
    try {
      const pieces = this.#end.inflow.take(exchange, body, more);
      if (pieces === undefined) exchange.heardAt = performance.now();
      else exchange.complete(toBuffer(pieces));
    } catch (thrown) {
      if (!(thrown instanceof MessageTooLong)) throw thrown;
      return exchange.fail(
        new MeshError('message_too_large', 'The message is longer than the mesh carries.'),
      );
    }
    if (!exchange.receiving) this.#credentials?.admit(exchange);
  }

  #revoked(credential: number): void {
    if (credential === ANONYMOUS) this.#feed?.withdraw(credential);
    else this.#feed?.forget(credential);
    for (const exchange of [...this.#end.exchanges.values()])
      if (exchange.kind === 'listen' && exchange.credentialId === credential) exchange.revoke();
  }

  #forget(credential: number): void {
    this.#credentials?.forget(credential);
    this.#feed?.forget(credential);
  }

  #cancel(cancel: Cancel): void {
    this.#end.find(cancel.exchange)?.depart(DEPARTURES[cancel.reason] ?? 'cancelled');
  }

  #credential({ id, authorization }: Credential): boolean {
    return this.#credentials?.add(id, authorization) ?? false;
  }
}

/** The credential id of those who show none. */
const ANONYMOUS = 0;
const VIOLATION: Refusal = {
  code: status.INVALID_ARGUMENT,
  details: 'This breaks the protocol of the mesh stream.',
};
/** What an exchange beyond the cap is told to wait, in milliseconds. */
const RETRY_AFTER_MS = 1_000;

function toBuffer(pieces: readonly Uint8Array[]): Buffer {
  const [first] = pieces;
  if (first === undefined || pieces.length > 1) return Buffer.concat(pieces);
  const piece = unpinned(first);
  return Buffer.isBuffer(piece) ? piece : Buffer.from(piece);
}
