import { isEdgeReason, type MeshError } from '../../shared/errors.ts';
import type { ReplySink } from '../rpc/exchange.ts';
import { type EventLog, formatEventId, type LoggedEvent } from './event-log.ts';
import { type ReplayedEvent, readOpening, replay, writeOpening } from './stream-replay.ts';

/** How long a client waits before it resumes a stream, unless a backend asked for another time. */
const RETRY_MS = 1_000;
/** What may wait for a slow reader or for the store, beyond answers, which always stay. */
const BACKLOG_BYTES = 1024 * 1024;

type Pieces = readonly Uint8Array[];

export interface ClientStreamOptions {
  /** Names the stream in the session, on every replica. */
  readonly id: string;
  readonly epoch: number;
  readonly log: EventLog;
  /** Answers owed on this stream: one a request; none on a listening stream, which stays open. */
  readonly owes: number;
  /** The raw JSON-RPC ids of those requests, so that any replica can answer a resume when the calls are lost. */
  readonly requestIds: readonly string[];
  /** From MCP 2025-11-25 on a stream begins with an event without data, so that it can be resumed from its start. */
  readonly priming: boolean;
  /** The stream has nothing more to say and nobody waits for what it said. */
  readonly onDone: (stream: ClientStream) => void;
}

interface Entry {
  readonly seq: number;
  readonly pieces: Pieces;
  readonly bytes: number;
  readonly answer: boolean;
}

/**
 * What one exchange of a client hears, as one JSON answer or, when something
 * precedes the answer or it takes long, as a stream that can be resumed. A client
 * that is gone does not end it: events go on into the log until the answer is in.
 *
 * waiting → done                 a JSON answer
 * waiting → streaming → done     a stream
 */
export class ClientStream {
  readonly id: string;
  readonly #options: ClientStreamOptions;
  #phase: 'waiting' | 'streaming' | 'done' = 'waiting';
  #reply: ReplySink | undefined;
  /** Resumes, and waits for what the log has. */
  #joining: ReplySink | undefined;
  /** The reader holds an id from which it can resume. */
  #resumable = false;
  #owed: number;
  #seq = 0;
  /** Numbered, not yet in the log. */
  #unlogged: Entry[] = [];
  /** On their way into the log: there already, it may be, though that is not known yet. */
  #storing: readonly Entry[] = [];
  /** Numbered and handled by the log, not yet given to a reader. */
  #unsent: { entry: Entry; logged: boolean }[] = [];
  #waitingBytes = 0;
  #logging = false;
  #held = false;
  /** Messages that a reader too slow for them did not get. */
  dropped = 0;

  constructor(reply: ReplySink, options: ClientStreamOptions) {
    this.id = options.id;
    this.#options = options;
    this.#reply = reply;
    this.#owed = options.owes;
  }

  get waiting(): boolean {
    return this.#phase === 'waiting';
  }

  get done(): boolean {
    return this.#phase === 'done';
  }

  /** Nobody's answer: it stays open for whatever comes. */
  get listening(): boolean {
    return this.#options.owes === 0;
  }

  get attached(): boolean {
    return this.#reply !== undefined && !this.#reply.closed;
  }

