import type { IncomingHttpHeaders } from 'node:http';
import type { Message } from '../../shared/json-rpc/message.ts';
import { type BackendCall, BackendFault } from './backend.ts';
import type { Deadlines } from './deadlines.ts';
import type { Exchange, ExchangeSink, Outcome } from './exchange.ts';
import type { Refusal } from './faults.ts';
import { readNumber, scan } from './messages.ts';
import { PendingCall } from './pending-call.ts';

/** What a call needs of the backend session it belongs to. */
export interface CallPort {
  readonly deadlines: Deadlines;
  /** Opens the stream that goes on after an event, for this call. Throws BackendFault. */
  resume(call: HttpCall, lastEventId: string): Exchange;
  /** What a refusal of this call's request means, after the confirmation that a 400 needs. */
  faultOf(refusal: Refusal, call: BackendCall): Promise<BackendFault>;
  /** The backend began to answer. */
  heard(call: HttpCall): void;
  /** The call is over. */
  settled(call: HttpCall, fault: BackendFault | undefined): void;
  /** The call is given up although the backend may still work on it. */
  timedOut(call: HttpCall): void;
  /** A response came that answers nothing. */
  dropped(): void;
}

/** Resumes that bring no event before the call is given up. */
const FRUITLESS_RESUMES = 5;
const FIRST_RESUME_MS = 100;
/** The wait when the backend closed without saying how long. */
const POLL_MS = 1_000;

/**
 * One call: a POST, and after it as many resumes of its stream as the backend's
 * way of answering asks for (SEP-1699), until the response with its id.
 */
export class HttpCall extends PendingCall implements ExchangeSink {
  readonly #port: CallPort;
  #exchange: Exchange | undefined;
  /** Some request of this call left us. */
  #sent = false;
  #lastEventId: string | undefined;
  #retryMs: number | undefined;
  #fruitless = 0;
  #pause: NodeJS.Timeout | undefined;
  #onHead: ((headers: IncomingHttpHeaders) => void) | undefined;

  constructor(call: BackendCall, port: CallPort, onHead?: (headers: IncomingHttpHeaders) => void) {
    super(call, port.deadlines);
    this.#port = port;
    this.#onHead = onHead;
  }

  override get sent(): boolean {
    return this.#sent || this.#exchange?.written === true;
  }

  /** The exchange that carries it now. */
  follow(exchange: Exchange): void {
    this.#exchange = exchange;
  }

  override give(fault: BackendFault): void {
    super.give(fault);
    this.#exchange?.abort();
  }

  opened(headers: IncomingHttpHeaders): void {
    this.#port.heard(this);
    this.#onHead?.(headers);
    this.#onHead = undefined;
  }

  message(message: Message): void {
    if (message.scanned.kind !== 'response') return this.passOn(message);
    if (this.over || !this.#isAnswer(message)) return this.#port.dropped();
    this.settle(message);
    this.#exchange?.drain();
  }

  eventId(id: string): void {
    this.#lastEventId = id === '' ? undefined : id;
    this.#fruitless = 0;
  }

  retry(ms: number): void {
    this.#retryMs = ms;
  }

  ended(outcome: Outcome): void {
    this.#sent = this.sent;
    this.#exchange = undefined;
    if (this.over) return;
    switch (outcome.kind) {
      case 'answered':
        if (outcome.as === 'events') return this.#continue();
        return this.settle(
          new BackendFault('protocol', 'The answer of the backend belongs to no request of ours.'),
        );
      case 'accepted':
        return this.settle(
          new BackendFault('protocol', 'The backend accepted a request without an answer.', {
            status: outcome.status,
          }),
        );
      case 'refused':
        // Once the backend gave a place to go on from, it began: no later refusal proves that it did not.
        if (this.#lastEventId === undefined) void this.#refused(outcome.refusal);
        else this.settle(interrupted());
        return;
      case 'failed':
        if (this.#lastEventId === undefined || outcome.fault.kind === 'protocol') this.settle(outcome.fault);
        else this.#continue(outcome.fault);
        return;
    }
  }

  protected override settled(fault: BackendFault | undefined): void {
    clearTimeout(this.#pause);
    this.#port.settled(this, fault);
  }

  protected override timedOut(): void {
    this.#port.timedOut(this);
  }

  async #refused(refusal: Refusal): Promise<void> {
    const fault = await this.#port.faultOf(refusal, this.call);
    const answer = fault.kind === 'protocol' ? this.#answerIn(refusal) : undefined;
    this.settle(answer ?? fault);
  }

  /** A refusal may be a JSON-RPC error under this call's id: then it is the backend's answer. */
  #answerIn(refusal: Refusal): Message | undefined {
    const message = scan(refusal.body);
    return message?.scanned.kind === 'response' && this.#isAnswer(message) ? message : undefined;
  }

  #isAnswer(message: Message): boolean {
    return readNumber(message, message.scanned.id) === this.call.id;
  }

  /** The stream ended without the answer: goes on where it stopped, when the backend gave a place to go on from. */
  #continue(cause?: BackendFault): void {
    if (this.#lastEventId === undefined || this.#fruitless >= FRUITLESS_RESUMES) {
      return this.settle(interrupted(cause));
    }
    const backoff = this.#fruitless === 0 ? 0 : FIRST_RESUME_MS * 2 ** this.#fruitless;
    const wait = Math.max(this.#retryMs ?? POLL_MS, backoff);
    this.#fruitless += 1;
    this.call.onPolling?.(wait);
    this.#pause = setTimeout(() => this.#resume(), wait);
  }

  #resume(): void {
    try {
      this.#exchange = this.#port.resume(this, this.#lastEventId ?? '');
    } catch (error) {
      this.settle(interrupted(error));
    }
  }
}

function interrupted(cause?: unknown): BackendFault {
  return new BackendFault('interrupted', 'The stream of the backend ended before the answer.', { cause });
}
