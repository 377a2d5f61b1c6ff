import { Client, type ClientDuplexStream, type StatusObject, status } from '@grpc/grpc-js';
import { MeshError } from '../../shared/errors.ts';
import { MESH_CHANNEL_OPTIONS } from '../../shared/rpc/channel-options.ts';
import { type Inflow, WindowExceeded } from '../../shared/rpc/inflow.ts';
import {
  CAPABILITIES,
  CONNECT,
  DEFAULT_MAX_MESSAGE_BYTES,
  type GoAway,
  GREETING_MS,
  PROOFS,
  type ReceivedReplicaFrame,
  type ReceivedReplicaFrames,
  type Refused,
  type SidecarFrame,
  type SidecarFrames,
  type Welcome,
} from '../../shared/rpc/mesh-protocol.ts';
import type { Outbox } from '../../shared/rpc/outbox.ts';
import type { PulseTimes } from '../../shared/rpc/pulse.ts';
import { retryAfter } from '../../shared/rpc/retry-info.ts';
import { type StreamCounters, StreamEnd } from '../../shared/rpc/stream-end.ts';
import type { CapabilitySource, LocalLists } from '../capabilities/local-lists.ts';
import type { ChannelSecurity } from './channel-security.ts';
import { type ClientExchange, outcomeUnknown } from './client-exchange.ts';
import { CredentialTable, type RefusedBearers } from './credential-table.ts';
import { StreamExchange } from './stream-exchange.ts';

/** Who a sidecar is, as Hello says. */
export interface SidecarSelf {
  readonly node: string;
  readonly build: string;
  readonly virtualServer: string;
  /** The token that proves which workload this is, where no certificate does; undefined as long as there is none. */
  readonly workloadToken?: (() => string | undefined) | undefined;
}

export interface ReplicaStreamOptions {
  readonly address: string;
  readonly self: SidecarSelf;
  readonly security: ChannelSecurity;
  readonly refused: RefusedBearers;
  readonly pulse: PulseTimes;
  /** Ids from here on ask for a fresh stream. */
  readonly maxExchangeId: number;
  readonly maxCredentials: number;
  readonly holdBytes: number;
  readonly owner: StreamOwner;
  /** The lists that the sidecar answers by itself, while this stream is home; absent, none. */
  readonly lists: LocalLists | undefined;
}

/** Why a stream ended, as far as the next attempt cares. */
export interface EndOfStream {
  readonly code: status;
  readonly details: string;
  /** The peer asked not to come back before, in milliseconds. */
  readonly retryAfterMs: number | undefined;
}

/** What a stream tells the client that owns it. */
export interface StreamOwner {
  /** Welcome came. */
  ready(stream: ReplicaStream, welcome: Welcome): void;
  /** Welcome came again: the replica's configuration is another one. */
  renewed(stream: ReplicaStream, welcome: Welcome): void;
  /** The stream takes no more exchanges; its replica may be asked again after `reconnectAfterMs`. */
  left(stream: ReplicaStream, reconnectAfterMs: number): void;
  /** The first exchange on it was answered. */
  answered(stream: ReplicaStream): void;
  /** The exchange must be placed anew: it did not run here. */
  again(exchange: ClientExchange): void;
  /** The stream is over. Its exchanges were answered or placed anew before. */
  over(stream: ReplicaStream, end: EndOfStream): void;
  faulted(stream: ReplicaStream, thrown: unknown): void;
}

type State = 'connecting' | 'ready' | 'leaving' | 'over';
type Call = ClientDuplexStream<SidecarFrames, ReceivedReplicaFrames>;

const ENDED: EndOfStream = { code: status.OK, details: 'ended', retryAfterMs: undefined };
const SILENT: EndOfStream = {
  code: status.UNAVAILABLE,
  details: 'the replica fell silent',
  retryAfterMs: undefined,
};
const LAST_WORDS_MS = 500;

/**
 * One mesh stream at the sidecar, on a channel of its own. State: `connecting`
 * until Welcome, `ready`, `leaving` after GoAway or when it is replaced, `over`.
 */
export class ReplicaStream implements CapabilitySource {
  readonly address: string;
  readonly #options: ReplicaStreamOptions;
  readonly #client: Client;
  readonly #call: Call;
  readonly #end: StreamEnd<SidecarFrame, StreamExchange>;
  readonly #credentials: CredentialTable;
  #state: State = 'connecting';
  #greeting: NodeJS.Timeout | undefined;
  #replaySafeTools: ReadonlySet<string> = new Set();
  #comeBackAfterMs: number | undefined;
  #grants = false;
  #nextExchange = 1;
  #answered = false;

