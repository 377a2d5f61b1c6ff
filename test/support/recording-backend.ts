/**
 * A real MCP server over Streamable HTTP that writes down everything it sees.
 *
 *     await using backend = await RecordingBackend.start({ tools: [{ name: 'echo' }] });
 *     … let the mesh talk to backend.url …
 *     expect(backend.view.initialises).to.equal(1);
 *     expect(backend.view.executionsOf('echo')).to.equal(1);
 *     expect(backend.view.authorizations).to.deep.equal(['Bearer alice']);
 *     expect(backend.view.requests({ rpc: 'tools/call' })[0]!.sessionId).to.equal(…);
 *     expect(backend.view.sessions[0]!.usedBy).to.deep.equal(['Bearer alice']);
 *
 * `view` (see `RecordView`) holds every request with its headers, session id and
 * body, every tool execution, and for each session who initialised and used it.
 *
 * It is scripted while it runs:
 *
 *     backend.script({ answers: 'sse', refuse: { 'Bearer expired': 401 }, delays: { 'tools/call': 50 } });
 *     backend.next('tools/call', { status: 503 });      // once; also { reset }, { hang }, { runThenReset }
 *     const call = backend.hold('tools/call');          // the next one waits
 *     await call.arrived; call.release();
 *     backend.loseSessions();                           // 404, or 400 with script({ lostStatus: 400 })
 *     backend.push({ method: 'notifications/tools/list_changed' });   // on every open GET stream
 *     backend.cutStreams();                             // every open SSE connection drops
 *     await backend.restart();                          // same port, sessions and connections gone
 *     await backend.seen({ method: 'GET' });            // resolves with the first such request
 *
 * Its tools are named after how they behave (`ToolBehaviour`): echo, whoami,
 * count, slow, progress, ask, poll, fail, error, hang.
 *
 * As its own process, with the same questions and scripting as promises:
 *
 *     await using backend = await SpawnedRecordingBackend.start({ name: 'alpha' });
 *     expect((await backend.view()).initialises).to.equal(1);
 *
 * By hand: `npx tsx test/support/recording-backend.ts --port 0 --script '{"name":"alpha"}'`
 * prints `{"url":…,"control":…}`; `GET <control>/record` answers what it saw and
 * `POST <control>/do` takes `{"action":"loseSessions"}` and the like.
 */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Call } from './recording-backend/call.ts';
import { runControlled } from './recording-backend/control.ts';
import { answer, type Surroundings } from './recording-backend/methods.ts';
import {
  type BackendRecord,
  type Execution,
  type JsonRpc,
  type RecordedRequest,
  RecordView,
  type RequestFilter,
} from './recording-backend/record.ts';
import { defaultScript, type Reaction, type Script } from './recording-backend/script.ts';
import { Stream } from './recording-backend/streams.ts';
import { Tasks } from './recording-backend/tasks.ts';

export { SpawnedRecordingBackend } from './recording-backend/control.ts';
export type { RecordedSession } from './recording-backend/record.ts';
export type { Reaction, Script, ScriptedTool, ToolBehaviour } from './recording-backend/script.ts';
export type { BackendRecord, Execution, JsonRpc, RecordedRequest, RequestFilter };
export { RecordView };

/** A request kept waiting. */
export interface Held {
  /** Resolves with the request when it came. */
  readonly arrived: Promise<RecordedRequest>;
  /** Lets it be answered; also before it came. */
  release(): void;
}

interface Session {
  readonly id: string;
  readonly initializedBy: string | undefined;
  readonly usedBy: Set<string | undefined>;
  readonly counters: Map<string, number>;
}

export class RecordingBackend implements AsyncDisposable {
  /** Of calls that asked to run as one, where its capabilities have `tasks`. They outlive its sessions. */
  readonly tasks = new Tasks();
  readonly url: string;
  readonly port: number;
  readonly #script: Script;
  readonly #requests: RecordedRequest[] = [];
  readonly #executions: Execution[] = [];
  /** All ever given out; the live ones are in `#live`. */
  readonly #sessions: Session[] = [];
  readonly #live = new Map<string, Session>();
  readonly #streams = new Set<Stream>();
  readonly #listening = new Set<Stream>();
  readonly #calls = new Set<Call>();
  readonly #reactions = new Map<string, Reaction[]>();
  readonly #holds = new Map<
    string,
    { arrived: (request: RecordedRequest) => void; released: Promise<void> }[]
  >();
  readonly #asked = new Map<string, (response: JsonRpc) => void>();
  readonly #watchers = new Set<(request: RecordedRequest) => void>();
  #server: Server;
  #counters = new Map<string, number>();

  /** Listens on 127.0.0.1, on a free port unless one is given. */
  static async start(script: Partial<Script> = {}, port = 0): Promise<RecordingBackend> {
    const server = createServer();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return new RecordingBackend(server, { ...defaultScript(), ...script });
  }

