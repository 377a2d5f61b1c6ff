import type { Message } from '../../shared/json-rpc/message.ts';
import type { TraceContext } from '../../shared/telemetry/tracer.ts';
import type { Credential } from '../credentials/strategy.ts';

/** What is kept of a backend session so that any replica can take it up again. No credential is part of it. */
export interface BackendHint {
  /** The backend's own session id, exactly as given; undefined for a backend that has none. */
  readonly sessionId: string | undefined;
  /** Names where the backend was that gave it: another server under the same name is never shown it. Absent in older records. */
  readonly place?: string | undefined;
  readonly protocolVersion: string;
  /** The backend's InitializeResult cut to what routing needs: it need not be asked for again, and fifty fit into one record. */
  readonly initializeResult: string;
}

export interface CapabilityParts {
  readonly listChanged?: boolean;
  readonly subscribe?: boolean;
  /** Of `tasks`: they can be listed. */
  readonly list?: object;
  /** Of `tasks`: what can run as one. */
  readonly requests?: { readonly tools?: { readonly call?: object } };
}

/** The part of a backend's InitializeResult that routing needs. */
export interface BackendFacts {
  readonly protocolVersion: string;
  /** The capabilities that the mesh serves, with the parts of them that it reads. */
  readonly capabilities: Readonly<Record<string, CapabilityParts>>;
  readonly instructions: string | undefined;
}

export type BackendFaultKind =
  /** Refused connection, DNS, TLS, a child that does not start; or it failed so often that it is not asked now. */
  | 'unreachable'
  /** 404 for our session, 400 confirmed by a second one to a ping, a child or a session's only stream that is gone. */
  | 'session_lost'
  /** 401. */
  | 'unauthorized'
  /** 403. */
  | 'forbidden'
  /** 429. */
  | 'rate_limited'
  | 'timeout'
  /** What came is not MCP: garbage, a wrong content type, a wrong id, too large, an endless event. */
  | 'protocol'
  /** 5xx, or the connection ended before the answer. */
  | 'interrupted'
  /** No more children or connections may be opened now. */
  | 'busy'
  /** The signal given by us. */
  | 'aborted';

/** A backend could not be asked or did not answer as a backend. A JSON-RPC error that it did answer is an answer, not a fault. */
export class BackendFault extends Error {
  override readonly name = 'BackendFault';
  readonly kind: BackendFaultKind;
  /** Whether the request can have had an effect: `no` only when that is proven. */
  readonly executed: 'no' | 'unknown';
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  /** With `forbidden` and `unauthorized`: all scopes that would do, by the backend's word (RFC 6750 §3.1). Empty when it said none. */
  readonly scopes: readonly string[];
  /** With `unauthorized`: where the backend says that its metadata is (RFC 9728 §5.1). As it came: nobody has checked it. */
  readonly metadataUrl: string | undefined;

