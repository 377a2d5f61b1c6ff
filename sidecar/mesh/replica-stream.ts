import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { MeshError } from '../../shared/errors.ts';
import { MESH_CHANNEL_OPTIONS } from '../../shared/rpc/channel-options.ts';
import { Inflow, WindowExceeded } from '../../shared/rpc/inflow.ts';
import {
  CONNECT,
  DEFAULT_MAX_MESSAGE_BYTES,
  type GoAway,
  GREETING_MS,
  MAX_UNWRITTEN,
  type ReceivedReplicaFrame,
  type ReceivedReplicaFrames,
  type Refused,
  type SidecarFrame,
  type SidecarFrames,
  type Welcome,
} from '../../shared/rpc/mesh-protocol.ts';
import { Outbox, type OutboxCounters } from '../../shared/rpc/outbox.ts';
import { Pulse, type PulseTimes } from '../../shared/rpc/pulse.ts';
import { retryAfter } from '../../shared/rpc/retry-info.ts';
import { type ClientExchange, outcomeUnknown } from './client-exchange.ts';
import { CredentialTable, type RefusedBearers } from './credential-table.ts';
import { StreamExchange } from './stream-exchange.ts';

/** Who a sidecar is, as Hello says. */
export interface SidecarSelf {
  readonly node: string;
  readonly build: string;
  readonly virtualServer: string;
}

export interface ReplicaStreamOptions {
  readonly address: string;
  readonly self: SidecarSelf;
  readonly channelCredentials: ChannelCredentials;
  readonly refused: RefusedBearers;
  readonly pulse: PulseTimes;
  /** Ids from here on ask for a fresh stream. */
  readonly maxExchangeId: number;
  readonly maxCredentials: number;
  readonly holdBytes: number;
  readonly owner: StreamOwner;
}

/** Why a stream ended, as far as the next attempt cares. */
export interface StreamEnd {
  readonly code: status;
  readonly details: string;
  /** The peer asked not to come back before, in milliseconds. */
  readonly retryAfterMs: number | undefined;
}

/** What a stream tells the client that owns it. */
export interface StreamOwner {
  /** Welcome came. */
  ready(stream: ReplicaStream, welcome: Welcome): void;
  /** The stream takes no more exchanges; its replica may be asked again after `reconnectAfterMs`. */
  left(stream: ReplicaStream, reconnectAfterMs: number): void;
  /** The first exchange on it was answered. */
  answered(stream: ReplicaStream): void;
  /** The exchange must be placed anew: it did not run here. */
  again(exchange: ClientExchange): void;
  /** The stream is over. Its exchanges were answered or placed anew before. */
  over(stream: ReplicaStream, end: StreamEnd): void;
  faulted(stream: ReplicaStream, thrown: unknown): void;
}

/** What tests and metrics read of a stream at the sidecar. */
export interface SidecarStreamCounters {
  readonly out: Readonly<OutboxCounters>;
  readonly messagesIn: number;
  readonly framesIn: number;
  /** Frames for an exchange that was already over. */
  readonly late: number;
  /** Bytes of unfinished answers. */
  readonly heldBytes: number;
  readonly exchanges: number;
  readonly credentials: number;
}

type State = 'connecting' | 'ready' | 'leaving' | 'over';
type Call = ClientDuplexStream<SidecarFrames, ReceivedReplicaFrames>;

const ENDED: StreamEnd = { code: status.OK, details: 'ended', retryAfterMs: undefined };
const LAST_WORDS_MS = 500;

/**
 * One mesh stream at the sidecar, on a channel of its own. State: `connecting`
 * until Welcome, `ready`, `leaving` after GoAway or when it is replaced, `over`.
 */
