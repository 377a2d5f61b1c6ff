import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import type { JsonRpc } from './recording-backend.ts';

/**
 * An MCP client of the legacy revisions over plain `node:http`, which hides nothing: statuses, headers,
 * each event with its id, and how a connection ended.
 *
 *     const client = await McpClient.open({ url: mesh.url, token });
 *     const reply = await client.call('echo', { n: 1 });
 *     expect(textOf(reply)).to.equal('{"n":1}');
 *
 * Each request uses a connection of its own, so that no request meets the end of an older connection.
 */

export interface ClientOptions {
  /** MCP, at a sidecar. */
  readonly url: string;
  /** Anonymous when absent. */
  readonly token?: string | undefined;
  /** The headers that show a token; as a bearer's where absent. */
  readonly shows?: (request: {
    readonly method: string;
    readonly url: string;
    readonly token: string;
  }) => Readonly<Record<string, string>>;
  readonly protocolVersion?: string;
  readonly capabilities?: Readonly<Record<string, unknown>>;
}

export interface StreamEvent {
  readonly id: string | undefined;
  readonly data: string;
  readonly message: JsonRpc | undefined;
}

/** One HTTP answer, as a whole. */
export interface Reply {
  /** 0 when the connection ended without one. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Where it is an event stream. */
  readonly events: readonly StreamEvent[];
  /** The JSON-RPC response among what came, or the error in the body; but for what names the request, two of them can be compared. */
  readonly answer: JsonRpc | undefined;
  /** By which logs know the request, where an error says so. */
  readonly requestId: string | undefined;
}

export interface RequestOptions {
  readonly method?: 'POST' | 'GET' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** One HTTP exchange while it goes on. */
export class Incoming {
  /** Everything that came so far, once the stream is one of events. */
  readonly events: StreamEvent[] = [];
  status = 0;
  headers: IncomingHttpHeaders = {};
  /** Resolves when the connection or the answer has ended, however it did. */
  readonly ended: Promise<void>;
  /** Resolves when the head of the answer is there, or the connection has ended without. */
  readonly begun: Promise<void>;
  readonly #request: ClientRequest;
  readonly #watchers = new Set<() => void>();
  #text = '';
  #parsed = 0;
  #over = false;

  constructor(url: string, { method = 'POST', headers = {}, body }: RequestOptions) {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    this.#request = request(url, { method, headers: { ...headers, ...length }, agent: false });
    let begin = () => {};
    let end = () => {};
    this.begun = new Promise((resolve) => {
      begin = resolve;
    });
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    const over = () => {
      this.#over = true;
      begin();
      end();
      this.#changed();
    };
    this.#request.on('error', over);
    this.#request.on('close', over);
    this.#request.on('response', (response: IncomingMessage) => {
      this.status = response.statusCode ?? 0;
      this.headers = response.headers;
      begin();
      response.setEncoding('utf8');
      response.on('data', (text: string) => this.#take(text));
      response.on('error', over);
      response.on('end', over);
    });
    this.#request.end(body);
  }

  get over(): boolean {
    return this.#over;
  }

  get body(): string {
    return this.#text;
  }

  get streaming(): boolean {
    return this.headers['content-type']?.startsWith('text/event-stream') ?? false;
  }

  get lastEventId(): string | undefined {
    return this.events.findLast(({ id }) => id !== undefined)?.id;
  }

  /** Messages on the stream, without what has no data. */
  get messages(): readonly JsonRpc[] {
    return this.events.flatMap(({ message }) => message ?? []);
  }

  /** The first event that fits, past or future; rejects when the stream ends without it. */
  async event(fits: (event: StreamEvent) => boolean): Promise<StreamEvent> {
    for (;;) {
      const found = this.events.find(fits);
      if (found !== undefined) return found;
      if (this.#over)
        throw new Error(`the stream ended without the event; status ${this.status}, ${this.#text}`);
      await new Promise<void>((resolve) => {
        const watch = () => {
          this.#watchers.delete(watch);
          resolve();
        };
        this.#watchers.add(watch);
      });
    }
  }

  /** The first message with this method. */
  async message(method: string): Promise<JsonRpc> {
    return (await this.event(({ message }) => message?.method === method)).message ?? {};
  }

  /** Drops the connection, as a client that is gone. */
  drop(): void {
    this.#request.destroy();
  }

  async reply(): Promise<Reply> {
    await this.ended;
    const { status, headers, body, events } = this;
    const messages = this.streaming ? [...this.messages] : [parse(body)];
    const found = messages.find((message) => message !== undefined && message.method === undefined);
    return { status, headers, body, events, ...named(found) };
  }

  #take(text: string): void {
    this.#text += text;
    if (this.streaming) this.#parse();
    this.#changed();
  }

  #parse(): void {
    for (;;) {
      const end = this.#text.indexOf('\n\n', this.#parsed);
      if (end < 0) return;
      const fields = this.#text.slice(this.#parsed, end).split('\n');
      this.#parsed = end + 2;
      const value = (name: string) =>
        fields
          .find((line) => line.startsWith(`${name}:`))
          ?.slice(name.length + 1)
          .trim();
      const [id, data] = [value('id'), value('data')];
      if (id !== undefined || data !== undefined)
        this.events.push({ id, data: data ?? '', message: parse(data ?? '') });
    }
  }

  #changed(): void {
    for (const watch of [...this.#watchers]) watch();
  }
}

