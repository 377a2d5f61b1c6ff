import type { Message } from '../../shared/json-rpc/message.ts';
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
import type { StdioCall, StdioLink } from './stdio-link.ts';

export interface StdioSessionOptions {
  readonly backend: string;
  readonly link: StdioLink;
  readonly facts: BackendFacts;
  readonly events: BackendEvents;
  /** The child belongs to this session and ends with it. */
  readonly owned: boolean;
}

/** One session with a child. Its credentials are the child's environment, so those of the calls are not used. */
export class StdioSession implements BackendSession {
  readonly facts: BackendFacts;
  readonly hint = undefined;
  readonly fingerprint: string;
  readonly #link: StdioLink;
  readonly #owned: boolean;
  readonly #events: BackendEvents;
  readonly #calls = new Map<number, StdioCall>();
  readonly #over = new AbortController();

  constructor(options: StdioSessionOptions) {
    const { backend, link, events } = options;
    this.facts = options.facts;
    this.fingerprint = fingerprintOf(backend, undefined);
    this.#link = link;
    this.#owned = options.owned;
    this.#events = {
      message: (message) => events.message(message),
      lost: (fault) => {
        this.#over.abort();
        events.lost(fault);
      },
    };
    link.attach(this.#events);
  }

  call(call: BackendCall): Promise<Message> {
    if (this.#over.signal.aborted || call.signal?.aborted === true) return Promise.reject(this.#whyNot());
    const pending = this.#link.call(call, () => this.#calls.delete(call.id));
    if (!pending.over) this.#calls.set(call.id, pending);
    return pending.answer;
  }

  async notify(pieces: readonly Uint8Array[]): Promise<void> {
    if (this.#over.signal.aborted) throw this.#whyNot();
    this.#link.send(pieces);
  }

  respond(pieces: readonly Uint8Array[]): Promise<void> {
    return this.notify(pieces);
  }

  cancel(id: number, reason: string | undefined): void {
    const pending = this.#calls.get(id);
    if (pending === undefined) return;
    this.#link.cancel(pending, reason);
    pending.abandon();
  }

  /** There is nothing to open: what the child says is always heard. */
  listen(options: ListenOptions): Promise<'closed'> {
    return alwaysHeard(options, this.#over.signal);
  }

  async close(): Promise<void> {
    this.#over.abort();
    this.#link.detach(this.#events);
    for (const pending of this.#calls.values()) pending.abandon();
    if (this.#owned) await this.#link.end();
  }

  #whyNot(): BackendFault {
    return this.#link.isGone
      ? new BackendFault('session_lost', "The backend's process ended.", { executed: 'no' })
      : new BackendFault('aborted', 'The call was given up.', { executed: 'no' });
  }
}