  private constructor(server: Server, script: Script) {
    this.#script = script;
    this.port = (server.address() as AddressInfo).port;
    this.url = `http://127.0.0.1:${this.port}/mcp`;
    this.#server = server;
    server.on('request', this.#onRequest);
  }

  /** What it has seen until now. */
  get record(): BackendRecord {
    return {
      requests: [...this.#requests],
      executions: [...this.#executions],
      sessions: this.#sessions.map(({ id, initializedBy, usedBy }) => ({
        id,
        initializedBy,
        usedBy: [...usedBy],
      })),
      openStreams: [...this.#listening].filter((stream) => stream.open).length,
    };
  }

  get view(): RecordView {
    return new RecordView(this.record);
  }

  /** Changes what it is and does from now on. */
  script(change: Partial<Script>): void {
    Object.assign(this.#script, change);
  }

  /** What happens, once, to the next request of this JSON-RPC method, or HTTP method `GET` or `DELETE`. Several queue up. */
  next(method: string, reaction: Reaction): void {
    const queue = this.#reactions.get(method) ?? [];
    queue.push(reaction);
    this.#reactions.set(method, queue);
  }

  /** Keeps the next request of this JSON-RPC method, or HTTP method, waiting. */
  hold(method: string): Held {
    let release = () => {};
    let arrived!: (request: RecordedRequest) => void;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const promise = new Promise<RecordedRequest>((resolve) => {
      arrived = resolve;
    });
    const queue = this.#holds.get(method) ?? [];
    queue.push({ arrived, released });
    this.#holds.set(method, queue);
    return { arrived: promise, release };
  }

  /** Resolves with the first request that matches, past or future. */
  async seen(filter: RequestFilter): Promise<RecordedRequest> {
    const past = this.view.requests(filter)[0];
    if (past !== undefined) return past;
    return new Promise((resolve) => {
      const watch = (request: RecordedRequest) => {
        if (new RecordView({ ...this.record, requests: [request] }).requests(filter).length === 0) return;
        this.#watchers.delete(watch);
        resolve(request);
      };
      this.#watchers.add(watch);
    });
  }

  /** Forgets all sessions and their streams: a restart, as far as MCP goes. */
  loseSessions(): void {
    this.#live.clear();
    this.#counters = new Map();
    this.cutStreams();
    this.#streams.clear();
    this.#listening.clear();
  }

  /** Drops every SSE connection; what is sent later can be fetched by resuming. */
  cutStreams(): void {
    for (const stream of this.#streams) stream.cut();
  }

  /** Sends a notification or request on the open GET streams, of one session or all. */
  push(message: JsonRpc, sessionId?: string): void {
    for (const stream of this.#listening) {
      if (sessionId !== undefined && stream.sessionId !== sessionId) continue;
      stream.send(JSON.stringify({ jsonrpc: '2.0', ...message }));
    }
  }

  /** Resolves when so many GET streams are open. */
  async listeners(count: number): Promise<void> {
    while (this.record.openStreams !== count) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** Drops every connection and session, and listens on the same port again. */
  async restart(): Promise<void> {
    await this.stop();
    this.loseSessions();
    this.#server = createServer(this.#onRequest);
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  /** Stops listening and drops every connection; the record stays. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  readonly #onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    void this.#receive(request, response).catch(() => response.destroy());
  };

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const seen = await this.#write(request);
    const name = seen.rpc ?? seen.method;
    const hold = this.#holds.get(name)?.shift();
    hold?.arrived(seen);
    await hold?.released;
    const delay = this.#script.delays[name] ?? this.#script.delays['*'];
    if (delay !== undefined) await new Promise((resolve) => setTimeout(resolve, delay).unref());
    const reaction = this.#reactions.get(name)?.shift();
    if (reaction !== undefined && !('runThenReset' in reaction)) return react(response, reaction);
    const refused = this.#script.refuse[seen.authorization ?? ''];
    if (refused !== undefined) return refuse(response, refused);
    const lost = this.#script.sessions && seen.rpc !== 'initialize' && !this.#live.has(seen.sessionId ?? '');
    if (lost) return refuse(response, seen.sessionId === undefined ? 400 : this.#script.lostStatus);
    this.#live.get(seen.sessionId ?? '')?.usedBy.add(seen.authorization);
    if (seen.method === 'GET') return this.#listen(seen, response);
    if (seen.method === 'DELETE') return this.#delete(seen, response);
    await this.#post(seen, response, reaction !== undefined);
  }

  async #write(request: IncomingMessage): Promise<RecordedRequest> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const message = parse(body);
    const seen: RecordedRequest = {
      order: this.#requests.length,
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      authorization: request.headers.authorization,
      sessionId: request.headers['mcp-session-id'] as string | undefined,
      body,
      message,
      rpc: message === undefined ? undefined : (message.method ?? 'response'),
    };
    this.#requests.push(seen);
    for (const watch of this.#watchers) watch(seen);
    return seen;
  }

  #listen(seen: RecordedRequest, response: ServerResponse): void {
    if (this.#script.get !== 'stream') {
      refuse(response, this.#script.get);
      return;
    }
    const lastEventId = seen.headers['last-event-id'] as string | undefined;
    if (lastEventId !== undefined) {
      const resumed = [...this.#streams].find((stream) => lastEventId.startsWith(`${stream.id}-`));
      if (resumed?.sessionId === seen.sessionId) resumed?.attach(response, lastEventId);
      else refuse(response, 400);
      return;
    }
    const stream = this.#openStream(seen.sessionId);
    this.#listening.add(stream);
    stream.attach(response);
  }

  #delete(seen: RecordedRequest, response: ServerResponse): void {
    this.#live.delete(seen.sessionId ?? '');
    for (const stream of this.#streams) if (stream.sessionId === seen.sessionId) stream.finish();
    response.writeHead(204).end();
  }

  async #post(seen: RecordedRequest, response: ServerResponse, runThenReset: boolean): Promise<void> {
    const { message } = seen;
    if (message === undefined) return refuse(response, 400);
    if (message.method === undefined || message.id === undefined) {
      this.#take(message, seen);
      response.writeHead(202).end();
      return;
    }
    if (message.method === 'initialize') return this.#initialize(seen, response);
    const { sessionId, authorization } = seen;
    const call = new Call({
      message,
      sessionId,
      authorization,
      response,
      openStream: () => this.#openStream(sessionId),
    });
    if (this.#script.answers === 'sse') void call.stream;
    this.#calls.add(call);
    const around: Surroundings = {
      script: this.#script,
      counters: this.#live.get(sessionId ?? '')?.counters ?? this.#counters,
      tasks: this.tasks,
      executed: (tool, args) => {
        this.#executions.push({ tool, arguments: args, authorization, sessionId });
        if (runThenReset) call.reset();
      },
      ask: (to, request) => this.#ask(to, request),
    };
    await answer(call, around);
  }

  #initialize(seen: RecordedRequest, response: ServerResponse): void {
    const { name, protocolVersion, capabilities, instructions, sessions } = this.#script;
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (sessions) {
      const { authorization } = seen;
      const session: Session = {
        id: randomUUID(),
        initializedBy: authorization,
        usedBy: new Set([authorization]),
        counters: new Map(),
      };
      this.#sessions.push(session);
      this.#live.set(session.id, session);
      headers['mcp-session-id'] = session.id;
    }
    const result = { protocolVersion, capabilities, serverInfo: { name, version: '1' }, instructions };
    const text = JSON.stringify({ jsonrpc: '2.0', id: seen.message?.id, result });
    if (this.#script.answers === 'json') {
      response.writeHead(200, headers).end(text);
    } else {
      response
        .writeHead(200, { ...headers, 'content-type': 'text/event-stream' })
        .end(`event: message\ndata: ${text}\n\n`);
    }
  }

  /** A notification, or a response to something this backend asked. */
  #take(message: JsonRpc, seen: RecordedRequest): void {
    if (message.method === undefined) this.#asked.get(String(message.id))?.(message);
    if (message.method !== 'notifications/cancelled') return;
    for (const call of this.#calls) {
      if (call.message.id === message.params?.['requestId'] && call.sessionId === seen.sessionId) {
        call.cancelled = true;
        this.#calls.delete(call);
      }
    }
  }

  #ask(call: Call, request: JsonRpc): Promise<JsonRpc> {
    const id = `ask-${randomUUID()}`;
    call.say({ id, ...request });
    return new Promise((resolve) => this.#asked.set(id, resolve));
  }

  #openStream(sessionId: string | undefined): Stream {
    const stream = new Stream({
      id: `s${this.#streams.size}${randomUUID().slice(0, 6).replaceAll('-', '')}`,
      sessionId,
      ids: this.#script.eventIds,
    });
    this.#streams.add(stream);
    return stream;
  }
}

function parse(body: string): JsonRpc | undefined {
  try {
    return JSON.parse(body) as JsonRpc;
  } catch {
    return undefined;
  }
}

function react(response: ServerResponse, reaction: Exclude<Reaction, { runThenReset: true }>): void {
  if ('hang' in reaction) return;
  if ('reset' in reaction) {
    response.socket?.resetAndDestroy();
    return;
  }
  response.writeHead(reaction.status, reaction.headers);
  if (reaction.body !== undefined) response.write(reaction.body);
  else response.flushHeaders();
  if (reaction.cut === true) setImmediate(() => response.destroy());
  else if (reaction.open !== true) response.end();
}

function refuse(response: ServerResponse, status: number): void {
  const error = { code: status === 404 ? -32001 : -32000, message: `refused with ${status}` };
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', error, id: null }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runControlled((script, port) => RecordingBackend.start(script, port));
}
