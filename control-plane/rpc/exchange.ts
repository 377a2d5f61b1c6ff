import type { MeshError, Reason } from '../../shared/errors.ts';
import type { TraceContext } from '../../shared/telemetry/tracer.ts';
import type { Caller } from '../identity/caller.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';

/** The sidecar at the other end of a mesh stream, by its own words but for `workload`. */
export interface SidecarPeer {
  readonly node: string;
  readonly virtualServer: string;
  /** Names the stream in logs and admin answers. */
  readonly stream: string;
  /** The SPIFFE id that its certificate proves; undefined in plain text, on loopback. */
  readonly workload?: string | undefined;
}

/** Why an exchange is over for its sidecar before its answer was. */
export type Departure = 'cancelled' | 'deadline' | 'shutdown' | 'detached' | 'lost';

/** What became of an exchange: answered, over for its sidecar before, or refused. */
export type ExchangeOutcome = 'answered' | Departure | Reason;

/** Counts what became of exchanges, and how long each took in milliseconds; of a client that only listens, until its stream began. */
export type ExchangeCounter = (kind: Exchange['kind'], outcome: ExchangeOutcome, ms: number) => void;

/** One HTTP request of a client, arrived at a replica with its verified caller. */
export interface Exchange {
  readonly kind: 'message' | 'listen' | 'terminate';
  /** Verified for this exchange; complete or anonymous. */
  readonly caller: Caller;
  readonly peer: SidecarPeer;
  /** Empty strings where the client sent no such header. */
  readonly sessionId: string;
  readonly protocolVersion: string;
  readonly lastEventId: string;
  readonly traceparent: string;
  readonly tracestate: string;
  /** Names it in logs and at backends (`shared/request-id.ts`). */
  readonly requestId: string;
  readonly body: Buffer;
  readonly reply: ReplySink;
  /** A list of this session was answered to the caller: its sidecar may be allowed to answer it. */
  readonly answeredList?: (session: LiveSession, kind: ListKind) => void;
  /** Set by the handler; called at most once, and never after the answer ended. After `detached` and `lost` the reply is closed: what is written to it is dropped. */
  onDeparture: ((why: Departure) => void) | undefined;
  /** Set by the handler of a GET: the verdict under which it listens does not stand any more. */
  onRevoked?: (() => void) | undefined;
  /** Set by the handler; the sidecar's reader caught up after `event` had returned false. */
  onDrain: (() => void) | undefined;
  /** Set by the handler, where somebody looks. */
  watcher?: ExchangeWatcher | undefined;
}

/** Follows one exchange to its end, for traces and logs; there only where somebody looks. */
export interface ExchangeWatcher {
  /** What backends are told of its trace; undefined where none is written. */
  readonly trace: TraceContext | undefined;
  /** Its session is known. */
  found(session: LiveSession): void;
  /** An answer, or a message before it. */
  said(pieces: readonly Uint8Array[]): void;
  /** A stream begins: who only listens has its answer. */
  streams(): void;
  /** Only the first counts. Undefined: it was answered. */
  ended(why?: Reason | Departure): void;
}

/**
 * The answer's way back. Exactly one of `json`, `accepted`, `end` and `fail`
 * finishes it; calls after that are ignored, so that a late answer is harmless.
 */
export interface ReplySink {
  json(pieces: readonly Uint8Array[], sessionId?: string): void;
  accepted(): void;
  stream(): void;
  /** One message on the stream. False: more than the reader's credit waits here; hold back until `onDrain`. */
  event(pieces: readonly Uint8Array[], eventId?: string, retryMs?: number): boolean;
  end(retryMs?: number): void;
  fail(error: MeshError): void;
  /** The answer is finished, or nobody is there to read it. */
  readonly closed: boolean;
}

/** Takes an exchange and answers it; never throws and never rejects. */
export type ExchangeHandler = (exchange: Exchange) => void;
