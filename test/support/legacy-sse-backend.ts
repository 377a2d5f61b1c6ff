/**
 * A real MCP server over HTTP with SSE, as of 2024-11-05, that writes down what it sees:
 *
 *     await using server = await LegacySseBackend.start();
 *     … let the mesh talk to server.url …
 *     expect(server.streams[0]!.authorization).to.equal('Bearer alice');
 *     expect(server.posts('tools/call')[0]!.authorization).to.equal('Bearer bob');
 *
 * Its tools: echo, whoami (the Authorization of the call), progress, ask (a request
 * to the client), slow (answers on `release()`), and anything else never answers.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JsonRpc } from './recording-backend/record.ts';

export interface LegacyScript {
  /** What the endpoint event says, by session id; undefined says nothing. */
  endpoint: (session: string) => string | undefined;
  /** How a POST is answered, beside what comes on the stream. */
  post: { readonly status: number; readonly type?: string; readonly body?: string };
  /** Answers on the stream, and leaves the POST without its status. */
  answersFirst: boolean;
  /** The status of a GET; 200 opens the stream. */
  get: number;
  /** The raw text of each answer's event, where it is not the ordinary one. */
  answer: ((id: unknown) => string) | undefined;
}

export interface LegacyStream {
  readonly session: string;
  readonly authorization: string | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly response: ServerResponse;
}

export interface LegacyPost {
  readonly session: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly message: JsonRpc;
}

export class LegacySseBackend implements AsyncDisposable {
  readonly url: string;
  readonly script: LegacyScript = {
    endpoint: (session) => `/messages?session=${session}`,
    post: { status: 202, type: 'text/plain', body: 'Accepted' },
    answersFirst: false,
    get: 200,
    answer: undefined,
  };
  /** Every stream that was asked for; the open ones are those that have not ended. */
  readonly streams: LegacyStream[] = [];
  readonly #posts: LegacyPost[] = [];
  readonly #asked = new Map<unknown, (reply: JsonRpc) => void>();
  readonly #server: Server;
  readonly #released: (() => void)[] = [];

  static async start(script: Partial<LegacyScript> = {}): Promise<LegacySseBackend> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const backend = new LegacySseBackend(server);
    Object.assign(backend.script, script);
    return backend;
  }

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/sse`;
    server.on('request', (request, response) => {
      void this.#receive(request, response).catch(() => response.destroy());
    });
  }

  get openStreams(): readonly LegacyStream[] {
    return this.streams.filter(({ response }) => !response.destroyed && !response.writableEnded);
  }

  posts(method?: string): readonly LegacyPost[] {
    return this.#posts.filter(({ message }) => method === undefined || message.method === method);
  }

  /** Raw text on every open stream. */
  write(text: string): void {
    for (const { response } of this.openStreams) response.write(text);
  }

  push(message: JsonRpc): void {
    this.write(event({ jsonrpc: '2.0', ...message }));
  }

  /** Lets the `slow` calls be answered. */
  release(): void {
    for (const release of this.#released.splice(0)) release();
  }

  /** Drops every stream: the sessions are gone. */
  cut(): void {
    for (const { response } of this.openStreams) response.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { headers, method, url = '' } = request;
    const { authorization } = headers;
    if (method === 'GET') return this.#open({ authorization, headers, response, session: randomUUID() });
    const body = Buffer.concat(chunks).toString();
    const message = JSON.parse(body) as JsonRpc;
    const session = new URL(url, this.url).searchParams.get('session') ?? '';
    const post = { session, path: url, authorization, headers, body, message };
    this.#posts.push(post);
    const { status, type, body: said } = this.script.post;
    if (!this.script.answersFirst) {
      response.writeHead(status, type === undefined ? {} : { 'content-type': type }).end(said);
    }
    if (status < 300) await this.#answer(post);
  }

  #open(stream: LegacyStream): void {
    this.streams.push(stream);
    const { response, session } = stream;
    const { get, endpoint } = this.script;
    if (get !== 200) {
      response.writeHead(get).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    response.flushHeaders();
    const said = endpoint(session);
    if (said !== undefined) response.write(`event: endpoint\ndata: ${said}\n\n`);
  }

  async #answer(post: LegacyPost): Promise<void> {
    const { id, method, params } = post.message;
    if (method === undefined) return this.#asked.get(id)?.(post.message);
    if (id === undefined) return;
    const result = await this.#result(post, method, params ?? {});
    if (result === undefined) return;
    const text = this.script.answer?.(id) ?? event({ jsonrpc: '2.0', id, result });
    this.#stream(post.session)?.write(text);
  }

  async #result(
    post: LegacyPost,
    method: string,
    params: Readonly<Record<string, unknown>>,
  ): Promise<unknown> {
    if (method === 'initialize') {
      const capabilities = { tools: { listChanged: true } };
      return { protocolVersion: '2024-11-05', capabilities, serverInfo: { name: 'old', version: '1' } };
    }
    if (method !== 'tools/call') return {};
    const args = (params['arguments'] ?? {}) as Record<string, unknown>;
    switch (params['name']) {
      case 'echo':
        return content(JSON.stringify(args));
      case 'whoami':
        return content(String(post.authorization));
      case 'progress':
        this.#progress(post, params);
        return content('done');
      case 'ask':
        return content(JSON.stringify(await this.#ask(post)));
      case 'slow':
        await new Promise<void>((resolve) => this.#released.push(resolve));
        return content('slept');
      default:
        return undefined;
    }
  }

  #progress(post: LegacyPost, params: Readonly<Record<string, unknown>>): void {
    const { progressToken } = params['_meta'] as { progressToken: unknown };
    for (const progress of [1, 2]) {
      const report = { method: 'notifications/progress', params: { progressToken, progress } };
      this.#stream(post.session)?.write(event({ jsonrpc: '2.0', ...report }));
    }
  }

  async #ask(post: LegacyPost): Promise<unknown> {
    const id = `ask-${randomUUID()}`;
    const reply = new Promise<JsonRpc>((resolve) => this.#asked.set(id, resolve));
    this.#stream(post.session)?.write(event({ jsonrpc: '2.0', id, method: 'roots/list' }));
    const { result, error } = await reply;
    return result ?? error;
  }

  #stream(session: string): ServerResponse | undefined {
    return this.openStreams.find((stream) => stream.session === session)?.response;
  }
}

function event(message: JsonRpc): string {
  return `event: message\ndata: ${JSON.stringify(message)}\n\n`;
}

function content(text: string): { content: readonly { type: 'text'; text: string }[] } {
  return { content: [{ type: 'text', text }] };
}
