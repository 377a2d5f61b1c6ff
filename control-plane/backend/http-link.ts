import type { Credential, CredentialHeaders } from '../credentials/strategy.ts';
import { BackendFault } from './backend.ts';
import type { Connections, Outgoing } from './connections.ts';
import type { Deadlines, Watched } from './deadlines.ts';
import { Exchange, type ExchangeLimits, type ExchangeSink, type Outcome } from './exchange.ts';
import type { HealthRecord } from './health.ts';

export interface HttpLinkOptions {
  readonly backend: string;
  readonly url: URL;
  /** Sent with every request; a credential of the same name takes their place. */
  readonly headers: Readonly<Record<string, string>>;
  /** Of one call; a listening stream may go on. */
  readonly limits: ExchangeLimits;
  readonly connections: Connections;
  readonly deadlines: Deadlines;
  readonly health: HealthRecord;
  /** POSTs are only taken; what they are answered with comes on a stream (HTTP+SSE of 2024-11-05). */
  readonly postsAreTaken?: boolean;
}

/** What each request says of the backend session it belongs to. */
export interface SessionHeaders {
  readonly sessionId: string | undefined;
  readonly protocolVersion: string | undefined;
}

const ACCEPT_BOTH = 'application/json, text/event-stream';
const ACCEPT_EVENTS = 'text/event-stream';

/** The requests to one HTTP backend, each under the credential it is given. */
export class HttpLink {
  readonly backend: string;
  readonly deadlines: Deadlines;
  readonly health: HealthRecord;
  readonly #origin: string;
  readonly #path: string;
  readonly #connections: Connections;
  readonly #configured: readonly (readonly [string, string])[];
  readonly #callLimits: ExchangeLimits;
  readonly #listenLimits: ExchangeLimits;
  readonly #postsAreTaken: boolean;

  constructor(options: HttpLinkOptions) {
    this.backend = options.backend;
    this.deadlines = options.deadlines;
    this.health = options.health;
    this.#origin = options.url.origin;
    this.#path = `${options.url.pathname}${options.url.search}`;
    this.#connections = options.connections;
    this.#configured = Object.entries(options.headers).map(([name, value]) => [name.toLowerCase(), value]);
    this.#callLimits = options.limits;
    this.#postsAreTaken = options.postsAreTaken === true;
    this.#listenLimits = { ...options.limits, totalBytes: Number.POSITIVE_INFINITY };
  }

  /** The headers of all POSTs of a session. */
  postHeaders(session: SessionHeaders): readonly string[] {
    return ['content-type', 'application/json', 'accept', ACCEPT_BOTH, ...common(session)];
  }

  /** The headers of its GETs and of its DELETE. */
  getHeaders(session: SessionHeaders): readonly string[] {
    return ['accept', ACCEPT_EVENTS, ...common(session)];
  }