export class ReplicaStream {
  readonly address: string;
  readonly outbox: Outbox<SidecarFrame>;
  readonly inflow: Inflow;
  readonly #options: ReplicaStreamOptions;
  readonly #client: Client;
  readonly #call: Call;
  readonly #pulse: Pulse;
  readonly #credentials: CredentialTable;
  readonly #exchanges = new Map<number, StreamExchange>();
  #state: State = 'connecting';
  #greeting: NodeJS.Timeout | undefined;
  #ending: NodeJS.Immediate | undefined;
  #replaySafeTools: ReadonlySet<string> = new Set();
  #comeBackAfterMs: number | undefined;
  #unwritten = 0;
  #nextExchange = 1;
  #answered = false;
  #messagesIn = 0;
  #framesIn = 0;
  #late = 0;

  constructor(options: ReplicaStreamOptions) {
    this.#options = options;
    this.address = options.address;
    this.outbox = new Outbox<SidecarFrame>({
      write: (frames) => this.#write(frames),
      piece: (exchange, body, more) => ({ data: { exchange, body, more } }),
    });
    this.#credentials = new CredentialTable(options.maxCredentials, (frame, bytes) =>
      this.outbox.control(frame, bytes),
    );
    this.inflow = new Inflow({
      maxMessageBytes: DEFAULT_MAX_MESSAGE_BYTES + ENVELOPE_BYTES,
      holdBytes: options.holdBytes,
      credit: (exchange, bytes) => this.outbox.control({ credit: { exchange, bytes } }),
    });
    this.#pulse = new Pulse({
      ...options.pulse,
      beat: () => this.outbox.flush(true),
      silent: () =>
        this.#lose({ code: status.UNAVAILABLE, details: 'the replica fell silent', retryAfterMs: undefined }),
      busy: () => this.#exchanges.size > 0,
      tick: (now) => this.#tick(now),
    });
    this.#client = new Client(options.address, options.channelCredentials, MESH_CHANNEL_OPTIONS);
    this.#call = this.#client.makeBidiStreamRequest(
      CONNECT.path,
      CONNECT.requestSerialize,
      CONNECT.responseDeserialize,
    );
    this.#listen();
    const { node, build, virtualServer } = options.self;
    this.outbox.control({ hello: { node, build, virtualServer } });
  }

  get state(): State {
    return this.#state;
  }

  /** Whether its ids run out: a fresh stream should replace it. */
  get worn(): boolean {
    return this.#nextExchange > this.#options.maxExchangeId;
  }

  get exchanges(): number {
    return this.#exchanges.size;
  }

  get counters(): SidecarStreamCounters {
    return {
      out: this.outbox.counters,
      messagesIn: this.#messagesIn,
      framesIn: this.#framesIn,
      late: this.#late,
      heldBytes: this.inflow.held,
      exchanges: this.#exchanges.size,
      credentials: this.#credentials.size,
    };
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
    this.#exchanges.set(exchange.exchange, exchange);
    this.#pulse.start();
    exchange.send();
  }

  /** Whether an open exchange of this stream is the one that the message belongs to. */
  carries(message: ClientExchange): boolean {
    for (const { client } of this.#exchanges.values()) {
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
    for (const exchange of [...this.#exchanges.values()]) {
      const { client } = exchange;
      if (client.request.kind !== 'listen' || client.done) continue;
      exchange.abandon();
      this.#options.owner.again(client);
    }
    this.#endWhenDone();
  }

  /** Cancels what is open and ends the stream. */
  close(): void {
    if (this.#state === 'connecting') return this.#lose(ENDED);
    for (const { client } of [...this.#exchanges.values()]) {
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
    this.#exchanges.delete(exchange.exchange);
    if (exchange.credential !== undefined) this.#credentials.release(exchange.credential);
    if (this.#state === 'leaving') this.#endWhenDone();
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
  #lose(end: StreamEnd): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    clearTimeout(this.#greeting);
    clearImmediate(this.#ending);
    this.#pulse.stop();
    this.outbox.stop();
    this.#call.cancel();
    this.#client.close();
    const lost = [...this.#exchanges.values()];
    // First the owner finds its next home, then the exchanges go there.
    this.#options.owner.over(this, end);
    for (const exchange of lost) this.#judge(exchange, { refused: false });
  }

  #judge(exchange: StreamExchange, { refused }: { refused: boolean }): void {
    const { client } = exchange;
    const { written } = exchange;
    exchange.free();
    if (client.done && !(client.detached && !written)) return;
    const verdict = client.verdict({ written, refused, replaySafeTools: this.#replaySafeTools });
    if (verdict === 'resend') this.#options.owner.again(client);
    else client.fail(outcomeUnknown());
  }

  #goAway({ lastExchange, reconnectAfterMs }: GoAway): void {
    if (this.#state === 'over') return;
    this.#comeBackAfterMs = reconnectAfterMs;
    const refused = [...this.#exchanges.values()].filter(({ exchange }) => exchange > lastExchange);
    this.leave();
    for (const exchange of refused) this.#judge(exchange, { refused: true });
  }

  /** Ends the call once the last frame was handed to the transport. */
  #endWhenDone(): void {
    if (this.#state !== 'leaving' || this.#exchanges.size > 0 || this.#ending !== undefined) return;
    this.#ending = setImmediate(() => {
      this.#ending = undefined;
      if (this.#state !== 'leaving' || this.#exchanges.size > 0) return;
      this.outbox.flush();
      // Otherwise something is being written, and its callback comes back here.
      if (this.outbox.idle) this.#call.end();
    });
  }

  #write(frames: SidecarFrame[]): boolean {
    this.#pulse.spoke();
    this.#unwritten += 1;
    this.#call.write({ frames }, this.#written);
    return this.#unwritten < MAX_UNWRITTEN;
  }

  readonly #written = (): void => {
    this.#unwritten -= 1;
    this.outbox.resume();
    if (this.#state === 'leaving' && !this.#call.writableEnded) this.#endWhenDone();
  };

  #receive(message: ReceivedReplicaFrames): void {
    this.#pulse.heard();
    this.#messagesIn += 1;
    this.#framesIn += message.frames.length;
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

  /** One frame, the frequent ones first. One of a newer peer, and SessionEnded while nothing is kept, are nothing. */
  #take(frame: ReceivedReplicaFrame): void {
    if (frame.head !== null) {
      if (!this.#answered) this.#firstAnswer();
      this.#find(frame.head.exchange)?.head(frame.head);
    } else if (frame.data !== null) this.#find(frame.data.exchange)?.data(frame.data);
    else if (frame.credit !== null) this.#find(frame.credit.exchange)?.credit(frame.credit.bytes);
    else if (frame.failure !== null) this.#find(frame.failure.exchange)?.failure(frame.failure);
    else if (frame.refused !== null) this.#refused(frame.refused);
    else if (frame.revoked !== null) this.#credentials.drop(frame.revoked.id);
    else if (frame.goAway !== null) this.#goAway(frame.goAway);
    else if (frame.welcome !== null) this.#welcome(frame.welcome);
  }

  #welcome(welcome: Welcome): void {
    if (this.#state !== 'connecting') return;
    clearTimeout(this.#greeting);
    this.#state = 'ready';
    if (welcome.maxMessageBytes > 0) this.inflow.maxMessageBytes = welcome.maxMessageBytes + ENVELOPE_BYTES;
    this.#replaySafeTools = new Set(welcome.replaySafeTools);
    this.#options.owner.ready(this, welcome);
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

  #find(id: number): StreamExchange | undefined {
    const exchange = this.#exchanges.get(id);
    if (exchange === undefined) this.#late += 1;
    return exchange;
  }

  #tick(now: number): void {
    for (const exchange of this.#exchanges.values()) {
      const { client } = exchange;
      if (now < client.deadlineAt) continue;
      exchange.cancel('deadline');
      client.fail(new MeshError('backend_timeout', 'The call took longer than its deadline.'));
    }
  }
}

/** An answer is as long as a backend's message may be, and its envelope. */
const ENVELOPE_BYTES = 64 * 1024;
/** How often one exchange registers its credential anew before it gives up. */
const MAX_UNKNOWN = 3;
