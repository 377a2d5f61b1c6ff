import { MeshError } from '../../shared/errors.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Caller } from '../identity/caller.ts';
import type { Exchange } from '../rpc/exchange.ts';
import type { BackendLink } from './backend-link.ts';
import { ClientStream, owedRequests, replay } from './client-stream.ts';
import { parseEventId } from './event-log.ts';
import type { LiveSession } from './live-session.ts';
import { startsWithPriming } from './protocol.ts';

export interface ListeningOptions {
  readonly clock: Clock;
  /** How long a listening stream outlives its token, in milliseconds. */
  readonly tokenGraceMs: number;
  /** Events of this backend may have been missed, or its stream is open for the first time. */
  readonly onGap: (session: LiveSession, link: BackendLink) => void;
  /** The answer to a request whose call was lost with its replica. */
  readonly lostAnswer: (rawId: string) => readonly Uint8Array[];
}

/** What listens for a client, as long as its GET is open and its credential lives. */
interface Listener {
  readonly stream: ClientStream;
  readonly caller: Caller;
  readonly end: AbortController;
  /** Backends that push to this listener. */
  readonly heard: Set<string>;
}

/**
 * The clients' GET streams. Under an open GET, and under its credential, the
 * backends' own listening streams are open; without one there is none, so nothing
 * listens in the name of somebody who is not there.
 */
export class Listening {
  readonly #options: ListeningOptions;
  readonly #listeners = new Map<LiveSession, Listener>();

  constructor(options: ListeningOptions) {
    this.#options = options;
  }

  /** The stream on which a session's client listens now. */
  stream(session: LiveSession): ClientStream | undefined {
    return this.#listeners.get(session)?.stream;
  }

  /** The caller in whose name a session listens now. */
  caller(session: LiveSession): Caller | undefined {
    return this.#listeners.get(session)?.caller;
  }

  /** Whether a backend's pushes are heard, so that its lists are known to be current. */
  hears(session: LiveSession, backend: string): boolean {
    return this.#listeners.get(session)?.heard.has(backend) ?? false;
  }

  /** A GET: a new listening stream, which takes over from an older one; or with Last-Event-ID the rest of a stream. */
  async open(session: LiveSession, exchange: Exchange): Promise<void> {
    if (exchange.lastEventId === '') {
      this.#listen(session, exchange);
      return;
    }
    const event = parseEventId(exchange.lastEventId);
    if (event === undefined) throw new MeshError('invalid_request', 'Last-Event-ID is not an id of this server.');
    const live = session.streams.get(event.stream);
    if (live !== undefined) {
      watch(exchange, live);
      await live.attach(exchange.reply, event.seq);
      return;
    }
    await this.#replay(session, exchange, event);
  }

  /** A backend session has just been opened: a client that listens hears it too. */
  opened(session: LiveSession, link: BackendLink): void {
    const listener = this.#listeners.get(session);
    if (listener !== undefined) this.#hear(session, listener, link);
  }

  /** The session left this replica. */
  forget(session: LiveSession): void {
    this.#listeners.get(session)?.end.abort();
    this.#listeners.delete(session);
  }

  #listen(session: LiveSession, exchange: Exchange): void {
    const { caller } = exchange;
    const previous = this.#listeners.get(session);
    previous?.end.abort();
    const end = new AbortController();
    const stream = new ClientStream(exchange.reply, {
      id: session.nextStreamId('g'),
      epoch: session.epoch,
      log: session.events,
      owes: 0,
      requestIds: [],
      priming: startsWithPriming(session.body.protocolVersion),
      onDone: (done) => {
        session.streams.delete(done.id);
        end.abort();
      },
    });
    const listener: Listener = { stream, caller, end, heard: new Set() };
    this.#listeners.set(session, listener);
    session.streams.set(stream.id, stream);
    exchange.onDeparture = () => {
      stream.detach();
      end.abort();
    };
    exchange.onDrain = () => stream.drained();
    this.#endWith(session, listener);
    stream.start();
    previous?.stream.close();
    for (const link of session.links.values()) this.#hear(session, listener, link);
  }

  /** The listening ends with its client, with a newer listener, or a while after its token: the client comes back with a fresh one. */
  #endWith(session: LiveSession, listener: Listener): void {
    const { clock, tokenGraceMs } = this.#options;
    const { caller, end, stream } = listener;
    const cancel =
      caller.kind === 'identified'
        ? clock.after(caller.expiresAt + tokenGraceMs - clock.now(), () => stream.close())
        : () => {};
    end.signal.addEventListener('abort', () => {
      cancel();
      if (this.#listeners.get(session) === listener) this.#listeners.delete(session);
    });
  }

  #hear(session: LiveSession, listener: Listener, link: BackendLink): void {
    const backend = link.session;
    if (backend === undefined || listener.heard.has(link.name)) return;
    listener.heard.add(link.name);
    const { signal } = listener.end;
    void (async () => {
      const credential = await link.credential(listener.caller, signal);
      await backend.listen({
        credential,
        signal,
        onGap: () => this.#options.onGap(session, link),
        onState: () => {},
      });
    })()
      .catch(() => undefined)
      .finally(() => listener.heard.delete(link.name));
  }

  /** A stream that is not in this replica's memory: what the log has of it, and an honest end for what was lost with its replica. */
  async #replay(session: LiveSession, exchange: Exchange, after: { stream: string; epoch: number; seq: number }): Promise<void> {
    const events = await session.events.read(after.stream);
    if (events.length === 0) throw new MeshError('invalid_request', 'This stream is not kept any more.');
    const { reply } = exchange;
    if (after.stream.startsWith('g')) {
      this.#listen(session, exchange);
      replay(reply, { id: after.stream, epoch: after.epoch, after: after.seq, events });
      return;
    }
    reply.stream();
    replay(reply, { id: after.stream, epoch: after.epoch, after: after.seq, events });
    for (const id of owedRequests(events)) reply.event(this.#options.lostAnswer(id));
    reply.end();
  }
}

function watch(exchange: Exchange, stream: ClientStream): void {
  exchange.onDeparture = () => stream.detach();
  exchange.onDrain = () => stream.drained();
}
