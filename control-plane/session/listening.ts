import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import { startsWithPriming } from '../../shared/protocol-versions.ts';
import { BackendFault, type BackendSession } from '../backend/backend.ts';
import type { Caller } from '../identity/caller.ts';
import type { Exchange } from '../rpc/exchange.ts';
import { connect } from './backend-call.ts';
import type { BackendLink } from './backend-link.ts';
import { ClientStream } from './client-stream.ts';
import { type EventId, parseEventId } from './event-log.ts';
import type { LiveSession } from './live-session.ts';
import { notKept, owedRequests, replay } from './stream-replay.ts';

export interface ListeningOptions {
  readonly clock: Clock;
  /** How long a listening stream outlives its token, in milliseconds. */
  readonly tokenGraceMs: number;
  /** A client begins to listen. */
  readonly onListen: (session: LiveSession) => void;
  /** Events of this backend may have been missed until now. */
  readonly onGap: (session: LiveSession, link: BackendLink) => void;
  /** The answer to a request whose call was lost with its replica. */
  readonly lostAnswer: (rawId: string) => readonly Uint8Array[];
  /** The client was told so of the calls of this stream. */
  readonly onLost: (session: LiveSession, stream: string) => void;
}

/** The wait before a backend that is gone is tried again, doubled after each failure. */
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
/** Timers of the platform run at once beyond this. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What listens for a client, as long as its GET is open and its credential lives. */
interface Listener {
  readonly stream: ClientStream;
  readonly caller: Caller;
  readonly end: AbortController;
  /** By backend: those that are joined, or being joined again and again. */
  readonly joined: Map<string, BackendLink>;
  /** Those whose pushes come in now. */
  readonly heard: Set<BackendLink>;
}

/**
 * The clients' GET streams. Under an open GET, and under its credential, the
 * backends' own listening streams are open, and backends that are gone are tried
 * again; without one there is none, so nothing is done in the name of somebody who
 * is not there.
 */
export class Listening {
  readonly #options: ListeningOptions;
  readonly #listeners = new Map<LiveSession, Listener>();
  /** The latest listening stream of a session; its reader may be gone, and may come back. */
  readonly #latest = new WeakMap<LiveSession, ClientStream>();

  constructor(options: ListeningOptions) {
    this.#options = options;
  }

  /** The stream on which a session's client listens now, and the caller in whose name. */
  reader(session: LiveSession): { readonly stream: ClientStream; readonly caller: Caller } | undefined {
    return this.#listeners.get(session);
  }

  /** Whether a backend's pushes are heard, so that its lists are known to be current. */
  hears(session: LiveSession, backend: string): boolean {
    const listener = this.#listeners.get(session);
    const link = listener?.joined.get(backend);
    return link !== undefined && listener?.heard.has(link) === true;
  }

  /** A GET: a new listening stream, which takes over from an older one; or with Last-Event-ID the rest of a stream. */
  async open(session: LiveSession, exchange: Exchange): Promise<void> {
    // Whoever left while the session was restored would be listened for, with nobody to say when that ends.
    if (exchange.reply.closed) return;
    if (exchange.lastEventId === '') {
      this.#begin(session, exchange);
      return;
    }
    const event = parseEventId(exchange.lastEventId);
    if (event === undefined || event.epoch > session.epoch) {
      throw new MeshError('invalid_request', 'Last-Event-ID is not an id of this server.');
    }
    const live = session.streams.get(event.stream);
    if (live === undefined) await this.#replay(session, exchange, event);
    else if (live.listening) await this.#resume(session, exchange, { live, seq: event.seq });
    else {
      watch(exchange, live);
      await live.attach(exchange.reply, event.seq);
    }
  }

  /** A backend session has just been opened: a client that listens hears it too. */
  opened(session: LiveSession, link: BackendLink): void {
    const listener = this.#listeners.get(session);
    if (listener !== undefined) this.#join(session, listener, link);
  }

  /** A backend left the session: what is still heard of it ends with its last call. */
  left(session: LiveSession, link: BackendLink): void {
    const joined = this.#listeners.get(session)?.joined;
    if (joined?.get(link.name) === link) joined.delete(link.name);
  }

  /** The session left this replica. */
  forget(session: LiveSession): void {
    this.#listeners.get(session)?.end.abort();
  }