  /** Begins to stream, if that is still open: something precedes the answer, or it takes its time. */
  start(retryMs = RETRY_MS): void {
    if (this.#phase !== 'waiting') return;
    this.#phase = 'streaming';
    this.#reply?.stream();
    if (this.#opens) this.#emit([writeOpening({ ids: this.#options.requestIds, retryMs })], false);
  }

  /** A message that is not an answer. Dropped when the reader is too far behind; false says so. */
  message(pieces: Pieces): boolean {
    if (this.#phase === 'done') return false;
    this.start();
    if (this.#waitingBytes > BACKLOG_BYTES) {
      this.dropped += 1;
      return false;
    }
    this.#emit(pieces, false);
    return true;
  }

  /** The answer to one of the requests of this exchange. */
  answer(pieces: Pieces): void {
    if (this.#phase === 'done') return;
    this.#owed -= 1;
    if (this.#phase === 'waiting' && this.#owed === 0) {
      this.#phase = 'done';
      this.#reply?.json(pieces);
      this.#options.onDone(this);
      return;
    }
    this.start();
    this.#emit(pieces, true);
  }

  /** The mesh's own refusal: as a status where nothing was sent yet and the reason has one, else as the answer. */
  refuse(error: MeshError, pieces: Pieces): void {
    if (this.#phase === 'waiting' && this.#owed === 1 && isEdgeReason(error.reason)) this.#fail(error);
    else this.answer(pieces);
  }

  /** Another replica has the session: the reader is told, and nothing is logged any more. */
  abandon(error: MeshError, pieces: Pieces): void {
    if (this.#phase === 'done') return;
    if (this.#phase === 'waiting') {
      this.#fail(error);
      return;
    }
    this.#reply?.event(pieces);
    this.#joining?.fail(error);
    this.#finish();
  }

  /** A request of this exchange gets no answer (it was cancelled). */
  forgo(): void {
    this.#owed -= 1;
    if (this.#owed > 0 || this.#phase === 'done') return;
    this.start();
    this.#settle();
  }

  /** The backend closed its own stream and asked to be resumed: so does the mesh, where its reader can. The answer comes into the log. */
  poll(retryMs: number): void {
    this.start(retryMs);
    this.#afterLogged(() => {
      if (!this.#options.priming || !this.#resumable) return;
      this.#reply?.end(retryMs);
      this.#reply = undefined;
    });
  }

  /** The reader is gone. */
  detach(): void {
    this.#reply = undefined;
    this.#held = false;
    if (this.#phase === 'waiting' && this.#owed === 0) this.#options.onDone(this);
    this.#send();
    this.#settle();
  }

  /** The reader caught up. */
  drained(): void {
    this.#held = false;
    this.#send();
  }

  /** Ends it for good, whatever is owed. */
  close(): void {
    if (this.#phase === 'done') return;
    this.start();
    this.#finish();
  }

  /** A reader resumes after `seq`: an older reader of this stream ends, and nothing is doubled or lost between log and live. */
  async attach(reply: ReplySink, seq: number): Promise<void> {
    this.start();
    this.#reply?.end();
    this.#reply = undefined;
    this.#joining?.end();
    // From here on nothing is let go: what is logged while the log is read may not be in what it gives.
    this.#joining = reply;
    let events: readonly LoggedEvent[];
    try {
      events = await this.#options.log.read(this.id);
    } catch (thrown) {
      if (this.#joining === reply) this.#join(undefined);
      throw thrown;
    }
    if (this.#joining !== reply) return;
    if (reply.closed) {
      this.#join(undefined);
      return;
    }
    reply.stream();
    const last = replay(reply, {
      id: this.id,
      epoch: this.#options.epoch,
      after: seq,
      events: this.#withUnlogged(events),
    });
    // A client that claims to have more than was ever said has what was said.
    const given = Math.min(last, this.#seq);
    this.#unsent = this.#unsent.filter(({ entry }) => entry.seq > given);
    this.#storing = this.#storing.filter(({ seq: stored }) => stored > given);
    this.#countWaiting();
    this.#resumable = true;
    this.#join(reply);
  }

  #join(reply: ReplySink | undefined): void {
    this.#joining = undefined;
    this.#held = false;
    this.#reply = reply;
    this.#send();
    this.#settle();
  }

  /** What the log gave, with what it refused to take in its place. */
  #withUnlogged(events: readonly LoggedEvent[]): readonly ReplayedEvent[] {
    const last = events.at(-1)?.seq ?? 0;
    const stored = new Set(events.map(({ seq }) => seq));
    const refused = this.#unsent.filter(
      ({ entry: { seq }, logged }) => !logged && seq < last && !stored.has(seq),
    );
    const unlogged = refused.map(({ entry }) => ({ ...toEvent(entry), unlogged: true as const }));
    return unlogged.length === 0 ? events : [...events, ...unlogged].sort((a, b) => a.seq - b.seq);
  }

  #fail(error: MeshError): void {
    this.#phase = 'done';
    this.#reply?.fail(error);
    this.#reply = undefined;
    this.#options.onDone(this);
  }

  #emit(pieces: Pieces, answer: boolean): void {
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#seq += 1;
    this.#waitingBytes += bytes;
    this.#unlogged.push({ seq: this.#seq, pieces, bytes, answer });
    if (!this.#logging) void this.#log();
  }

  /** Stores what has come since the last round in one write, then lets it go, in order. */
  async #log(): Promise<void> {
    this.#logging = true;
    while (this.#unlogged.length > 0) {
      const batch = this.#unlogged;
      this.#unlogged = [];
      this.#storing = batch;
      const logged = await this.#options.log.append(this.id, batch.map(toEvent));
      for (const entry of this.#storing) this.#unsent.push({ entry, logged });
      this.#storing = [];
      this.#send();
    }
    this.#logging = false;
    this.#settle();
  }

  #send(): void {
    if (this.#joining !== undefined) return;
    const reply = this.#reply;
    if (reply === undefined || reply.closed) {
      this.#keepUnlogged();
      return;
    }
    while (this.#unsent.length > 0 && !this.#held) {
      const next = this.#unsent.shift();
      if (next === undefined) break;
      this.#waitingBytes -= next.entry.bytes;
      this.#held = !this.#deliver(reply, next.entry, next.logged);
    }
    this.#settle();
  }

  #deliver(reply: ReplySink, entry: Entry, logged: boolean): boolean {
    const eventId = logged ? this.#eventId(entry.seq) : undefined;
    if (!this.#isOpening(entry)) {
      this.#resumable ||= logged;
      return reply.event(entry.pieces, eventId);
    }
    if (!this.#options.priming || eventId === undefined) return true;
    this.#resumable = true;
    return reply.event([], eventId, readOpening(Buffer.concat(entry.pieces)).retryMs);
  }

  /** Nobody reads: what the log has can be fetched from there, only the rest must wait here. */
  #keepUnlogged(): void {
    this.#unsent = this.#unsent.filter(({ entry, logged }) => !logged && !this.#isOpening(entry));
    this.#countWaiting();
  }

  #countWaiting(): void {
    const waiting = [...this.#unsent.map(({ entry }) => entry), ...this.#storing, ...this.#unlogged];
    this.#waitingBytes = waiting.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The log begins with what is owed on the stream, also where the client's version has no such event. */
  get #opens(): boolean {
    return this.#options.priming || this.#options.owes > 0;
  }

  #isOpening(entry: Entry): boolean {
    return this.#opens && entry.seq === 1;
  }

  #eventId(seq: number): string {
    return formatEventId({ stream: this.id, epoch: this.#options.epoch, seq });
  }

  #afterLogged(run: () => void): void {
    if (this.#logging) this.#whenIdle.push(run);
    else run();
  }

  #whenIdle: (() => void)[] = [];

  #settle(): void {
    if (this.#logging || this.#unlogged.length > 0 || this.#joining !== undefined) return;
    for (const run of this.#whenIdle.splice(0)) run();
    const answered = this.#options.owes > 0 && this.#owed <= 0;
    if (answered && this.#unsent.length === 0 && this.#phase === 'streaming') this.#finish();
  }

  #finish(): void {
    this.#phase = 'done';
    this.#reply?.end();
    this.#reply = undefined;
    this.#joining?.end();
    this.#joining = undefined;
    this.#options.onDone(this);
  }
}

function toEvent(entry: Entry): LoggedEvent {
  // The opening says what is owed: it outlives the caps as an answer does.
  const kept = entry.answer || entry.seq === 1;
  return { seq: entry.seq, data: Buffer.concat(entry.pieces), answer: kept };
}
