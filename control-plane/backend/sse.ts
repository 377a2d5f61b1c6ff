import {
  type Backend,
  type BackendCall,
  BackendFault,
  type BackendSession,
  type OpenOptions,
} from './backend.ts';
import { CallSlots } from './call-slots.ts';
import { Connections } from './connections.ts';
import { Deadlines } from './deadlines.ts';
import type { HealthRecord } from './health.ts';
import { HttpLink } from './http-link.ts';
import { type HttpBackendOptions, STALL_MS } from './http-options.ts';
import {
  handshakeTells,
  INITIALIZED,
  type Initialized,
  initializeCall,
  readInitialized,
} from './initialize.ts';
import { SseLink } from './sse-link.ts';
import { SseSession } from './sse-session.ts';

/**
 * A backend that speaks the HTTP with SSE transport of MCP 2024-11-05: a GET opens
 * the stream that is the session and names the endpoint that takes its messages;
 * every answer comes on the stream. It is built on the same layer as Streamable
 * HTTP, because the SDK's transport parses each message with its schemas and writes
 * it again, which changes what must arrive untouched, and keeps its headers for all
 * requests of a session, where here each brings its own caller's.
 *
 * The stream alone keeps a credential in use beyond its request: the one of the
 * caller who opened it, whose session it is. It ends a while after that caller's
 * time, calls under way are still answered on it, and the next live caller opens
 * another. Nothing of it can be resumed: a lost stream is a lost session, and an
 * event that is larger than a message may be loses it too.
 */
export interface SseOptions extends HttpBackendOptions {
  /** How long the stream may outlive its caller, in milliseconds; Infinity where the credential is nobody's own. */
  readonly graceMs: number;
}

export class SseBackend implements Backend {
  readonly name: string;
  readonly resumable = false;
  readonly ownProcess = false;
  readonly #url: URL;
  readonly #connections: Connections;
  readonly #deadlines = new Deadlines();
  readonly #slots: CallSlots;
  readonly #health: HealthRecord;
  readonly #http: HttpLink;
  readonly #graceMs: number;

  constructor(options: SseOptions) {
    const { name, headers, health, messageBytes, stallMs = STALL_MS } = options;
    this.name = name;
    this.#url = new URL(options.url);
    this.#health = health;
    this.#graceMs = options.graceMs;
    this.#connections = new Connections(this.#url.origin, options.connections);
    this.#slots = new CallSlots(this.#connections.limits);
    this.#http = new HttpLink({
      backend: name,
      url: this.#url,
      headers,
      limits: { messageBytes, totalBytes: Number.POSITIVE_INFINITY, stallMs },
      connections: this.#connections,
      deadlines: this.#deadlines,
      health,
      postsAreTaken: true,
    });
  }

  async open(options: OpenOptions): Promise<BackendSession> {
    const { credential, signal, timeoutMs, events, lifeMs } = options;
    if (signal.aborted) throw new BackendFault('aborted', 'The call was given up.', { executed: 'no' });
    const startedAt = performance.now();
    const call = initializeCall(options);
    const refusal = this.#health.admit(call);
    if (refusal !== undefined) throw refusal;
    let session: SseSession | undefined;
    const link = new SseLink({
      http: this.#http,
      url: this.#url,
      slots: this.#slots,
      credential,
      signal,
      dueAt: startedAt + timeoutMs,
      events: { message: (message) => events.message(message), lost: (fault) => session?.lost(fault) },
    });
    const { facts } = await this.#handshake(link, { call, startedAt, options });
    link.agreed(facts.protocolVersion);
    // It may have ended between its answer and now.
    if (link.fault !== undefined) throw link.fault;
    const life = lifeMs + this.#graceMs - (performance.now() - startedAt);
    session = new SseSession({ backend: this.name, link, facts, events, lifeMs: life });
    // Not waited for: servers take requests that overtake it, and a session that is gone will say so itself.
    void session.notify(INITIALIZED, credential).catch(() => {});
    return session;
  }

  resume(): undefined {
    return undefined;
  }

  async stop(): Promise<void> {
    await this.#connections.destroy();
    this.#deadlines.clear();
  }

  /** The stream, the place for messages, and initialize, within one time. What fails leaves nothing open. */
  async #handshake(link: SseLink, { call, startedAt, options }: Handshake): Promise<Initialized> {
    const silenceTells = handshakeTells(options);
    try {
      await link.ready().catch((fault) => {
        this.#health.settled({ call, startedAt }, fault, silenceTells);
        throw fault;
      });
      const pending = link.initialize(call, silenceTells);
      pending.dueAt = startedAt + options.timeoutMs;
      return readInitialized(await pending.answer);
    } catch (fault) {
      link.end();
      throw fault;
    }
  }
}

interface Handshake {
  readonly call: BackendCall;
  readonly startedAt: number;
  readonly options: OpenOptions;
}
