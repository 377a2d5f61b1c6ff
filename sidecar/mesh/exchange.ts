import type { MeshError } from '../../shared/errors.ts';
import type { Scanned } from '../../shared/json-rpc/message.ts';

/** What shows that whoever sent a request holds the key of its token (RFC 9449 §4). */
export interface Proof {
  /** The value of the DPoP header. */
  readonly jwt: string;
  /** By which the client may have called this sidecar. */
  readonly urls: readonly string[];
  /** Names the HTTP request: random, and the same when it is sent again. */
  readonly request: string;
}

/** One HTTP request of a client, as the edge hands it to the mesh. */
export interface ExchangeRequest {
  readonly kind: 'message' | 'listen' | 'terminate';
  /** The exact Authorization header of this request, or the sidecar's own token's; undefined when there is none. */
  readonly authorization: string | undefined;
  /** With a token of the scheme DPoP. */
  readonly proof?: Proof | undefined;
  readonly sessionId: string | undefined;
  readonly protocolVersion: string | undefined;
  readonly lastEventId: string | undefined;
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
  /** Names it in logs, in the error that answers it and at backends (`shared/request-id.ts`). */
  readonly requestId: string;
  /** The JSON-RPC message and what the edge's own scan found; undefined for listen and terminate, and `scanned` for a batch. */
  readonly body: Buffer | undefined;
  readonly scanned: Scanned | undefined;
  /** The verbatim JSON ids of the requests in it; several in a batch. */
  readonly ids: readonly string[];
}

/**
 * Where the answer goes. Exactly one of `json`, `accepted`, `end` and `fail` is
 * called, once, and nothing after it. `stream` is called at most once, before the
 * first `event`. When an exchange is sent again after a loss the sink sees one
 * answer all the same: a JSON answer to an exchange that had begun to stream
 * arrives as `event` and `end`.
 */
export interface AnswerSink {
  /** 200 application/json. `sessionId` is set on the answer to initialize. */
  json(pieces: readonly Uint8Array[], sessionId: string | undefined): void;
  /** 202 for a message, 200 for terminate; no body. */
  accepted(): void;
  /** 200 text/event-stream begins. */
  stream(): void;
  /** One whole message; empty `pieces` with an id is a priming event. False asks the mesh to hold the exchange's credit until `resume`. */
  event(pieces: readonly Uint8Array[], eventId: string | undefined, retryMs: number | undefined): boolean;
  end(): void;
  fail(error: MeshError): void;
}

export interface ExchangeHandle {
  /** The client's time is over or the sidecar shuts down: the replica stops the work. */
  cancel(reason: 'cancelled' | 'deadline' | 'shutdown'): void;
  /** The client is gone; the call goes on and its answer waits to be resumed. */
  detach(): void;
  /** After `event` returned false: the reader caught up. */
  resume(): void;
}

export interface ProofFacts {
  /** In which proofs may be signed. */
  readonly algorithms: readonly string[];
  /** Whether every token must be bound. */
  readonly required: boolean;
}

/** What Welcome told about the mesh; undefined before the first one. */
export interface MeshFacts {
  readonly replica: string;
  readonly resource: string;
  readonly issuers: readonly string[];
  readonly scopes: readonly string[];
  readonly anonymous: boolean;
  /** Tokens that are bound to a key of the client (RFC 9449); absent, none are taken. */
  readonly proofs?: ProofFacts | undefined;
  readonly maxMessageBytes: number;
}

export interface MeshClient {
  /** Never throws; a refusal arrives at the sink (`unavailable` when no replica can be reached). */
  open(request: ExchangeRequest, sink: AnswerSink): ExchangeHandle;
  readonly facts: MeshFacts | undefined;
  /** Whether a home stream stands. */
  readonly connected: boolean;
  /** Ends the streams after the open exchanges, or at once when `graceMs` is over. */
  close(graceMs: number): Promise<void>;
}
