import { status } from '@grpc/grpc-js';
import { MeshError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import {
  CAPABILITIES,
  DEFAULT_MAX_MESSAGE_BYTES,
  GREETING_MS,
  type Hello,
  type ReplicaFrame,
} from '../../shared/rpc/mesh-protocol.ts';
import { PULSE, type PulseTimes } from '../../shared/rpc/pulse.ts';
import { statusOf } from '../../shared/rpc/status.ts';
import type { StreamCounters } from '../../shared/rpc/stream-end.ts';
import type { CapabilityFeed, FeedPort, SyncView } from '../capabilities/feed.ts';
import type { IdentityVerifier } from '../identity/caller.ts';
import type { ProofSettings } from '../settings.ts';
import type { ExchangeCounter, ExchangeHandler, SidecarPeer } from './exchange.ts';
import { type MeshCall, SidecarStream, StreamRefused } from './sidecar-stream.ts';
import { type WorkloadRefusal, type WorkloadRules, workloadOf, workloadRefusal } from './workload.ts';

/** What Welcome tells a sidecar beside the replica's own name. */
export interface WelcomeFacts {
  /** The logical resource (RFC 9728); empty: echo the allowed Host. */
  readonly resource: string;
  readonly issuers: readonly string[];
  readonly scopes: readonly string[];
  readonly anonymous: boolean;
  /** Client-visible names of tools that configuration marks `replay: safe`. */
  readonly replaySafeTools: readonly string[];
  /** Tokens that are bound to a key; absent, none are taken. */
  readonly proofs?: ProofSettings;
}

export interface MeshLimits {
  readonly streamsPerNode: number;
  /** New streams a second, and how many may come at once. */
  readonly newStreamsPerSecond: number;
  readonly newStreamsBurst: number;
  readonly exchangesPerStream: number;
  readonly credentialsPerStream: number;
  readonly maxMessageBytes: number;
  /** What the unfinished request bodies of one stream may hold, in bytes. */
  readonly holdBytesPerStream: number;
  readonly greetingMs: number;
  readonly metadataBytes: number;
}

const MESH_LIMITS: MeshLimits = {
  streamsPerNode: 8,
  newStreamsPerSecond: 50,
  newStreamsBurst: 100,
  exchangesPerStream: 2_000,
  credentialsPerStream: 1_000,
  maxMessageBytes: DEFAULT_MAX_MESSAGE_BYTES,
  holdBytesPerStream: 64 * 1024 * 1024,
  greetingMs: GREETING_MS,
  metadataBytes: 8 * 1024,
};

export interface MeshServiceOptions {
  /** This replica's name and the program's version. */
  readonly replica: string;
  readonly build: string;
  readonly verifier: IdentityVerifier;
  readonly handle: ExchangeHandler;
  /** Absent, nobody counts. */
  readonly count?: ExchangeCounter;
  /** Lets a sidecar answer lists by itself; absent, none is allowed to. */
  readonly openFeed?: (port: FeedPort) => CapabilityFeed;
  /** Who may open streams, by their certificates; absent, the server speaks plain text on loopback. */
  readonly workloads?: (() => WorkloadRules) | undefined;
  /** Whether too much is to do here for anything more; absent: never. */
  readonly overloaded?: () => boolean;
  /** Whether store and configuration are loaded. */
  ready(): boolean;
  /** The facts for this sidecar; throws a MeshError when its virtual server is not served. */
  welcome(peer: SidecarPeer): WelcomeFacts;
  readonly log: Logger;
  readonly limits?: Partial<MeshLimits>;
  readonly pulse?: PulseTimes;
}

/** One stream as admins see it. */
export interface StreamView extends SidecarPeer {
  readonly since: number;
  /** It takes nothing new, and ends with what is open on it. */
  readonly leaving: boolean;
  readonly counters: StreamCounters;
  /** How far the sidecar is with each list that it may answer by itself. */
  sync(): readonly SyncView[];
}

/** A sidecar whose last stream ended, and the lists that it could answer then. */
export interface DepartedSidecar {
  readonly node: string;
  readonly virtualServer: string;
  /** When it left, in milliseconds since the epoch. */
  readonly until: number;
  readonly lists: readonly SyncView[];
}

/** The longest that a sidecar answers lists without a replica. */
const GRANT_OUTLIVES_MS = 300_000;
const MOST_DEPARTED = 1_000;

/** How fast GoAways leave: the fleet must not arrive at the next replica in one instant. */
const GO_AWAY_SPACING_MS = 20;

/** The share of sidecars that is asked to leave at once when there is too much to do: all of them would only carry the overload on. */
const RELIEVE_SHARE = 0.1;
const RELIEVED_MS = 30_000;

/** `Mesh.Connect`: admits streams and keeps those that stand. */
export class MeshService {
  readonly #options: MeshServiceOptions;
  readonly #limits: MeshLimits;
  readonly #streams = new Map<SidecarStream, number>();
  readonly #perNode = new Map<string, number>();
  /** Streams that count for their node. */
  readonly #counted = new Set<SidecarStream>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #tokens: number;
  #refilledAt = performance.now();
  #nextStream = 1;
  #draining = false;
  /** An admin sent the sidecars away; until the admin lets them back. */
  #away = false;
  /** Sidecars that may still answer lists under their last grants, by node. */
  readonly #departed = new Map<string, DepartedSidecar>();
  /** Sidecars that were asked to leave an overloaded replica, and until when they are not asked again. */
  readonly #relieved = new Map<string, number>();
  #drained: (() => void) | undefined;

  constructor(options: MeshServiceOptions) {
    this.#options = options;
    this.#limits = { ...MESH_LIMITS, ...options.limits };
    this.#tokens = this.#limits.newStreamsBurst;
  }

  /** Whether sidecars should come here. */
  get ready(): boolean {
    return this.#takes && this.#options.overloaded?.() !== true;
  }

  /** Whether a sidecar that comes is taken: one that knows no other replica has its calls under way finished, at least. */
  get #takes(): boolean {
    return !this.#draining && !this.#away && this.#options.ready();
  }

  /** An admin has sent the sidecars away. */
  get away(): boolean {
    return this.#away;
  }

  /** Sidecars that left within the time that a grant outlives its stream. */
  departed(): readonly DepartedSidecar[] {
    const since = Date.now() - GRANT_OUTLIVES_MS;
    for (const [node, { until }] of this.#departed) if (until < since) this.#departed.delete(node);
    return [...this.#departed.values()];
  }

  streams(): StreamView[] {
    return [...this.#streams]
      .filter(([stream]) => stream.greeted)
      .map(([stream, since]) => ({
        ...stream.peer,
        since,
        leaving: stream.leaving,
        counters: stream.counters,
        sync: () => stream.sync(),
      }));
  }

  /** The method's handler. */
  connect(call: MeshCall): void {
    const limits = this.#limits;
    const rules = this.#options.workloads?.();
    const workload = rules && workloadOf(call);
    const stream = new SidecarStream({
      call,
      stream: `${this.#options.replica}-${this.#nextStream++}`,
      workload,
      prove: rules?.prove,
      verifier: this.#options.verifier,
      handle: this.#options.handle,
      count: this.#options.count,
      limits: {
        exchanges: limits.exchangesPerStream,
        credentials: limits.credentialsPerStream,
        maxMessageBytes: limits.maxMessageBytes,
        holdBytes: limits.holdBytesPerStream,
      },
      pulse: this.#options.pulse ?? PULSE,
      openFeed: this.#options.openFeed,
      greet: (hello, greeting) => this.#greet(hello, greeting),
      over: (ended) => this.#over(ended),
      faulted: (error) => this.#options.log.error('an exchange broke', { stream: stream.peer.stream, error }),
    });
    this.#streams.set(stream, Date.now());
    if (metadataBytes(call) > limits.metadataBytes) {
      return stream.end({ code: status.RESOURCE_EXHAUSTED, details: 'The metadata is too long.' });
    }
    // Whose token counts is heard first.
    const mayProve = workload === undefined && rules?.prove !== undefined;
    const stranger = mayProve ? undefined : this.#stranger({ workload });
    if (stranger !== undefined) return this.#turnAway(stream, stranger);
    this.#after(limits.greetingMs, () => {
      if (!stream.greeted)
        stream.end({ code: status.DEADLINE_EXCEEDED, details: 'Hello did not come in time.' });
    });
  }

  /** Asks every sidecar to leave, spread over up to half of `graceMs`; resolves when all exchanges are over, or with the time. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    const streams = [...this.#streams.keys()];
    const spacing = Math.min(GO_AWAY_SPACING_MS, graceMs / 2 / Math.max(streams.length, 1));
    for (const [index, stream] of streams.entries()) {
      const leave = () => (stream.greeted ? stream.goAway(0, 'draining') : stream.end(UNREADY));
      if (index === 0) leave();
      else this.#after(index * spacing, leave);
    }
    if (this.#streams.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
      this.#after(graceMs, resolve);
    });
  }

  /** Asks every sidecar to leave and takes none, until `comeBack`; what is open is finished. */
  leave(): void {
    this.#away = true;
    for (const [index, stream] of [...this.#streams.keys()].entries()) {
      this.#after(index * GO_AWAY_SPACING_MS, () => {
        if (this.#away && stream.greeted) stream.goAway(0, 'draining');
      });
    }
  }

  /**
   * Asks some of the sidecars to leave, each once in a while: those that know another
   * replica are served there from now on, the others come back. What is open is finished.
   */
  relieve(): void {
    const now = performance.now();
    for (const [node, until] of this.#relieved) if (until < now) this.#relieved.delete(node);
    const present = [...this.#streams.keys()].filter((stream) => stream.greeted);
    const staying = present.filter(({ peer }) => !this.#relieved.has(peer.node));
    for (const stream of staying.slice(0, Math.ceil(present.length * RELIEVE_SHARE))) {
      this.#relieved.set(stream.peer.node, now + RELIEVED_MS);
      stream.goAway(0, 'overloaded');
    }
  }

  /** Takes sidecars again. */
  comeBack(): void {
    this.#away = false;
  }

  /** Ends every stream at once; open exchanges are lost. */
  stop(): void {
    this.#draining = true;
    for (const stream of [...this.#streams.keys()]) stream.end(UNREADY);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  /** The configuration is another one: what was said in Welcome is said again, and callers are judged anew. */
  renew(): void {
    for (const stream of [...this.#streams.keys()]) {
      if (!stream.greeted) continue;
      const stranger = this.#stranger(stream.peer);
      if (stranger !== undefined) {
        this.#turnAway(stream, stranger);
        continue;
      }
      try {
        const facts = this.#options.welcome(stream.peer);
        stream.renew(this.#welcome(facts), facts);
      } catch (thrown) {
        const { reason } = MeshError.from(thrown);
        this.#options.log.warn('a sidecar is not served any more', { stream: stream.peer.stream, reason });
      }
    }
  }

  /** Tells every sidecar that the session is gone for good. */
  endSession(sessionId: string): void {
    const frame: ReplicaFrame = { sessionEnded: { sessionId } };
    for (const stream of this.#streams.keys()) stream.notify(frame);
  }

  #greet(hello: Hello, stream: SidecarStream): ReplicaFrame {
    if (!this.#takes) throw new StreamRefused(UNREADY);
    const stranger = this.#stranger(stream.peer);
    if (stranger !== undefined) throw new StreamRefused(stranger);
    this.#admit(hello.node);
    let facts: WelcomeFacts;
    try {
      facts = this.#options.welcome(stream.peer);
    } catch (thrown) {
      const { reason, message, retryAfterMs } = MeshError.from(thrown);
      throw new StreamRefused({ code: statusOf(reason), details: message, retryAfterMs });
    }
    this.#perNode.set(hello.node, (this.#perNode.get(hello.node) ?? 0) + 1);
    this.#counted.add(stream);
    this.#departed.delete(hello.node);
    return this.#welcome(facts);
  }

  /** Why a workload gets no stream, or not this virtual server. */
  #stranger(peer: Partial<SidecarPeer>): WorkloadRefusal | undefined {
    const rules = this.#options.workloads?.();
    return rules && workloadRefusal(rules, peer);
  }

  #turnAway(stream: SidecarStream, refusal: WorkloadRefusal): void {
    const { stream: name, workload } = stream.peer;
    this.#options.log.warn('a sidecar is not served', {
      event: 'workload_refused',
      stream: name,
      status: status[refusal.code],
      detail: workload,
    });
    stream.end(refusal);
  }

  #welcome(facts: WelcomeFacts): ReplicaFrame {
    const { replica, build } = this.#options;
    const { maxMessageBytes } = this.#limits;
    return {
      welcome: {
        replica,
        build,
        maxMessageBytes,
        resource: facts.resource,
        anonymous: facts.anonymous,
        issuers: [...facts.issuers],
        scopes: [...facts.scopes],
        replaySafeTools: [...facts.replaySafeTools],
        proofAlgorithms: [...(facts.proofs?.algorithms ?? [])],
        proofRequired: facts.proofs?.required ?? false,
        features: this.#options.openFeed === undefined ? [] : [CAPABILITIES],
      },
    };
  }

  /** Refuses a node with too many streams, and everybody when too many come at once. */
  #admit(node: string): void {
    if ((this.#perNode.get(node) ?? 0) >= this.#limits.streamsPerNode) {
      const details = 'This node has too many streams.';
      throw new StreamRefused({ code: status.RESOURCE_EXHAUSTED, details, retryAfterMs: RETRY_AFTER_MS });
    }
    const now = performance.now();
    const { newStreamsBurst, newStreamsPerSecond } = this.#limits;
    const refill = ((now - this.#refilledAt) / 1000) * newStreamsPerSecond;
    this.#tokens = Math.min(newStreamsBurst, this.#tokens + refill);
    this.#refilledAt = now;
    if (this.#tokens < 1) {
      const details = 'Too many streams are opened at once.';
      throw new StreamRefused({ code: status.UNAVAILABLE, details, retryAfterMs: RETRY_AFTER_MS });
    }
    this.#tokens -= 1;
  }

  #over(stream: SidecarStream): void {
    this.#streams.delete(stream);
    if (this.#counted.delete(stream)) {
      const { node } = stream.peer;
      const left = (this.#perNode.get(node) ?? 1) - 1;
      if (left === 0) this.#depart(stream);
      if (left === 0) this.#perNode.delete(node);
      else this.#perNode.set(node, left);
    }
    if (this.#draining && this.#streams.size === 0) this.#drained?.();
  }

  #depart(stream: SidecarStream): void {
    const { node, virtualServer } = stream.peer;
    const lists = stream.sync();
    if (lists.length === 0) return;
    this.#departed.delete(node);
    this.#departed.set(node, { node, virtualServer, until: Date.now(), lists });
    const [oldest] = this.#departed.keys();
    if (this.#departed.size > MOST_DEPARTED && oldest !== undefined) this.#departed.delete(oldest);
  }

  #after(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    timer.unref();
    this.#timers.add(timer);
  }
}

const RETRY_AFTER_MS = 1_000;
const UNREADY = {
  code: status.UNAVAILABLE,
  details: 'This replica does not take streams now.',
  retryAfterMs: RETRY_AFTER_MS,
};

function metadataBytes(call: MeshCall): number {
  let bytes = 0;
  for (const [key, values] of Object.entries(call.metadata.toHttp2Headers())) {
    for (const value of Array.isArray(values) ? values : [values])
      bytes += key.length + String(value ?? '').length;
  }
  return bytes;
}
