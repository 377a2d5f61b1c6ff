import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { MeshError } from '../../shared/errors.ts';
import type { HeldToken } from '../credentials/held-token.ts';
import type { Target } from './config.ts';

/** A session as HTTP knows it. `id` is undefined at a server that gives none. */
export interface HttpSession {
  readonly id: string | undefined;
  /** The negotiated revision, for the MCP-Protocol-Version header. */
  readonly version: string | undefined;
}

export interface Sending {
  readonly method: 'POST' | 'GET' | 'DELETE';
  readonly session: HttpSession | undefined;
  readonly body?: Buffer;
  readonly lastEventId?: string;
  readonly signal: AbortSignal;
  /** The request is on its way, as a whole. Not called where it never was. */
  readonly onSent?: () => void;
}

/** The head of an answer. Its body is to be read or discarded. */
export interface Reply {
  readonly status: number;
  readonly events: boolean;
  readonly sessionId: string | undefined;
  /** What Retry-After says, in milliseconds; undefined when it says nothing. */
  readonly retryAfterMs: number | undefined;
  readonly body: IncomingMessage;
}

/** The connection ended, or never was, before an answer began. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
  /** Whether the whole request had left: only then can it have had an effect. */
  readonly written: boolean;

  constructor(written: boolean, cause: unknown) {
    super('the connection was lost', { cause });
    this.written = written;
  }
}

/** Longer than any request may take in the mesh (10 minutes, where a person is asked). */
const HEAD_WITHIN_MS = 11 * 60_000;
/** A stream says something every 15 s; one that is silent for so long is dead. */
const SILENCE_MS = 75_000;

export interface EndpointOptions {
  readonly target: Target;
  readonly token: HeldToken | undefined;
  /** Nothing is read at the moment, on purpose: silence means nothing then. */
  readonly isHeld: () => boolean;
}

/** The Streamable HTTP endpoint of the sidecar, over kept connections. */
export class Endpoint {
  readonly #options: EndpointOptions;
  readonly #agent = new Agent({ keepAlive: true, scheduling: 'lifo' });
  readonly #address: Pick<RequestOptions, 'host' | 'port' | 'socketPath'>;

  constructor(options: EndpointOptions) {
    this.#options = options;
    const { target } = options;
    this.#address =
      target.kind === 'tcp' ? { host: target.host, port: target.port } : { socketPath: target.socketPath };
  }

  /** Whether requests carry a token. */
  get authorized(): boolean {
    return this.#options.token !== undefined;
  }

  /**
   * Resolves with the head of the answer. Rejects with `ConnectionLost`; with
   * MeshError `unavailable` when the token cannot be read. A refused token that has
   * been renewed meanwhile is replaced, once.
   */
  async open(sending: Sending): Promise<Reply> {
    const authorization = this.#authorization();
    const reply = await this.#send(sending, authorization);
    if (reply.status !== 401 || authorization === undefined) return reply;
    const renewed = this.#authorization();
    if (renewed === authorization) return reply;
    discard(reply);
    return this.#send(sending, renewed);
  }

  close(): void {
    this.#agent.destroy();
  }

  #authorization(): string | undefined {
    const { token } = this.#options;
    const authorization = token?.current();
    if (token !== undefined && authorization === undefined) {
      throw new MeshError('unavailable', 'The token that `outrigger connect` is to show cannot be read.');
    }
    return authorization;
  }

  #send(sending: Sending, authorization: string | undefined): Promise<Reply> {
    const { method, body, signal, onSent } = sending;
    const outgoing = request({
      ...this.#address,
      path: this.#options.target.path,
      method,
      headers: headersOf(sending, authorization),
      agent: this.#agent,
      signal,
    });
    let written = false;
    outgoing.once('finish', () => {
      written = true;
      onSent?.();
    });
    outgoing.setTimeout(HEAD_WITHIN_MS);
    outgoing.on('timeout', () => {
      if (this.#options.isHeld()) outgoing.setTimeout(SILENCE_MS);
      else outgoing.destroy(new Error('nothing came for too long'));
    });
    return new Promise((resolve, reject) => {
      outgoing.on('error', (cause) => reject(new ConnectionLost(written, cause)));
      outgoing.once('response', (incoming) => {
        outgoing.setTimeout(SILENCE_MS);
        resolve(toReply(incoming));
      });
      outgoing.end(body);
    });
  }
}

/** Lets the connection be used again, or go. */
export function discard(reply: Reply): void {
  reply.body.on('error', () => {});
  reply.body.resume();
}

function headersOf(sending: Sending, authorization: string | undefined): Record<string, string> {
  const { method, session, body, lastEventId } = sending;
  const headers: Record<string, string> = {
    accept: method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream',
  };
  if (body !== undefined) {
    headers['content-type'] = 'application/json';
    headers['content-length'] = String(body.length);
  }
  if (authorization !== undefined) headers['authorization'] = authorization;
  if (session?.id !== undefined) headers['mcp-session-id'] = session.id;
  if (session?.version !== undefined) headers['mcp-protocol-version'] = session.version;
  if (lastEventId !== undefined && lastEventId !== '') headers['last-event-id'] = lastEventId;
  return headers;
}

function toReply(body: IncomingMessage): Reply {
  const { statusCode = 0, headers } = body;
  const sessionId = headers['mcp-session-id'];
  const seconds = Number(headers['retry-after']);
  return {
    status: statusCode,
    events: /^text\/event-stream\b/i.test(headers['content-type'] ?? ''),
    sessionId: typeof sessionId === 'string' ? sessionId : undefined,
    retryAfterMs: Number.isInteger(seconds) && seconds >= 0 ? seconds * 1_000 : undefined,
    body,
  };
}
