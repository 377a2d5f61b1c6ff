import { MeshError } from '../../shared/errors.ts';
import { meshErrorResponse } from '../../shared/json-rpc/envelope.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import { scanBatch, scanMessage } from '../../shared/json-rpc/scan.ts';
import type { Load, ShedWork } from '../../shared/overload/monitor.ts';
import { allowsBatches, isSupportedVersion, startsWithPriming } from '../../shared/protocol-versions.ts';
import { traceHeaders } from '../../shared/telemetry/message-spans.ts';
import type { Exchange, ExchangeHandler } from '../rpc/exchange.ts';
import type { ClientNotifications } from './client-notifications.ts';
import type { ClientRequests } from './client-requests.ts';
import { ClientStream } from './client-stream.ts';
import type { Initializer } from './initializer.ts';
import type { Listening } from './listening.ts';
import type { LiveSession } from './live-session.ts';
import type { ServerRequests } from './server-requests.ts';
import type { SessionManager } from './session-manager.ts';
import type { SessionObserver } from './session-observer.ts';
import type { SlowStreams } from './slow-streams.ts';

export interface DispatcherOptions {
  readonly manager: SessionManager;
  readonly initializer: Initializer;
  readonly requests: ClientRequests;
  readonly notifications: ClientNotifications;
  readonly serverRequests: ServerRequests;
  readonly listening: Listening;
  readonly slow: SlowStreams;
  readonly load: Load;
  readonly observer: SessionObserver;
  /** Takes it up, as `take` does, under the eyes of whoever looks. */
  readonly watch: (exchange: Exchange, take: ExchangeHandler) => void;
  /** A fault of our own, for the log. */
  readonly onFault: (error: MeshError, requestId: string) => void;
}

