import type { Message } from '../../shared/json-rpc/message.ts';
import type { CredentialHeaders } from '../credentials/strategy.ts';
import {
  type BackendCall,
  type BackendEvents,
  type BackendFacts,
  BackendFault,
  type BackendHint,
  type BackendSession,
  type ListenOptions,
  type SessionEnd,
} from './backend.ts';
import type { Deadlines } from './deadlines.ts';
import type { Exchange, ExchangeSink, Outcome } from './exchange.ts';
import { fingerprintOf } from './facts.ts';
import { faultOfStatus, type Refusal, unsendable } from './faults.ts';
import { type CallPort, HttpCall } from './http-call.ts';
import type { HttpLink } from './http-link.ts';
import { type ListenPlace, listen } from './http-listen.ts';
import { cancelled, join } from './messages.ts';
import { SessionCheck } from './session-check.ts';

export interface HttpSessionOptions {
  readonly link: HttpLink;
  readonly hint: BackendHint;
  readonly facts: BackendFacts;
  readonly events: BackendEvents;
  /** Taken up from a hint: what the backend sent before was heard by nobody here. */
  readonly resumed: boolean;
}

const DELIVER_MS = 10_000;
const DELETE_MS = 2_000;

/** One session of a Streamable HTTP backend. */
export class HttpSession implements BackendSession, CallPort {
  readonly deadlines: Deadlines;
  readonly facts: BackendFacts;
  readonly hint: BackendHint;
  readonly fingerprint: string;
  readonly #link: HttpLink;
  readonly #events: BackendEvents;
  readonly #post: readonly string[];
  readonly #get: readonly string[];
  readonly #calls = new Map<number, HttpCall>();
  readonly #listening = new AbortController();
  readonly #place: ListenPlace;
  readonly #check: SessionCheck;
  #closed = false;

  constructor(options: HttpSessionOptions) {
    const { link, hint } = options;
    this.deadlines = link.deadlines;
    this.facts = options.facts;
    this.hint = hint;
    this.fingerprint = fingerprintOf(link.backend, hint.sessionId);
    this.#link = link;
    this.#events = options.events;
    this.#post = link.postHeaders(hint);
    this.#get = link.getHeaders(hint);
    this.#check = new SessionCheck((body, credential, timeoutMs) => this.#send(body, credential, timeoutMs));
    this.#place = { lastEventId: undefined, missed: options.resumed };
  }

  call(call: BackendCall): Promise<Message> {
    if (this.#closed || call.signal?.aborted === true) return Promise.reject(closed());
    const refusal = this.#link.health.admit(call);
    if (refusal !== undefined) return Promise.reject(refusal);
    const running = new HttpCall(call, this);
    this.#calls.set(call.id, running);
    const { credential, headers } = call;
    try {
      const body = join(call.pieces);
      running.follow(this.#link.call({ base: this.#post, credential, more: headers, body, sink: running }));
    } catch (error) {
      running.give(unsendable(error));
    }
    return running.answer;
  }

  notify(pieces: readonly Uint8Array[], credential: CredentialHeaders): Promise<void> {
    return this.#deliver(pieces, credential);
  }

  respond(pieces: readonly Uint8Array[], credential: CredentialHeaders): Promise<void> {
    return this.#deliver(pieces, credential);
  }

  cancel(id: number, reason: string | undefined, credential: CredentialHeaders): void {
    const running = this.#calls.get(id);
    if (running === undefined) return;
    if (running.sent) this.#sendCancelled(id, reason, credential);
    running.abandon();
  }

  async listen(options: ListenOptions): Promise<'closed' | 'unsupported'> {
    const signal = AbortSignal.any([options.signal, this.#listening.signal]);
    const { credential } = options;
    return listen(
      {
        place: this.#place,
        open: (sink, lastEventId) => this.#openStream({ credential, lastEventId, sink, endless: true }),
        message: (message) => this.#events.message(message),
        dropped: () => this.dropped(),
        confirmLost: () => this.#check.isLost(credential),
      },
      { ...options, signal },
    );
  }

  async close(how: SessionEnd): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#listening.abort();
    if (how.terminate || how.finish !== true) for (const running of this.#calls.values()) running.abandon();
    if (!how.terminate || this.hint.sessionId === undefined) return;
    const { credential } = how;
    // A backend may refuse this (405) or be gone: either way nothing is left to do here.
    await this.#link.send({ method: 'DELETE', base: this.#get, credential, timeoutMs: DELETE_MS });
  }

  resume(call: HttpCall, lastEventId: string): Exchange {
    const { credential } = call.call;
    return this.#openStream({ credential, lastEventId, sink: call, endless: false });
  }

  async faultOf(refusal: Refusal, call: { readonly credential: CredentialHeaders }): Promise<BackendFault> {
    if (this.hint.sessionId === undefined) return faultOfStatus(refusal, false);
    return this.#check.faultOf(refusal, call.credential);
  }

  heard(running: HttpCall): void {
    this.#link.health.heard(running);
  }

  settled(running: HttpCall, fault: BackendFault | undefined): void {
    this.#calls.delete(running.call.id);
    this.#link.health.settled(running, fault);
  }

  timedOut(running: HttpCall): void {
    this.#sendCancelled(running.call.id, 'The request timed out.', running.call.credential);
  }

  dropped(): void {
    this.#link.health.dropped();
  }

  #openStream(options: {
    credential: CredentialHeaders;
    lastEventId: string | undefined;
    sink: ExchangeSink;
    endless: boolean;
  }): Exchange {
    const { lastEventId, ...rest } = options;
    const more = lastEventId === undefined ? undefined : { 'last-event-id': lastEventId };
    return this.#link.stream({ ...rest, base: this.#get, more });
  }

  async #deliver(pieces: readonly Uint8Array[], credential: CredentialHeaders): Promise<void> {
    if (this.#closed) throw closed();
    const outcome = await this.#send(join(pieces), credential, DELIVER_MS);
    if (outcome.kind === 'failed') throw outcome.fault;
    if (outcome.kind === 'refused') throw await this.faultOf(outcome.refusal, { credential });
  }

  #send(body: Buffer, credential: CredentialHeaders, timeoutMs: number): Promise<Outcome> {
    return this.#link.send({ method: 'POST', base: this.#post, credential, body, timeoutMs });
  }

  #sendCancelled(requestId: number, reason: string | undefined, credential: CredentialHeaders): void {
    // `send` never rejects, and a backend that cannot be told will find nobody waiting.
    void this.#send(cancelled(requestId, reason), credential, DELIVER_MS);
  }
}

function closed(): BackendFault {
  return new BackendFault('aborted', 'The backend session is closed here.', { executed: 'no' });
}