  constructor(options: ReplicaStreamOptions) {
    this.#options = options;
    this.address = options.address;
    const { credentials, options: secured } = options.security.for(options.address);
    this.#client = new Client(options.address, credentials, { ...MESH_CHANNEL_OPTIONS, ...secured });
    this.#call = this.#client.makeBidiStreamRequest(
      CONNECT.path,
      CONNECT.requestSerialize,
      CONNECT.responseDeserialize,
    );
    this.#end = new StreamEnd({
      call: this.#call,
      pulse: options.pulse,
      maxMessageBytes: DEFAULT_MAX_MESSAGE_BYTES + ENVELOPE_BYTES,
      holdBytes: options.holdBytes,
      piece: (exchange, body, more) => ({ data: { exchange, body, more } }),
      credit: (exchange, bytes) => ({ credit: { exchange, bytes } }),
      silent: () => this.#lose(SILENT),
      tick: (exchange, now) => exchange.tick(now),
      done: () => this.#call.end(),
    });
    this.#credentials = new CredentialTable({
      max: options.maxCredentials,
      send: (frame, bytes) => this.outbox.control(frame, bytes),
      forgotten: (authorization) => options.lists?.credentialEnded(authorization),
    });
    this.#listen();
    const { node, build, virtualServer, workloadToken } = options.self;
    const features = options.lists === undefined ? [PROOFS] : [CAPABILITIES, PROOFS];
    const token = workloadToken?.() ?? '';
    this.outbox.control({ hello: { node, build, virtualServer, features, workloadToken: token } });
  }

  get outbox(): Outbox<SidecarFrame> {
    return this.#end.outbox;
  }

  get inflow(): Inflow {
    return this.#end.inflow;
  }

  get state(): State {
    return this.#state;
  }

  /** Whether its ids run out: a fresh stream should replace it. */
  get worn(): boolean {
    return this.#nextExchange > this.#options.maxExchangeId;
  }

  get counters(): StreamCounters {
    return this.#end.counters(this.#credentials.size);
  }

  /** Whether its replica lets sidecars answer lists. */
  get grants(): boolean {
    return this.#grants;
  }

  send(frame: SidecarFrame): void {
    if (this.#state !== 'over') this.outbox.control(frame);
  }

  authorizationOf(credential: number): string | undefined {
    return this.#credentials.authorizationOf(credential);
  }

  keep(credential: number): void {
    this.#credentials.keep(credential);
  }

  /** Sends the exchange on this stream. */
  open(client: ClientExchange): void {
    const { authorization } = client.request;
    let credential = authorization === undefined ? undefined : this.#credentials.find(authorization);
    if (authorization !== undefined && credential === undefined) {
      const refused = this.#options.refused.find(authorization);
      if (refused !== undefined) return client.fail(refused);
      credential = this.#credentials.register(authorization);
      if (credential === undefined) {
        return client.fail(new MeshError('overloaded', 'Too many different credentials are in use at once.'));
      }
    }
    if (credential !== undefined) this.#credentials.use(credential);
    const exchange = new StreamExchange(this.#nextExchange++, client, { stream: this, credential });
    client.attempt = exchange;
    this.#end.add(exchange);
    exchange.send();
  }

  /** Whether an open exchange of this stream is the one that the message belongs to. */
  carries(message: ClientExchange): boolean {
    for (const { client } of this.#end.exchanges.values()) {
      if (message.belongsTo(client)) return true;
    }
    return false;
  }

  /** Takes no more exchanges and ends when the open ones are over. GETs are handed back: they would never be. */
  leave(): void {
    if (this.#state === 'connecting') return this.#lose(ENDED);
    if (this.#state !== 'ready') return;
    this.#state = 'leaving';
    this.#options.owner.left(this, this.#comeBackAfterMs ?? 0);
    for (const exchange of [...this.#end.exchanges.values()]) {
      const { client } = exchange;
      if (client.request.kind !== 'listen' || client.done) continue;
      exchange.abandon();
      this.#options.owner.again(client);
    }
    this.#end.leave();
  }

  /** Cancels what is open and ends the stream. */
  close(): void {
    if (this.#state === 'connecting') return this.#lose(ENDED);
    for (const { client } of [...this.#end.exchanges.values()]) {
      // What was detached goes on; its last frames leave with the stream.
      if (client.done) continue;
      client.attempt?.cancel('shutdown');
      client.fail(new MeshError('draining', 'The sidecar is shutting down.'));
    }
    this.leave();
    const bound = setTimeout(() => this.#lose(ENDED), LAST_WORDS_MS);
    bound.unref();
  }

  /** Forgets credentials that were not used for long. */
  sweep(): void {
    this.#credentials.sweep();
  }

  freed(exchange: StreamExchange): void {
    if (exchange.credential !== undefined) this.#credentials.release(exchange.credential);
    this.#end.remove(exchange);
  }

  credentialUnknown(exchange: StreamExchange): void {
    const { client, credential } = exchange;
    exchange.free();
    if (credential !== undefined) this.#credentials.drop(credential.id);
    client.unknown += 1;
    if (client.unknown <= MAX_UNKNOWN) return this.#options.owner.again(client);
    client.fail(
      new MeshError('unavailable', 'The control plane could not take the credential.', {
        retryAfterMs: 1_000,
      }),
    );
  }

  #listen(): void {
    this.#greeting = setTimeout(() => {
      this.#lose({ code: status.DEADLINE_EXCEEDED, details: 'no Welcome in time', retryAfterMs: undefined });
    }, GREETING_MS);
    this.#call.on('data', (message: ReceivedReplicaFrames) => this.#receive(message));
    // The status follows as an event of its own; without a listener the error would be thrown.
    this.#call.on('error', () => {});
    this.#call.on('status', (ended: StatusObject) => {
      const retryAfterMs = retryAfter(ended.metadata) ?? this.#comeBackAfterMs;
      this.#lose({ code: ended.code, details: ended.details, retryAfterMs });
    });
  }

  /** The stream is over. Its exchanges end now, by the loss rule. */
  #lose(end: EndOfStream): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    clearTimeout(this.#greeting);
    this.#end.halt();
    this.#call.cancel();
    this.#client.close();
    const lost = [...this.#end.exchanges.values()];
    // First the owner finds its next home, then the exchanges go there.
    this.#options.owner.over(this, end);
    for (const exchange of lost) this.#judge(exchange, { refused: false });
  }

  #judge(exchange: StreamExchange, { refused }: { refused: boolean }): void {
    // It may have ended in the turn of another one: a GET that was handed back, a cancel by the edge.
    if (exchange.shut) return;
    const { client, written } = exchange;
    exchange.free();
    const ran = written && !refused;
    if (client.done && (ran || !client.detached)) return;
    const verdict = client.verdict({ written, refused, replaySafeTools: this.#replaySafeTools });
    if (verdict === 'resend') this.#options.owner.again(client);
    else client.fail(outcomeUnknown());
  }

  #goAway({ lastExchange, reconnectAfterMs }: GoAway): void {
    if (this.#state === 'over') return;
    this.#comeBackAfterMs = reconnectAfterMs;
    const refused = [...this.#end.exchanges.values()].filter(({ exchange }) => exchange > lastExchange);
    this.leave();
    for (const exchange of refused) this.#judge(exchange, { refused: true });
  }

  #receive(message: ReceivedReplicaFrames): void {
    this.#end.heard(message.frames.length);
    for (const frame of message.frames) {
      if (this.#state === 'over') return;
      try {
        this.#take(frame);
      } catch (thrown) {
        if (thrown instanceof WindowExceeded) {
          return this.#lose({
            code: status.RESOURCE_EXHAUSTED,
            details: thrown.message,
            retryAfterMs: undefined,
          });
        }
        this.#options.owner.faulted(this, thrown);
      }
    }
  }

  /** One frame, the frequent ones first. One of a newer peer is nothing. */
  #take(frame: ReceivedReplicaFrame): void {
    if (frame.head !== null) {
      if (!this.#answered) this.#firstAnswer();
      this.#answering(frame.head.exchange)?.head(frame.head);
    } else if (frame.data !== null) this.#end.find(frame.data.exchange)?.data(frame.data);
    else if (frame.credit !== null) this.#end.find(frame.credit.exchange)?.credit(frame.credit.bytes);
    else if (frame.failure !== null) this.#answering(frame.failure.exchange)?.failure(frame.failure);
    else if (frame.refused !== null) this.#refused(frame.refused);
    else if (frame.revoked !== null) this.#credentials.drop(frame.revoked.id);
    else if (frame.goAway !== null) this.#goAway(frame.goAway);
    else if (frame.welcome !== null) this.#welcome(frame.welcome);
    else this.#takeList(frame);
  }

  #answering(id: number): StreamExchange | undefined {
    const exchange = this.#end.find(id);
    if (exchange !== undefined) this.#options.lists?.answeredBy(this, exchange.client.request.sessionId);
    return exchange;
  }

  #takeList({ capabilitySet, grant, bookmark, sessionEnded }: ReceivedReplicaFrame): void {
    const { lists } = this.#options;
    if (capabilitySet !== null) lists?.set(this, capabilitySet);
    else if (grant !== null) lists?.grant(this, grant);
    else if (bookmark !== null) lists?.bookmark(this);
    else if (sessionEnded !== null) lists?.sessionEnded(sessionEnded.sessionId);
  }

  #welcome(welcome: Welcome): void {
    const first = this.#state === 'connecting';
    clearTimeout(this.#greeting);
    if (first) this.#state = 'ready';
    if (welcome.maxMessageBytes > 0) this.inflow.maxMessageBytes = welcome.maxMessageBytes + ENVELOPE_BYTES;
    this.#replaySafeTools = new Set(welcome.replaySafeTools);
    this.#grants = welcome.features.includes(CAPABILITIES);
    if (first) this.#options.owner.ready(this, welcome);
    else this.#options.owner.renewed(this, welcome);
  }

  #refused({ id, reason, detail }: Refused): void {
    const dropped = this.#credentials.drop(id);
    if (dropped !== undefined && reason === 'unauthenticated')
      this.#options.refused.add(dropped.authorization, detail);
  }

  #firstAnswer(): void {
    this.#answered = true;
    this.#options.owner.answered(this);
  }
}

/** An answer is as long as a backend's message may be, and its envelope. */
const ENVELOPE_BYTES = 64 * 1024;
/** How often one exchange registers its credential anew before it gives up. */
const MAX_UNKNOWN = 3;