/** Takes the exchanges of all sidecars to what answers them. The caller is verified; the session is not yet known. */
export class Dispatcher {
  readonly #options: DispatcherOptions;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  readonly handle: ExchangeHandler = (exchange) => {
    this.#options.watch(exchange, this.#take);
  };

  readonly #take: ExchangeHandler = (exchange) => {
    this.#dispatch(exchange).catch((thrown: unknown) => {
      const error = MeshError.from(thrown);
      if (error.reason === 'internal') this.#options.onFault(error, exchange.requestId);
      exchange.reply.fail(error);
    });
  };

  #dispatch(exchange: Exchange): Promise<void> {
    switch (exchange.kind) {
      case 'message':
        return this.#message(exchange);
      case 'listen':
        return this.#listen(exchange);
      case 'terminate':
        return this.#terminate(exchange);
    }
  }

  async #message(exchange: Exchange): Promise<void> {
    const spans = scanBatch(exchange.body);
    if (spans !== undefined) {
      const bodies = spans.map((span) => slice(exchange.body, span));
      return this.#batch(exchange, bodies.map(toMessage));
    }
    const message = toMessage(exchange.body);
    if (message.scanned.kind === 'request') this.#makeSureOfRoom('request');
    if (message.scanned.method === 'initialize' && exchange.sessionId === '') {
      return this.#options.initializer.run(exchange, message);
    }
    const found = this.#holder(exchange, message) ?? this.#session(exchange);
    // Nearly always it is here: then nobody waits.
    const session = found instanceof Promise ? await found : found;
    if (message.scanned.kind === 'request') this.#run(session, exchange, [message]);
    else {
      this.#tell(session, exchange, message);
      exchange.reply.accepted();
    }
    this.#options.serverRequests.arrived(session);
  }

  /**
   * Where a reply, progress or a cancellation belongs to what runs here, it is taken here, whoever has
   * the session by now. Of a session that another replica has taken over, late ones are too: they take nothing back.
   */
  #holder({ caller, sessionId }: Exchange, message: Message): LiveSession | undefined {
    const { manager, serverRequests } = this.#options;
    const { kind, requestId } = message.scanned;
    if (kind === 'request') return undefined;
    const isIts = (session: LiveSession) =>
      requestId === undefined
        ? serverRequests.concerns(session, message)
        : session.calls.has(slice(message.bytes, requestId).toString('utf8'));
    const { live, finishing } = manager.holding(caller, sessionId);
    return (
      [live, finishing].find((session) => session !== undefined && isIts(session)) ??
      (live ? undefined : finishing)
    );
  }

  async #batch(exchange: Exchange, messages: readonly Message[]): Promise<void> {
    const session = await this.#session(exchange);
    if (!allowsBatches(session.body.protocolVersion)) {
      throw new MeshError(
        'invalid_request',
        'Arrays of messages are not part of the negotiated protocol version.',
      );
    }
    const requests = messages.filter(({ scanned }) => scanned.kind === 'request');
    if (requests.length > 0) this.#makeSureOfRoom('request');
    for (const message of messages)
      if (message.scanned.kind !== 'request') this.#tell(session, exchange, message);
    if (requests.length > 0) this.#run(session, exchange, requests);
    else exchange.reply.accepted();
    this.#options.serverRequests.arrived(session);
  }

  #tell(session: LiveSession, exchange: Exchange, message: Message): void {
    if (message.scanned.kind === 'response')
      this.#options.serverRequests.deliver(session, exchange.caller, message);
    else this.#options.notifications.take(session, exchange.caller, message);
  }

  /** Requests of one exchange share its stream; each is answered on it once. */
  #run(session: LiveSession, exchange: Exchange, messages: readonly Message[]): void {
    // Gone while the session was found: nothing has run, and nobody is there to be told.
    if (exchange.reply.closed) return;
    const ids = messages.map(rawId);
    const repeated = ids.length > 1 && new Set(ids).size < ids.length;
    if (repeated || ids.some((id) => session.calls.has(id))) {
      throw new MeshError(
        'invalid_request',
        'A request with this id is already in progress in this session.',
      );
    }
    if (messages.some(({ scanned }) => scanned.method === 'initialize')) {
      throw new MeshError('invalid_request', 'This session is already initialized.');
    }
    const stream = this.#stream(session, exchange, ids);
    const trace = traceOf(exchange);
    for (const message of messages)
      this.#options.requests.run({ session, caller: exchange.caller, message, stream, trace, exchange });
    if (stream.waiting) {
      if (messages.length > 1) stream.start();
      else this.#options.slow.add(stream);
    }
  }

  #stream(session: LiveSession, exchange: Exchange, ids: readonly string[]): ClientStream {
    const stream = new ClientStream(exchange.reply, {
      id: session.nextStreamId('c'),
      epoch: session.epoch,
      log: session.events,
      owes: ids.length,
      requestIds: ids,
      priming: startsWithPriming(session.body.protocolVersion),
      onDone: (done) => {
        session.streams.delete(done.id);
        this.#options.slow.forget(done);
      },
    });
    session.streams.set(stream.id, stream);
    exchange.onDrain = () => stream.drained();
    exchange.onDeparture = (why) => {
      // A lost connection is no cancel: the call goes on and its answer can be fetched.
      if (why === 'detached' || why === 'lost') stream.detach();
      else {
        const calls = ids.map((id) => session.calls.get(id));
        for (const call of calls) if (call?.stream === stream) call.cancel(why);
      }
    };
    return stream;
  }

  /** Replies, notifications, what is resumed and what ends belong to what is under way. */
  #makeSureOfRoom(work: ShedWork): void {
    if (this.#options.load.shedding) throw this.#options.load.refuse(work);
  }

  async #listen(exchange: Exchange): Promise<void> {
    if (exchange.lastEventId === '') this.#makeSureOfRoom('stream');
    const session = await this.#session(exchange);
    await this.#options.listening.open(session, exchange);
    this.#options.serverRequests.arrived(session);
  }

  async #terminate(exchange: Exchange): Promise<void> {
    requireSession(exchange);
    await this.#options.manager.terminate(exchange.caller, exchange.sessionId);
    exchange.reply.accepted();
  }

  #session(exchange: Exchange): LiveSession | Promise<LiveSession> {
    requireSession(exchange);
    if (exchange.protocolVersion !== '' && !isSupportedVersion(exchange.protocolVersion)) {
      throw new MeshError('unsupported_protocol_version', 'Unsupported MCP-Protocol-Version.');
    }
    const acquired = this.#options.manager.acquire(exchange.caller, exchange.sessionId);
    return acquired instanceof Promise
      ? acquired.then((session) => this.#found(exchange, session))
      : this.#found(exchange, acquired);
  }

  #found(exchange: Exchange, session: LiveSession): LiveSession {
    exchange.watcher?.found(session);
    const { protocolVersion } = exchange;
    if (protocolVersion !== '' && protocolVersion !== session.body.protocolVersion) {
      this.#options.observer.otherVersion();
    }
    return session;
  }
}

function requireSession(exchange: Exchange): void {
  if (exchange.sessionId === '')
    throw new MeshError('session_id_missing', 'The Mcp-Session-Id header is required.');
}

function toMessage(bytes: Buffer): Message {
  return { bytes, scanned: scanMessage(bytes) };
}

/** What a backend is told of whose request it gets: by which id it is known, and W3C Trace Context §3. */
function traceOf({
  traceparent,
  tracestate,
  requestId,
  watcher,
}: Exchange): Readonly<Record<string, string>> {
  if (watcher?.trace !== undefined) return { 'x-request-id': requestId, ...traceHeaders(watcher.trace) };
  if (traceparent === '') return { 'x-request-id': requestId };
  return { 'x-request-id': requestId, ...traceHeaders({ traceparent, tracestate }) };
}

function rawId({ bytes, scanned }: Message): string {
  return scanned.id === undefined ? '' : slice(bytes, scanned.id).toString('utf8');
}

/** The answer to a call that was lost with the replica it ran on. */
export function lostAnswer(rawRequestId: string): readonly Uint8Array[] {
  const error = new MeshError(
    'outcome_unknown',
    'The call was lost with the replica it ran on; whether it ran is unknown.',
  );
  return meshErrorResponse(Buffer.from(rawRequestId), error);
}
