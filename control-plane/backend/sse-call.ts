import type { Credential } from '../credentials/strategy.ts';
import type { BackendCall, BackendFault } from './backend.ts';
import type { SlottedCall } from './call-slots.ts';
import type { Deadlines } from './deadlines.ts';
import type { Exchange, ExchangeSink, Outcome } from './exchange.ts';
import { type Refusal, unsendable } from './faults.ts';
import { PendingCall } from './pending-call.ts';

/** What a call needs of the session whose stream will bring its answer. */
export interface SseCallPort {
  readonly deadlines: Deadlines;
  /** POSTs it. Throws BackendFault. */
  post(call: SseCall): Exchange;
  /** What a refusal of its POST means. */
  faultOf(refusal: Refusal, credential: Credential): Promise<BackendFault>;
  /** The backend took it. */
  heard(call: SseCall): void;
  settled(call: SseCall, fault: BackendFault | undefined): void;
  timedOut(call: SseCall): void;
}

/** One call over HTTP+SSE: a POST that the backend takes, and an answer that comes on the session's stream, before or after. */
export class SseCall extends PendingCall implements ExchangeSink, SlottedCall {
  readonly #port: SseCallPort;
  #exchange: Exchange | undefined;
  #sent = false;

  constructor(call: BackendCall, port: SseCallPort) {
    super(call, port.deadlines);
    this.#port = port;
  }

  override get sent(): boolean {
    return this.#sent || this.#exchange?.written === true;
  }

  begin(): void {
    try {
      this.#exchange = this.#port.post(this);
    } catch (error) {
      this.give(unsendable(error));
    }
  }

  override give(fault: BackendFault): void {
    super.give(fault);
    this.#exchange?.abort();
  }

  /** Nothing of a POST's body is a message. */
  message(): void {}

  ended(outcome: Outcome): void {
    this.#sent = this.sent;
    this.#exchange = undefined;
    if (this.over) return;
    if (outcome.kind === 'refused') void this.#refused(outcome.refusal);
    else if (outcome.kind === 'failed') this.settle(outcome.fault);
    else this.#port.heard(this);
  }

  protected override settled(fault: BackendFault | undefined): void {
    // An answer may overtake the status of its POST.
    this.#exchange?.drain();
    this.#port.settled(this, fault);
  }

  protected override timedOut(): void {
    this.#port.timedOut(this);
  }

  async #refused(refusal: Refusal): Promise<void> {
    this.settle(await this.#port.faultOf(refusal, this.call.credential));
  }
}