  /** A POST that expects an answer. Throws BackendFault `busy`. */
  call(request: LinkRequest & { readonly body: Buffer; readonly sink: ExchangeSink }): Exchange {
    const exchange = this.#posting(request.sink, this.#connections.callEnded);
    if (!this.#connections.call(this.#outgoing('POST', request), exchange)) throw busy('calls');
    return exchange;
  }

  /** A GET that opens a stream. Throws BackendFault `busy`. */
  stream(request: LinkRequest & { readonly sink: ExchangeSink; readonly endless: boolean }): Exchange {
    const limits = request.endless ? this.#listenLimits : this.#callLimits;
    const { sink } = request;
    const { deadlines } = this;
    const exchange = new Exchange({ sink, limits, deadlines, released: this.#connections.streamEnded });
    if (!this.#connections.stream(this.#outgoing('GET', request), exchange)) throw busy('streams');
    return exchange;
  }

  /** A short request whose answer says nothing but how it ended; never rejects. */
  send(
    request: LinkRequest & { method: 'POST' | 'DELETE'; body?: Buffer; timeoutMs: number },
  ): Promise<Outcome> {
    return new Promise((resolve) => {
      const sending = new Sending(this.deadlines, request.timeoutMs, resolve);
      const exchange = this.#posting(sending, NOTHING);
      sending.exchange = exchange;
      this.#connections.message(this.#outgoing(request.method, request), exchange);
    });
  }

  #posting(sink: ExchangeSink, released: () => void): Exchange {
    return new Exchange({
      sink,
      released,
      limits: this.#callLimits,
      deadlines: this.deadlines,
      ignoresBody: this.#postsAreTaken,
    });
  }

  /** The one place where a credential meets a request: its headers join, or it signs what is sent. */
  #outgoing(method: Method, request: LinkRequest & { readonly body?: Buffer }): Outgoing {
    const { path = this.#path, body = null, credential } = request;
    if (typeof credential !== 'function')
      return { path, method, headers: this.#headers(request, credential), body };
    const headers = this.#headers(request, UNSIGNED);
    const url = new URL(`${this.#origin}${path}`);
    return credential({ method, url, headers: byName(headers), body: body ?? undefined }).then(
      (signature) => ({
        path,
        method,
        headers: [...headers, ...Object.entries(signature).flat()],
        body,
      }),
    );
  }

  #headers({ base, more }: LinkRequest, credential: CredentialHeaders): string[] {
    const headers = base.slice();
    for (const name in credential) headers.push(name, credential[name] as string);
    if (this.#configured.length > 0) {
      const taken = new Set(Object.keys(credential).map((name) => name.toLowerCase()));
      for (const [name, value] of this.#configured) if (!taken.has(name)) headers.push(name, value);
    }
    for (const name in more) headers.push(name, more[name] as string);
    return headers;
  }
}

export interface LinkRequest {
  /** From `postHeaders` or `getHeaders`. */
  readonly base: readonly string[];
  readonly credential: Credential;
  readonly more?: Readonly<Record<string, string>> | undefined;
  /** Path and query at the same origin; the configured URL's unless given. A stream is always opened there. */
  readonly path?: string;
}

type Method = 'POST' | 'GET' | 'DELETE';

const UNSIGNED: CredentialHeaders = {};

function byName(headers: readonly string[]): CredentialHeaders {
  const named: Record<string, string> = {};
  for (let at = 0; at < headers.length; at += 2) named[headers[at] as string] = headers[at + 1] as string;
  return named;
}

/** A short message takes no place that is counted. */
const NOTHING = () => {};

class Sending implements ExchangeSink, Watched {
  readonly dueAt: number;
  exchange: Exchange | undefined;
  readonly #deadlines: Deadlines;
  readonly #resolve: (outcome: Outcome) => void;

  constructor(deadlines: Deadlines, timeoutMs: number, resolve: (outcome: Outcome) => void) {
    this.#deadlines = deadlines;
    this.#resolve = resolve;
    this.dueAt = performance.now() + timeoutMs;
    deadlines.watch(this);
  }

  message(): void {}

  garbage(): void {}

  ended(outcome: Outcome): void {
    this.#deadlines.forget(this);
    this.#resolve(outcome);
  }

  expire(): void {
    const executed = this.exchange?.written === true ? 'unknown' : 'no';
    this.exchange?.abort();
    this.#resolve({
      kind: 'failed',
      fault: new BackendFault('timeout', 'The backend did not take the message in time.', { executed }),
    });
  }
}

function common({ sessionId, protocolVersion }: SessionHeaders): string[] {
  return [
    // undici decodes nothing, and a compressed answer could be larger than any limit.
    'accept-encoding',
    'identity',
    ...(sessionId === undefined ? [] : ['mcp-session-id', sessionId]),
    ...(protocolVersion === undefined ? [] : ['mcp-protocol-version', protocolVersion]),
  ];
}

function busy(what: string): BackendFault {
  return new BackendFault('busy', `Too many ${what} are open to the backend.`, { executed: 'no' });
}
