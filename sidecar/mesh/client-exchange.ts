import { MeshError } from '../../shared/errors.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import type { AnswerSink, ExchangeHandle, ExchangeRequest } from './exchange.ts';
import { type LossVerdict, lossRule } from './loss-rule.ts';
import type { StreamExchange } from './stream-exchange.ts';

/** What an exchange needs of the client that made it. */
export interface ExchangeOwner {
  /** Takes it out of those that wait for a stream. */
  unwait(exchange: ClientExchange): void;
}

/**
 * One exchange as the edge sees it, across streams: it may be sent again after a
 * loss or under a new credential id, and its sink sees one answer all the same.
 */
export class ClientExchange implements ExchangeHandle {
  readonly request: ExchangeRequest;
  /** On the monotonic clock, in milliseconds; Infinity: none. */
  readonly deadlineAt: number;
  /** Where it is on the wire; undefined while it waits for a stream, and at its end. */
  attempt: StreamExchange | undefined = undefined;
  /** The client is gone; it is sent all the same. */
  detached = false;
  /** How often its credential was unknown to a replica. */
  unknown = 0;
  /** Whether it was sent before and comes again. */
  again = false;
  /** It goes to a stream that is being left, on purpose. */
  follows = false;
  /** When it gives up waiting for a stream, on the monotonic clock. */
  waitsUntil = 0;
  readonly #owner: ExchangeOwner;
  readonly #sink: AnswerSink;
  #done = false;
  #streaming = false;
  #lastEventId: string | undefined;

  constructor(
    request: ExchangeRequest,
    sink: AnswerSink,
    options: { owner: ExchangeOwner; deadlineAt: number },
  ) {
    this.request = request;
    this.#sink = sink;
    this.#owner = options.owner;
    this.deadlineAt = options.deadlineAt;
    this.#lastEventId = request.lastEventId;
  }

  /** Whether its sink has been told everything, or wants nothing any more. */
  get done(): boolean {
    return this.#done;
  }

  /** Where a stream is to go on: the last event id that reached the sink. */
  get lastEventId(): string | undefined {
    return this.#lastEventId;
  }

  cancel(reason: 'cancelled' | 'deadline' | 'shutdown'): void {
    if (this.#done) return;
    this.#done = true;
    this.#owner.unwait(this);
    this.attempt?.cancel(reason);
  }

  detach(): void {
    if (this.#done) return;
    this.#done = this.detached = true;
    this.attempt?.detach();
  }

  resume(): void {
    this.attempt?.resume();
  }

  json(pieces: readonly Uint8Array[], sessionId: string | undefined): void {
    if (this.#done) return;
    this.#done = true;
    if (!this.#streaming) return this.#sink.json(pieces, sessionId);
    this.#sink.event(pieces, undefined, undefined);
    this.#sink.end();
  }

  accepted(): void {
    if (this.#done) return;
    this.#done = true;
    this.#sink.accepted();
  }

  stream(): void {
    if (this.#done || this.#streaming) return;
    this.#streaming = true;
    this.#sink.stream();
  }

  event(pieces: readonly Uint8Array[], eventId: string | undefined, retryMs: number | undefined): boolean {
    if (this.#done) return true;
    if (eventId !== undefined) this.#lastEventId = eventId;
    return this.#sink.event(pieces, eventId, retryMs);
  }

  end(): void {
    if (this.#done) return;
    this.#done = true;
    this.#sink.end();
  }

  fail(error: MeshError): void {
    if (this.#done) return;
    this.#done = true;
    this.#sink.fail(error);
  }

  /** Its stream is lost, or a GoAway refused it. */
  verdict(lost: { written: boolean; refused: boolean; replaySafeTools: ReadonlySet<string> }): LossVerdict {
    const { kind, scanned } = this.request;
    return lossRule({ ...lost, kind, message: scanned?.kind, method: scanned?.method, tool: this.#tool() });
  }

  /**
   * Whether this message belongs to the other's exchange: a cancellation by the request's
   * id; a reply, or progress, by its id or token, which begins with the stream's name.
   */
  belongsTo(other: ClientExchange): boolean {
    const { sessionId } = this.request;
    if (sessionId === undefined || sessionId !== other.request.sessionId) return false;
    const names = this.#names;
    if (names === undefined) return false;
    if (this.#cancels) return other.request.ids.includes(names);
    const stream = other.#lastEventId?.slice(0, other.#lastEventId.indexOf('.') + 1);
    return stream !== undefined && names.startsWith(`"${stream}`);
  }

  /** Whether it may belong to another exchange at all. */
  get mayFollow(): boolean {
    const { scanned } = this.request;
    return scanned?.kind === 'response' || scanned?.method === PROGRESS || this.#cancels;
  }

  get #cancels(): boolean {
    return this.request.scanned?.method === 'notifications/cancelled';
  }

  /** The raw id or token of what it is about. */
  get #names(): string | undefined {
    const { scanned, body } = this.request;
    const span = this.#cancels ? scanned?.requestId : (scanned?.id ?? scanned?.progressToken);
    return span === undefined || body === undefined ? undefined : slice(body, span).toString('utf8');
  }

  #tool(): string | undefined {
    const { scanned, body } = this.request;
    if (scanned?.method !== 'tools/call' || scanned.name === undefined || body === undefined)
      return undefined;
    try {
      const name: unknown = JSON.parse(slice(body, scanned.name).toString('utf8'));
      return typeof name === 'string' ? name : undefined;
    } catch {
      return undefined;
    }
  }
}

const PROGRESS = 'notifications/progress';

/** What is said of an exchange that the loss rule does not send again. */
export function outcomeUnknown(): MeshError {
  return new MeshError(
    'outcome_unknown',
    'The connection to the control plane was lost while this request ran; whether it took effect is not known.',
  );
}