  #begin(session: LiveSession, exchange: Exchange): void {
    const older = this.#latest.get(session);
    const stream = new ClientStream(exchange.reply, {
      id: session.nextStreamId('g'),
      epoch: session.epoch,
      log: session.events,
      owes: 0,
      requestIds: [],
      priming: startsWithPriming(session.body.protocolVersion),
      onDone: (done) => {
        session.streams.delete(done.id);
        const listener = this.#listeners.get(session);
        if (listener?.stream === done) listener.end.abort();
      },
    });
    session.streams.set(stream.id, stream);
    this.#latest.set(session, stream);
    this.#listen(session, exchange, stream);
    stream.start();
    older?.close();
  }

  /** The same stream goes on, under the credential of the request that resumes it. */
  async #resume(
    session: LiveSession,
    exchange: Exchange,
    { live, seq }: { live: ClientStream; seq: number },
  ): Promise<void> {
    this.#listen(session, exchange, live);
    await live.attach(exchange.reply, seq);
  }

  /** From now on this exchange is the one that listens. */
  #listen(session: LiveSession, exchange: Exchange, stream: ClientStream): void {
    const previous = this.#listeners.get(session);
    const end = new AbortController();
    const listener: Listener = { stream, caller: exchange.caller, end, joined: new Map(), heard: new Set() };
    this.#listeners.set(session, listener);
    previous?.end.abort();
    exchange.onDeparture = () => {
      stream.detach();
      end.abort();
    };
    exchange.onDrain = () => stream.drained();
    exchange.onRevoked = () => stream.close();
    this.#endWith(session, listener);
    for (const link of session.links.values()) this.#join(session, listener, link);
    this.#options.onListen(session);
  }

  /** The listening ends with its client, with a newer listener, or a while after its token: the client comes back with a fresh one. */
  #endWith(session: LiveSession, listener: Listener): void {
    const { clock, tokenGraceMs } = this.#options;
    const { caller, end, stream } = listener;
    const left =
      caller.kind === 'identified' ? caller.expiresAt + tokenGraceMs - clock.now() : LONGEST_TIMER_MS;
    const cancel = clock.after(Math.min(left, LONGEST_TIMER_MS), () => stream.close());
    end.signal.addEventListener('abort', () => {
      cancel();
      if (this.#listeners.get(session) === listener) this.#listeners.delete(session);
    });
  }

  #join(session: LiveSession, listener: Listener, link: BackendLink): void {
    if (listener.joined.has(link.name)) return;
    listener.joined.set(link.name, link);
    void this.#keepJoined(session, listener, link).finally(() => {
      if (listener.joined.get(link.name) === link) listener.joined.delete(link.name);
    });
  }

  /** Hears a backend until the listener ends. One that is gone is opened again, less and less often while that fails. Never rejects. */
  async #keepJoined(session: LiveSession, listener: Listener, link: BackendLink): Promise<void> {
    const { signal } = listener.end;
    const { clock } = this.#options;
    const isJoined = () => !signal.aborted && listener.joined.get(link.name) === link;
    for (let wait = 0; isJoined() && session.state === 'live'; ) {
      await this.#pause(wait * (0.5 + Math.random() / 2), signal);
      let backend: BackendSession | undefined;
      let since = Number.POSITIVE_INFINITY;
      const { strategy } = link;
      try {
        backend = await connect(session, link, listener.caller);
        since = clock.now();
        if (signal.aborted || (await this.#hear(session, listener, { link, backend })) === 'unsupported')
          return;
      } catch (thrown) {
        const fault = thrown instanceof BackendFault ? thrown : undefined;
        if (backend !== undefined && fault?.kind === 'session_lost') link.lost(backend, fault);
        const refused = fault?.kind === 'unauthorized' || fault?.kind === 'forbidden' || isRefusal(thrown);
        // No later attempt in this caller's name fares better, unless configuration has another way by now.
        if (refused && link.strategy === strategy) return;
      } finally {
        listener.heard.delete(link);
      }
      // What was heard for a while is heard again at once: its session was made afresh.
      wait =
        clock.now() - since > FIRST_RETRY_MS
          ? 0
          : Math.min(Math.max(2 * wait, FIRST_RETRY_MS), LONGEST_RETRY_MS);
    }
  }

  /** Rests for hours in every session that listens, for each of its backends: as few frames as can be. */
  #hear(
    session: LiveSession,
    { caller, end: { signal }, heard }: Listener,
    { link, backend }: { link: BackendLink; backend: BackendSession },
  ): Promise<'closed' | 'unsupported'> {
    const onGap = () => this.#options.onGap(session, link);
    const onState = (open: boolean) => {
      if (!open) heard.delete(link);
      else {
        heard.add(link);
        // What changed before was heard by nobody.
        onGap();
      }
    };
    return link.under(caller, signal, (credential) =>
      this.#while(signal, link.expiryOf(credential), (lives) =>
        backend.listen({ credential, signal: lives, onGap, onState }),
      ),
    );
  }

  /** A stream outlives its credential by the same while as a client's outlives its token; after that it is opened under another. */
  #while<Result>(
    signal: AbortSignal,
    expiresAt: number,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    if (expiresAt === Number.POSITIVE_INFINITY) return work(signal);
    const { clock, tokenGraceMs } = this.#options;
    const end = new AbortController();
    const left = Math.max(expiresAt + tokenGraceMs - clock.now(), 0);
    const cancel = clock.after(Math.min(left, LONGEST_TIMER_MS), () => end.abort());
    return work(AbortSignal.any([signal, end.signal])).finally(cancel);
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (ms === 0 || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const over = () => {
        cancel();
        signal.removeEventListener('abort', over);
        resolve();
      };
      const cancel = this.#options.clock.after(ms, over);
      signal.addEventListener('abort', over);
    });
  }

  /** A stream that is not in this replica's memory: what the log has of it, and an honest end for what was lost with its replica. */
  async #replay(
    session: LiveSession,
    exchange: Exchange,
    { stream: id, epoch, seq: after }: EventId,
  ): Promise<void> {
    const events = await session.events.read(id);
    const { reply } = exchange;
    if (reply.closed) return;
    if (id.startsWith('g')) {
      // What follows comes on a new stream, whose ids the client takes over.
      this.#begin(session, exchange);
      if (events.length === 0) reply.event([notKept()]);
      else replay(reply, { id, epoch, after, events });
      return;
    }
    if (events.length === 0) throw new MeshError('invalid_request', 'This stream is not kept any more.');
    reply.stream();
    replay(reply, { id, epoch, after, events });
    const owed = owedRequests(events);
    for (const each of owed) reply.event(this.#options.lostAnswer(each));
    reply.end();
    if (owed.length > 0) this.#options.onLost(session, id);
  }
}

/** The caller cannot have a credential for the backend. */
function isRefusal(thrown: unknown): boolean {
  return (
    thrown instanceof MeshError &&
    (thrown.reason === 'backend_unauthorized' || thrown.reason === 'audience_not_allowed')
  );
}

function watch(exchange: Exchange, stream: ClientStream): void {
  exchange.onDeparture = () => stream.detach();
  exchange.onDrain = () => stream.drained();
}
