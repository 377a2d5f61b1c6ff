import type { Message } from '../../shared/json-rpc/message.ts';
import type { Credential } from '../credentials/strategy.ts';
import { alwaysHeard } from './always-heard.ts';
import {
  type BackendCall,
  type BackendEvents,
  type BackendFacts,
  BackendFault,
  type BackendSession,
  type ListenOptions,
} from './backend.ts';
import { fingerprintOf } from './facts.ts';
import type { SseLink } from './sse-link.ts';

export interface SseSessionOptions {
  readonly backend: string;
  readonly link: SseLink;
  readonly facts: BackendFacts;
  readonly events: BackendEvents;
  /** How long its stream may stay open under the credential that it was opened with, in milliseconds. */
  readonly lifeMs: number;
}

/** One session over HTTP+SSE. It lives as long as its stream, and its stream no longer than the right to hold it. */
export class SseSession implements BackendSession {
  readonly facts: BackendFacts;
  readonly hint = undefined;
  readonly fingerprint: string;
  readonly #link: SseLink;
  readonly #events: BackendEvents;
  readonly #over = new AbortController();
  readonly #life: NodeJS.Timeout | undefined;
  #retired = false;

  constructor({ backend, link, facts, events, lifeMs }: SseSessionOptions) {
    this.facts = facts;
    this.fingerprint = fingerprintOf(backend, undefined);
    this.#link = link;
    this.#events = events;
    if (lifeMs <= LONGEST_TIMER_MS) this.#life = setTimeout(() => this.#retire(), lifeMs).unref();
  }

  call(call: BackendCall): Promise<Message> {
    if (call.signal?.aborted === true) return Promise.reject(givenUp());
    const refusal = this.#link.admit(call);
    return refusal === undefined ? this.#link.call(call).answer : Promise.reject(refusal);
  }

  notify(pieces: readonly Uint8Array[], credential: Credential): Promise<void> {
    return this.#link.deliver(pieces, credential);
  }

  respond(pieces: readonly Uint8Array[], credential: Credential): Promise<void> {
    return this.#link.deliver(pieces, credential);
  }

  cancel(id: number, reason: string | undefined, credential: Credential): void {
    this.#link.cancel(id, reason, credential);
  }

  listen(options: ListenOptions): Promise<'closed'> {
    return alwaysHeard(options, this.#over.signal);
  }

  /** There is nothing to delete: for the backend, too, the end of the stream is the end of the session. */
  async close(): Promise<void> {
    this.#leave();
    // A retired one is closed by whoever heard of that, and ends with the calls it still has.
    if (!this.#retired) this.#link.end();
  }

  /** The stream ended. */
  lost(fault: BackendFault): void {
    this.#leave();
    this.#events.lost(fault);
  }

  #retire(): void {
    const fault = new BackendFault('session_lost', 'The stream of the session was open for its time.', {
      executed: 'no',
    });
    this.#retired = true;
    this.#link.retire(fault);
    this.lost(fault);
  }

  #leave(): void {
    clearTimeout(this.#life);
    this.#over.abort();
  }
}

/** What fits a timer of Node; a session does not live that long. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

function givenUp(): BackendFault {
  return new BackendFault('aborted', 'The call was given up.', { executed: 'no' });
}
