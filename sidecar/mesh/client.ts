import { MeshError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Welcome } from '../../shared/rpc/mesh-protocol.ts';
import { PULSE, type PulseTimes } from '../../shared/rpc/pulse.ts';
import type { StreamCounters } from '../../shared/rpc/stream-end.ts';
import type { LocalLists } from '../capabilities/local-lists.ts';
import type { ReplicaAddresses } from './addresses.ts';
import { type ChannelSecurity, PLAIN_TEXT } from './channel-security.ts';
import { ClientExchange } from './client-exchange.ts';
import { RefusedBearers, SWEEP_MS } from './credential-table.ts';
import type { AnswerSink, ExchangeHandle, ExchangeRequest, MeshClient, MeshFacts } from './exchange.ts';
import { ReplicaPool } from './replica-pool.ts';
import type { ReplicaStream, SidecarSelf } from './replica-stream.ts';
import { WaitingRoom } from './waiting-room.ts';

export interface MeshClientOptions extends SidecarSelf {
  readonly replicas: ReplicaAddresses;
  readonly log: Logger;
  /** Plain text when absent. */
  readonly security?: ChannelSecurity;
  /** The longest an exchange may take, in milliseconds; 0: no bound of our own. */
  readonly deadlineMs?: number;
  readonly pulse?: PulseTimes;
  /** The lists that the sidecar answers by itself; absent, all are the replicas'. */
  readonly lists?: LocalLists;
  /** How long an exchange waits for a stream, in milliseconds. */
  readonly patienceMs?: number;
  /** Ids from here on ask for a fresh stream. */
  readonly maxExchangeId?: number;
}

/** A mesh client and what metrics and tests read of it. */
export interface ObservedMeshClient extends MeshClient {
  /** The streams that stand, home first. */
  streams(): {
    readonly address: string;
    readonly home: boolean;
    /** It takes nothing new, and ends with what is open on it. */
    readonly leaving: boolean;
    readonly counters: StreamCounters;
  }[];
  /** Exchanges that wait for a home. */
  readonly waiting: number;
}

const PATIENCE_MS = 2_000;
const MAX_EXCHANGE_ID = 2 ** 31;

/** Connects to the replicas at once and keeps doing so until `close`. */
export function createMeshClient(options: MeshClientOptions): ObservedMeshClient {
  return new StreamingMeshClient(options);
}

/**
 * Places exchanges on streams: on home, or with the stream that carries what they
 * belong to; in the waiting room while there is no home.
 */
class StreamingMeshClient implements ObservedMeshClient {
  facts: MeshFacts | undefined;
  readonly #deadlineMs: number;
  readonly #pool: ReplicaPool;
  readonly #waiting: WaitingRoom;
  readonly #sweeper: NodeJS.Timeout;
  readonly #owner = { unwait: (exchange: ClientExchange) => this.#waiting.leave(exchange) };
  #closed = false;

  constructor(options: MeshClientOptions) {
    this.#deadlineMs = options.deadlineMs ?? 0;
    this.#waiting = new WaitingRoom(options.patienceMs ?? PATIENCE_MS, (exchange) =>
      exchange.fail(this.#unreachable()),
    );
    this.#pool = new ReplicaPool({
      self: options,
      replicas: options.replicas,
      log: options.log,
      security: options.security ?? PLAIN_TEXT,
      pulse: options.pulse ?? PULSE,
      maxExchangeId: options.maxExchangeId ?? MAX_EXCHANGE_ID,
      refused: new RefusedBearers(),
      lists: options.lists,
      home: (welcome) => this.#settled(welcome),
      down: () => this.#waiting.dismiss(),
      again: (exchange) => this.#place(exchange, { again: true }),
    });
    this.#sweeper = setInterval(() => this.#pool.sweep(), SWEEP_MS);
    this.#sweeper.unref();
  }

  get connected(): boolean {
    return this.#pool.home !== undefined;
  }

  open(request: ExchangeRequest, sink: AnswerSink): ExchangeHandle {
    const deadlineAt = this.#deadlineMs > 0 ? performance.now() + this.#deadlineMs : Number.POSITIVE_INFINITY;
    const exchange = new ClientExchange(request, sink, { owner: this.#owner, deadlineAt });
    this.#place(exchange, { again: false });
    return exchange;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  streams(): ReturnType<ObservedMeshClient['streams']> {
    const { home } = this.#pool;
    const view = (stream: ReplicaStream) => ({
      address: stream.address,
      home: stream === home,
      leaving: stream.state === 'leaving',
      counters: stream.counters,
    });
    return this.#pool.standing().map(view);
  }

  async close(graceMs: number): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweeper);
    this.#waiting.close();
    await this.#pool.close(graceMs);
  }

  #place(exchange: ClientExchange, { again }: { again: boolean }): void {
    const stream = this.#carrier(exchange) ?? this.#pool.home;
    if (stream !== undefined) return stream.open(exchange);
    if (this.#closed) return exchange.fail(new MeshError('draining', 'The sidecar is shutting down.'));
    // What was sent before may wait for a replica's return even when all are known to be down.
    if (!again && this.#pool.down) return exchange.fail(this.#unreachable());
    this.#waiting.enter(exchange, { again });
  }

  /** A reply, progress or a cancellation follows its exchange to a stream that is being left. */
  #carrier(exchange: ClientExchange): ReplicaStream | undefined {
    if (!exchange.mayFollow) return undefined;
    const carrier = this.#pool.leaving().find((stream) => stream.carries(exchange));
    exchange.follows = carrier !== undefined;
    return carrier;
  }

  #settled(welcome: Welcome): void {
    this.facts = {
      replica: welcome.replica,
      resource: welcome.resource,
      issuers: welcome.issuers,
      scopes: welcome.scopes,
      anonymous: welcome.anonymous,
      proofs:
        welcome.proofAlgorithms.length === 0
          ? undefined
          : { algorithms: welcome.proofAlgorithms, required: welcome.proofRequired },
      maxMessageBytes: welcome.maxMessageBytes,
    };
    for (const exchange of this.#waiting.empty()) this.#place(exchange, { again: true });
  }

  #unreachable(): MeshError {
    const retryAfterMs = Math.max(MIN_RETRY_AFTER_MS, this.#pool.nextAttemptMs);
    return new MeshError('unavailable', 'No control-plane replica can be reached.', { retryAfterMs });
  }
}

const MIN_RETRY_AFTER_MS = 1_000;
