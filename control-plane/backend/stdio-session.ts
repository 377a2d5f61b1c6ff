import { ChurningMap } from '../../shared/churning.ts';
import { request, response } from '../../shared/json-rpc/envelope.ts';
import type { Message } from '../../shared/json-rpc/message.ts';
import { decodeString, scanMessage } from '../../shared/json-rpc/scan.ts';
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
import { join } from './messages.ts';
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
  readonly #calls = new ChurningMap<number, StdioCall>();
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
    const ends = call.method === 'resources/unsubscribe';
    if (this.#owned || (!ends && call.method !== 'resources/subscribe')) return this.#send(call);
    const uri = uriOf(call);
    return ends ? this.#unsubscribe(call, uri) : this.#subscribe(call, uri);
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
    for (const uri of this.#link.subscriptions.releaseAll(this)) this.#giveUp(uri);
    if (this.#owned) await this.#link.end();
  }

  #send(call: BackendCall): Promise<Message> {
    const pending = this.#link.call(call, () => this.#calls.delete(call.id));
    if (!pending.over) this.#calls.set(call.id, pending);
    return pending.answer;
  }

  /** Held before it is sent: whoever ends the same subscription meanwhile leaves it. */
  async #subscribe(call: BackendCall, uri: string): Promise<Message> {
    const { subscriptions } = this.#link;
    subscriptions.hold(uri, this);
    let held = false;
    try {
      const answer = await this.#send(call);
      held = answer.scanned.error === undefined;
      return answer;
    } finally {
      if (!held && !subscriptions.release(uri, this)) this.#giveUp(uri);
    }
  }

  /** The child hears of it from the last one who holds it. */
  async #unsubscribe(call: BackendCall, uri: string): Promise<Message> {
    if (!this.#link.subscriptions.release(uri, this)) return await this.#send(call);
    const bytes = Buffer.concat(response(Buffer.from(String(call.id)), EMPTY));
    return { bytes, scanned: scanMessage(bytes) };
  }

  /** Nobody holds it any more, and nobody waits for the child to say so. */
  #giveUp(uri: string): void {
    const params = [Buffer.from(JSON.stringify({ uri }))];
    const method = 'resources/unsubscribe';
    const pieces = request({ id: Buffer.from('0'), method, params });
    const limits = { timeoutMs: GIVE_UP_MS, maxTimeoutMs: GIVE_UP_MS };
    const pending = this.#link.call({ id: 0, pieces, method, credential: {}, onMessage() {}, ...limits });
    pending.answer.catch(() => {});
  }

  #whyNot(): BackendFault {
    return this.#link.isGone
      ? new BackendFault('session_lost', "The backend's process ended.", { executed: 'no' })
      : new BackendFault('aborted', 'The call was given up.', { executed: 'no' });
  }
}

const GIVE_UP_MS = 5_000;
const EMPTY = Buffer.from('{}');

function uriOf({ pieces }: BackendCall): string {
  const bytes = join(pieces);
  const { uri } = scanMessage(bytes, { ids: 'any' });
  return uri === undefined ? '' : decodeString(bytes, uri);
}
