import type { IncomingHttpHeaders } from 'node:http';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import {
  type Backend,
  type BackendCall,
  type BackendEvents,
  BackendFault,
  type BackendHint,
  type BackendSession,
  type OpenOptions,
} from './backend.ts';
import { type ConnectionLimits, Connections } from './connections.ts';
import { Deadlines } from './deadlines.ts';
import { readFacts } from './facts.ts';
import type { HealthRecord } from './health.ts';
import { type CallPort, HttpCall } from './http-call.ts';
import { faultOfStatus } from './http-faults.ts';
import { HttpLink } from './http-link.ts';
import { HttpSession } from './http-session.ts';

/**
 * A backend that speaks Streamable HTTP (MCP 2025-03-26 and later, basic/transports).
 *
 * It holds connections, never a credential: each request carries the one of the
 * operation it belongs to, a resumed stream that of its call or of its listener.
 * Redirects are not followed, nothing but the identity encoding is asked for, and
 * what comes is bounded: a message, a call, the time a message may stop halfway.
 */
export interface StreamableHttpOptions {
  readonly name: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The longest message, in bytes. */
  readonly messageBytes: number;
  readonly health: HealthRecord;
  readonly connections?: ConnectionLimits;
}

export class StreamableHttpBackend implements Backend {
  readonly name: string;
  readonly resumable = true;
  readonly #connections: Connections;
  readonly #deadlines = new Deadlines();
  readonly #health: HealthRecord;
  readonly #link: HttpLink;

  constructor(options: StreamableHttpOptions) {
    const url = new URL(options.url);
    this.name = options.name;
    this.#health = options.health;
    this.#connections = new Connections(url.origin, options.connections);
    this.#link = new HttpLink({
      backend: options.name,
      url,
      headers: options.headers,
      messageBytes: options.messageBytes,
      connections: this.#connections,
      deadlines: this.#deadlines,
      health: options.health,
    });
  }

  async open(options: OpenOptions): Promise<BackendSession> {
    const { message, sessionId } = await this.#initialize(options);
    const result = message.scanned.result;
    if (result === undefined) throw refusedInitialize(message);
    const initializeResult = slice(message.bytes, result).toString();
    const facts = readFacts(initializeResult);
    const session = new HttpSession({
      link: this.#link,
      hint: { sessionId, protocolVersion: facts.protocolVersion, initializeResult },
      facts,
      events: options.events,
      resumed: false,
    });
    // Not waited for: servers take requests that overtake it, and a session that is gone will say so itself.
    void session.notify([INITIALIZED], options.credential).catch(() => {});
    return session;
  }

  resume(hint: BackendHint, events: BackendEvents): BackendSession | undefined {
    try {
      const facts = { ...readFacts(hint.initializeResult), protocolVersion: hint.protocolVersion };
      return new HttpSession({ link: this.#link, hint, facts, events, resumed: true });
    } catch {
      return undefined;
    }
  }

  async stop(): Promise<void> {
    await this.#connections.destroy();
    this.#deadlines.clear();
  }

  async #initialize(options: OpenOptions): Promise<{ message: Message; sessionId: string | undefined }> {
    const { credential, timeoutMs, signal, events } = options;
    const call: BackendCall = {
      id: INITIALIZE_ID,
      pieces: [INITIALIZE_HEAD, options.initializeParams, INITIALIZE_TAIL],
      method: 'initialize',
      credential,
      timeoutMs,
      maxTimeoutMs: timeoutMs,
      signal,
      onMessage: (message) => events.message(message),
    };
    if (signal.aborted) throw new BackendFault('aborted', 'The call was given up.', { executed: 'no' });
    let sessionId: string | undefined;
    const initializing = new HttpCall(call, this.#port, (headers) => {
      sessionId = readSessionId(headers);
    });
    const base = this.#link.postHeaders({ sessionId: undefined, protocolVersion: undefined });
    try {
      const body = Buffer.concat(call.pieces);
      initializing.follow(this.#link.call({ base, credential, body, sink: initializing }));
    } catch (error) {
      initializing.give(error as BackendFault);
    }
    return { message: await initializing.answer, sessionId };
  }

  /** What an initialize needs beside itself; it has no session yet to resume in or to cancel. */
  readonly #port: CallPort = {
    deadlines: this.#deadlines,
    resume: () => {
      throw new BackendFault('interrupted', 'The backend closed the stream before it answered initialize.');
    },
    faultOf: async (refusal) => faultOfStatus(refusal, false),
    settled: (_, fault) => {
      if (fault === undefined) this.#health.succeeded();
      else this.#health.failed(fault);
    },
    timedOut: () => {},
    dropped: () => this.#health.dropped(),
  };
}

/** Lower than every id that calls have, so that it is used once in a session. */
const INITIALIZE_ID = 0;
const INITIALIZE_HEAD = Buffer.from(`{"jsonrpc":"2.0","id":${INITIALIZE_ID},"method":"initialize","params":`);
const INITIALIZE_TAIL = Buffer.from('}');
const INITIALIZED = Buffer.from('{"jsonrpc":"2.0","method":"notifications/initialized"}');

/** Visible ASCII, as the specification demands; sent back exactly as given. */
function readSessionId(headers: IncomingHttpHeaders): string | undefined {
  const value = headers['mcp-session-id'];
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string' && /^[\x21-\x7e]{1,1024}$/.test(value)) return value;
  throw new BackendFault('protocol', 'The session id of the backend is not one line of visible ASCII.');
}

function refusedInitialize({ bytes, scanned }: Message): BackendFault {
  const error = JSON.parse(
    scanned.error === undefined ? '{}' : slice(bytes, scanned.error).toString(),
  ) as unknown;
  const code: unknown = Reflect.get(Object(error), 'code');
  const text = typeof code === 'number' ? `with error ${code}` : 'with an error';
  return new BackendFault('protocol', `The backend refused initialize ${text}.`, { executed: 'no' });
}