/** An answer, and the id of its request where it says one. */
function named(answer: JsonRpc | undefined): Pick<Reply, 'answer' | 'requestId'> {
  const { data } = answer?.error ?? {};
  if (answer?.error === undefined || typeof data !== 'object' || data === null || !('requestId' in data))
    return { answer, requestId: undefined };
  const { requestId, ...rest } = data;
  return { answer: { ...answer, error: { ...answer.error, data: rest } }, requestId: String(requestId) };
}

export class McpClient {
  url: string;
  /** What the next request shows. */
  token: string | undefined;
  sessionId: string | undefined;
  readonly #options: ClientOptions;
  #id = 0;

  /** Initialises a session; rejects when that is refused. */
  static async open(options: ClientOptions): Promise<McpClient> {
    const client = new McpClient(options);
    const reply = await client.initialize();
    if (client.sessionId === undefined) throw new Error(`initialize: ${reply.status} ${reply.body}`);
    return client;
  }

  constructor(options: ClientOptions) {
    this.#options = options;
    this.url = options.url;
    this.token = options.token;
  }

  /** Another client of the same session, here or at another sidecar, with another token. */
  alias(
    change: {
      readonly url?: string | undefined;
      readonly token?: string | undefined;
      readonly sessionId?: string;
      readonly shows?: NonNullable<ClientOptions['shows']>;
    } = {},
  ): McpClient {
    const { url = this.url, sessionId = this.sessionId } = change;
    const other = new McpClient({ ...this.#options, token: this.token, ...change, url });
    other.sessionId = sessionId;
    other.#id = 1_000 + this.#id;
    return other;
  }

  /** Asks for a session, and keeps its id when there is one. */
  async initialize(): Promise<Reply> {
    const { protocolVersion = '2025-11-25', capabilities = {} } = this.#options;
    const clientInfo = { name: 'a raw client', version: '1' };
    const reply = await this.request('initialize', { protocolVersion, capabilities, clientInfo });
    const id = reply.headers['mcp-session-id'];
    if (reply.status !== 200 || typeof id !== 'string') return reply;
    this.sessionId = id;
    await this.notify('notifications/initialized');
    return reply;
  }

  /** A request that goes on while the test does something else. */
  begin(method: string, params: Readonly<Record<string, unknown>> = {}): Incoming {
    this.#id += 1;
    return this.send({ jsonrpc: '2.0', id: this.#id, method, params });
  }

  beginCall(name: string, args: Readonly<Record<string, unknown>> = {}, meta = {}): Incoming {
    return this.begin('tools/call', { name, arguments: args, _meta: meta });
  }

  request(method: string, params: Readonly<Record<string, unknown>> = {}): Promise<Reply> {
    return this.begin(method, params).reply();
  }

  call(name: string, args: Readonly<Record<string, unknown>> = {}): Promise<Reply> {
    return this.beginCall(name, args).reply();
  }

  notify(method: string, params: Readonly<Record<string, unknown>> = {}): Promise<Reply> {
    return this.send({ jsonrpc: '2.0', method, params }).reply();
  }

  send(message: unknown, headers: Readonly<Record<string, string>> = {}): Incoming {
    const own = { ...this.headers(), 'content-type': 'application/json', ...headers };
    return new Incoming(this.url, { headers: own, body: JSON.stringify(message) });
  }

  /** Opens the GET stream, or resumes the stream of this event. */
  async listen(lastEventId?: string): Promise<Incoming> {
    const resume = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    const incoming = new Incoming(this.url, {
      method: 'GET',
      headers: { ...this.headers('GET'), ...resume },
    });
    await incoming.begun;
    return incoming;
  }

  /** Ends the session. */
  end(): Promise<Reply> {
    return new Incoming(this.url, { method: 'DELETE', headers: this.headers('DELETE') }).reply();
  }

  headers(method = 'POST'): Record<string, string> {
    const { url, token } = this;
    const { shows = ({ token }) => ({ authorization: `Bearer ${token}` }) } = this.#options;
    return {
      accept: 'application/json, text/event-stream',
      ...(token === undefined ? {} : shows({ method, url, token })),
      ...(this.sessionId === undefined ? {} : { 'mcp-session-id': this.sessionId }),
    };
  }
}

/** The text of a tool's result. */
export function textOf(reply: Reply): string {
  const { content } = (reply.answer?.result ?? {}) as { content?: readonly { text?: string }[] };
  const text = content?.[0]?.text;
  if (text === undefined) throw new Error(`no result: ${reply.status} ${reply.body}`);
  return text;
}

/** The mesh's own reason in an error. */
export function reasonOf(reply: Reply): string | undefined {
  return (reply.answer?.error?.data as { reason?: string } | undefined)?.reason;
}

function parse(text: string): JsonRpc | undefined {
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as JsonRpc;
  } catch {
    return undefined;
  }
}
