import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Message } from '../../shared/json-rpc/message.ts';
import {
  type Backend,
  type BackendCall,
  type BackendEvents,
  BackendFault,
  type BackendHint,
  type BackendSession,
  type OpenOptions,
} from './backend.ts';
import { Connections } from './connections.ts';
import { Deadlines } from './deadlines.ts';
import { readFacts } from './facts.ts';
import { faultOfStatus, unsendable } from './faults.ts';
import type { HealthRecord } from './health.ts';
import { type CallPort, HttpCall } from './http-call.ts';
import { HttpLink } from './http-link.ts';
import { type HttpBackendOptions, STALL_MS } from './http-options.ts';
import { HttpSession } from './http-session.ts';
import {
  handshakeTells,
  INITIALIZED,
  type Initialized,
  initializeCall,
  readInitialized,
} from './initialize.ts';

/**
 * A backend that speaks Streamable HTTP (MCP 2025-03-26 and later, basic/transports).
 *
 * It holds connections, never a credential: each request carries the one of the
 * operation it belongs to, a resumed stream that of its call or of its listener.
 * Redirects are not followed, nothing but the identity encoding is asked for, and
 * what comes is bounded: a message, a call, the time a message may stop halfway.
 */
export interface StreamableHttpOptions extends HttpBackendOptions {
  /** Bytes of all messages of one call together; 64 MiB unless said. */
  readonly callBytes?: number;
}

const CALL_BYTES = 64 * 1024 * 1024;

export class StreamableHttpBackend implements Backend {
  readonly name: string;
  readonly resumable = true;
  readonly ownProcess = false;
  readonly #connections: Connections;
  readonly #deadlines = new Deadlines();
  readonly #health: HealthRecord;
  readonly #link: HttpLink;
  readonly #place: string;
  #last: Initialized | undefined;

  constructor(options: StreamableHttpOptions) {
    const url = new URL(options.url);
    this.name = options.name;
    this.#place = createHash('sha256').update(url.href).digest('base64url').slice(0, 16);
    this.#health = options.health;
    this.#connections = new Connections(url.origin, options.connections);
    this.#link = new HttpLink({
      backend: options.name,
      url,
      headers: options.headers,
      limits: {
        messageBytes: options.messageBytes,
        totalBytes: options.callBytes ?? CALL_BYTES,
        stallMs: options.stallMs ?? STALL_MS,
      },
      connections: this.#connections,
      deadlines: this.#deadlines,
      health: options.health,
    });
  }

  async open(options: OpenOptions): Promise<BackendSession> {
    if (options.signal.aborted)
      throw new BackendFault('aborted', 'The call was given up.', { executed: 'no' });
    const { credential, events } = options;
    const call = initializeCall(options);
    const refusal = this.#health.admit(call);
    if (refusal !== undefined) throw refusal;
    const { message, sessionId } = await this.#initialize(call, handshakeTells(options));
    const { initializeResult, facts } = this.#shared(readInitialized(message));
    const { protocolVersion } = facts;
    const hint = { sessionId, place: this.#place, protocolVersion, initializeResult };
    const session = new HttpSession({ link: this.#link, hint, facts, events, resumed: false });
    // Not waited for: servers take requests that overtake it, and a session that is gone will say so itself.
    void session.notify(INITIALIZED, credential).catch(() => {});
    return session;
  }

  resume(hint: BackendHint, events: BackendEvents): BackendSession | undefined {
    if (hint.place !== undefined && hint.place !== this.#place) return undefined;
    try {
      const facts = { ...readFacts(hint.initializeResult), protocolVersion: hint.protocolVersion };
      return new HttpSession({ link: this.#link, hint, facts, events, resumed: true });
    } catch {
      return undefined;
    }
  }

  /** A backend mostly says the same to all: then its sessions share it. */
  #shared(initialized: Initialized): Initialized {
    const last = this.#last;
    const same =
      last?.initializeResult === initialized.initializeResult &&
      last.facts.instructions === initialized.facts.instructions;
    if (!same) this.#last = initialized;
    return same ? last : initialized;
  }

  async stop(): Promise<void> {
    await this.#connections.destroy();
    this.#deadlines.clear();
  }

  async #initialize(
    call: BackendCall,
    silenceTells: boolean,
  ): Promise<{ message: Message; sessionId: string | undefined }> {
    let sessionId: string | undefined;
    const initializing = new HttpCall(call, this.#port(silenceTells), (headers) => {
      sessionId = readSessionId(headers);
    });
    const base = this.#link.postHeaders({ sessionId: undefined, protocolVersion: undefined });
    try {
      const { credential, pieces, headers: more } = call;
      const body = Buffer.concat(pieces);
      initializing.follow(this.#link.call({ base, credential, more, body, sink: initializing }));
    } catch (error) {
      initializing.give(unsendable(error));
    }
    return { message: await initializing.answer, sessionId };
  }

  /** What an initialize needs beside itself; it has no session yet to resume in or to cancel. */
  #port(silenceTells: boolean): CallPort {
    const health = this.#health;
    return {
      deadlines: this.#deadlines,
      resume: () => {
        throw new BackendFault('interrupted', 'The backend closed the stream before it answered initialize.');
      },
      faultOf: async (refusal) => faultOfStatus(refusal, false),
      heard: (call) => health.heard(call),
      settled: (call, fault) => health.settled(call, fault, silenceTells),
      timedOut: () => {},
      dropped: () => health.dropped(),
    };
  }
}

/** Visible ASCII, as the specification demands; sent back exactly as given. */
function readSessionId(headers: IncomingHttpHeaders): string | undefined {
  const value = headers['mcp-session-id'];
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string' && /^[\x21-\x7e]{1,1024}$/.test(value)) return value;
  throw new BackendFault('protocol', 'The session id of the backend is not one line of visible ASCII.');
}