  constructor(
    kind: BackendFaultKind,
    message: string,
    options: {
      executed?: 'no' | 'unknown';
      status?: number;
      retryAfterMs?: number;
      scopes?: readonly string[];
      metadataUrl?: string | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.executed = options.executed ?? 'unknown';
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
    this.scopes = options.scopes ?? [];
    this.metadataUrl = options.metadataUrl;
  }
}

/** Messages of the backend that answer no call of ours and came on no call's stream. */
export interface BackendEvents {
  /** A notification, or a request to the client, from the listening stream or a stdio child. */
  message(message: Message): void;
  /**
   * The backend session is gone for good: its child exited, or its only stream ended, or may not be held any longer;
   * calls under way are still answered then. Called at most once, never after `close`.
   */
  lost(fault: BackendFault): void;
}

export interface OpenOptions {
  /** The raw `params` of initialize: the client's true ones, cut to what we carry. */
  readonly initializeParams: Uint8Array;
  readonly credential: Credential;
  readonly events: BackendEvents;
  /** Bounds the handshake. */
  readonly timeoutMs: number;
  /** How long from now the caller may be acted for, with this credential, in milliseconds; Infinity where neither has an end. */
  readonly lifeMs: number;
  readonly signal: AbortSignal;
  /** The trace that the handshake is part of, where one is written. */
  readonly trace?: TraceContext;
}

/** One request to the backend. */
export interface BackendCall {
  /** At least 1, and never used twice in a backend session; the envelope in `pieces` carries it, as its progress token if it asks for progress. */
  readonly id: number;
  /** The whole JSON-RPC message. */
  readonly pieces: readonly Uint8Array[];
  readonly method: string;
  readonly credential: Credential;
  /** More headers of this request, such as the trace context. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Without an answer for so long, the fault is `timeout` and the backend is told that the call is cancelled. */
  readonly timeoutMs: number;
  /** Progress starts the timeout anew, and a request of the backend, which may wait for a person, suspends it: up to this much in all. */
  readonly maxTimeoutMs: number;
  /** Before it is sent, or while it runs; the fault is `aborted`. Nothing is told to the backend: see `cancel`. */
  readonly signal?: AbortSignal;
  /** A notification or request that came on this call's stream before its answer. */
  readonly onMessage: (message: Message) => void;
  /** The backend closed this call's stream without an answer and asked for a resume after that time (SSE `retry`); the connector resumes by itself. */
  readonly onPolling?: (retryMs: number) => void;
}

/** What the caller of a backend may ask of one listening stream. */
export interface ListenOptions {
  readonly credential: Credential;
  readonly signal: AbortSignal;
  /** Events may have been missed since this session was last listened to, here or by another replica: lists are to be read again. */
  readonly onGap: () => void;
  /** The stream is open (true) or down and being resumed (false). */
  readonly onState: (open: boolean) => void;
}

/**
 * `terminate` also deletes the session at the backend, bounded in time; without it
 * the backend is told nothing. `finish` leaves the calls in flight to their own ends:
 * of a session that is lost, each learns for itself whether it ran.
 */
export type SessionEnd =
  | { readonly terminate: false; readonly finish?: true }
  | { readonly terminate: true; readonly credential: Credential };

/**
 * One backend's own session. It holds no credential: each operation brings the
 * one of its live caller. Every promise rejects with `BackendFault` only.
 */
export interface BackendSession {
  readonly facts: BackendFacts;
  /** What to store; undefined where nothing can be resumed (stdio, HTTP+SSE). */
  readonly hint: BackendHint | undefined;
  /** A digest that is the same for the same backend session and no other; binds server-to-client requests to it. */
  readonly fingerprint: string;
  /** Resolves with the response that carries the call's id, result or error. */
  call(call: BackendCall): Promise<Message>;
  /** Sends a notification. Resolves when the backend took it. */
  notify(pieces: readonly Uint8Array[], credential: Credential): Promise<void>;
  /** Sends the client's response to a request of the backend. */
  respond(pieces: readonly Uint8Array[], credential: Credential): Promise<void>;
  /** Tells the backend to stop a call and frees it here, with the fault `aborted`; its late answer is dropped. Does nothing for a call that is over. */
  cancel(id: number, reason: string | undefined, credential: Credential): void;
  /**
   * Opens the listening stream and keeps it, resumed with back-off, until the signal. Resolves `unsupported` when the
   * backend has none (404, 405, 204, or another refusal that speaks neither of the session nor of the caller). A stdio
   * child, and a session over HTTP+SSE, is always heard: there it only waits.
   */
  listen(options: ListenOptions): Promise<'closed' | 'unsupported'>;
  /** Ends it here. */
  close(how: SessionEnd): Promise<void>;
}

/** One configured backend. */
export interface Backend {
  readonly name: string;
  /** Whether a session can outlive a replica through its hint. */
  readonly resumable: boolean;
  /** Whether each session has a process of its own, which may show it what it shows to no other. */
  readonly ownProcess: boolean;
  /** The handshake: initialize, and initialized without waiting for its answer. */
  open(options: OpenOptions): Promise<BackendSession>;
  /** Takes up a session by its hint, without any I/O; the first call tells whether the backend still knows it. Undefined where that cannot be. */
  resume(hint: BackendHint, events: BackendEvents): BackendSession | undefined;
  /** Ends children and connections. */
  stop(): Promise<void>;
}

export type { Message };
