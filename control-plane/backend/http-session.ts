import { ChurningMap } from '../../shared/churning.ts';
import type { Message } from '../../shared/json-rpc/message.ts';
import type { Credential } from '../credentials/strategy.ts';
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
import { type ListenPlace, type ListenPort, StreamListener } from './http-listen.ts';
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
export class HttpSession implements BackendSession, CallPort, ListenPort {
  readonly deadlines: Deadlines;
  readonly facts: BackendFacts;
  readonly hint: BackendHint;
  readonly fingerprint: string;
  readonly #link: HttpLink;
  readonly #events: BackendEvents;
  readonly place: ListenPlace;
  /** These are made when they are needed: most sessions are at rest most of the time. */
  #calls: ChurningMap<number, HttpCall> | undefined;
  #listeners: Set<StreamListener> | undefined;
  #check: SessionCheck | undefined;
  #postHeaders: readonly string[] | undefined;
  #closed = false;

  constructor(options: HttpSessionOptions) {
    const { link, hint } = options;
    this.deadlines = link.deadlines;
    this.facts = options.facts;
    this.hint = hint;
    this.fingerprint = fingerprintOf(link.backend, hint.sessionId);
    this.#link = link;
    this.#events = options.events;
    this.place = { lastEventId: undefined, missed: options.resumed };
  }

  call(call: BackendCall): Promise<Message> {
    if (this.#closed || call.signal?.aborted === true) return Promise.reject(closed());
    const refusal = this.#link.health.admit(call);
    if (refusal !== undefined) return Promise.reject(refusal);
    const running = new HttpCall(call, this);
    this.#calls ??= new ChurningMap();
    this.#calls.set(call.id, running);
    const { credential, headers } = call;
    try {
      const body = join(call.pieces);
      running.follow(
        this.#link.call({
          base: this.#posting,
          credential,
          more: headers,
          body,
          sink: running,
        }),
      );
    } catch (error) {
      running.give(unsendable(error));
    }
    return running.answer;
  }

  notify(pieces: readonly Uint8Array[], credential: Credential): Promise<void> {
    return this.#deliver(pieces, credential);
  }

  respond(pieces: readonly Uint8Array[], credential: Credential): Promise<void> {
    return this.#deliver(pieces, credential);
  }

  cancel(id: number, reason: string | undefined, credential: Credential): void {
    const running = this.#calls?.get(id);
    if (running === undefined) return;
    if (running.sent) this.#sendCancelled(id, reason, credential);
    running.abandon();
  }

  listen(options: ListenOptions): Promise<'closed' | 'unsupported'> {
    if (this.#closed) return Promise.resolve('closed');
    const listener = new StreamListener(this, options);
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
    return listener.start();
  }

  async close(how: SessionEnd): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#listeners ?? []) listener.stop();
    if (how.terminate || how.finish !== true) {
      for (const running of this.#calls?.values() ?? []) running.abandon();
    }
    if (!how.terminate || this.hint.sessionId === undefined) return;
    const { credential } = how;
    // A backend may refuse this (405) or be gone: either way nothing is left to do here.
    const base = this.#link.getHeaders(this.hint);
    await this.#link.send({ method: 'DELETE', base, credential, timeoutMs: DELETE_MS });
  }

  resume(call: HttpCall, lastEventId: string): Exchange {
    const { credential } = call.call;
    return this.#openStream({ credential, lastEventId, sink: call, endless: false });
  }

  async faultOf(refusal: Refusal, call: { readonly credential: Credential }): Promise<BackendFault> {
    if (this.hint.sessionId === undefined) return faultOfStatus(refusal, false);
    return this.#checking.faultOf(refusal, call.credential);
  }

  heard(running: HttpCall): void {
    this.#link.health.heard(running);
  }

  settled(running: HttpCall, fault: BackendFault | undefined): void {
    this.#calls?.delete(running.call.id);
    if (this.#calls?.size === 0) this.#calls = undefined;
    this.#link.health.settled(running, fault);
  }

  timedOut(running: HttpCall): void {
    this.#sendCancelled(running.call.id, 'The request timed out.', running.call.credential);
  }

  dropped(): void {
    this.#link.health.dropped();
  }

  openListening(sink: ExchangeSink, lastEventId: string | undefined, credential: Credential): Exchange {
    return this.#openStream({ credential, lastEventId, sink, endless: true });
  }

  pushed(message: Message): void {
    this.#events.message(message);
  }

  isLost(credential: Credential): Promise<boolean> {
    return this.#checking.isLost(credential);
  }

  unheard(listener: StreamListener): void {
    this.#listeners?.delete(listener);
  }

  get #posting(): readonly string[] {
    this.#postHeaders ??= this.#link.postHeaders(this.hint);
    return this.#postHeaders;
  }

  get #checking(): SessionCheck {
    this.#check ??= new SessionCheck((body, credential, timeoutMs) =>
      this.#send(body, credential, timeoutMs),
    );
    return this.#check;
  }

  #openStream(options: {
    credential: Credential;
    lastEventId: string | undefined;
    sink: ExchangeSink;
    endless: boolean;
  }): Exchange {
    const { lastEventId, ...rest } = options;
    const more = lastEventId === undefined ? undefined : { 'last-event-id': lastEventId };
    return this.#link.stream({ ...rest, base: this.#link.getHeaders(this.hint), more });
  }

  async #deliver(pieces: readonly Uint8Array[], credential: Credential): Promise<void> {
    if (this.#closed) throw closed();
    const outcome = await this.#send(join(pieces), credential, DELIVER_MS);
    if (outcome.kind === 'failed') throw outcome.fault;
    if (outcome.kind === 'refused') throw await this.faultOf(outcome.refusal, { credential });
  }

  #send(body: Buffer, credential: Credential, timeoutMs: number): Promise<Outcome> {
    return this.#link.send({
      method: 'POST',
      base: this.#posting,
      credential,
      body,
      timeoutMs,
    });
  }

  #sendCancelled(requestId: number, reason: string | undefined, credential: Credential): void {
    // `send` never rejects, and a backend that cannot be told will find nobody waiting.
    void this.#send(cancelled(requestId, reason), credential, DELIVER_MS);
  }
}

function closed(): BackendFault {
  return new BackendFault('aborted', 'The backend session is closed here.', { executed: 'no' });
}
