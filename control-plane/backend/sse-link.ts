import { ChurningMap } from '../../shared/churning.ts';
import { errorResponse } from '../../shared/json-rpc/envelope.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import type { Credential } from '../credentials/strategy.ts';
import { type BackendCall, type BackendEvents, BackendFault } from './backend.ts';
import type { CallSlots } from './call-slots.ts';
import type { Exchange, Outcome } from './exchange.ts';
import { unsendable } from './faults.ts';
import type { HttpLink } from './http-link.ts';
import { cancelled, join, readNumber } from './messages.ts';
import { SessionCheck } from './session-check.ts';
import { SseCall, type SseCallPort } from './sse-call.ts';
import { SseStream, type SseStreamOptions } from './sse-stream.ts';

export interface SseLinkOptions extends Pick<SseStreamOptions, 'url' | 'credential' | 'dueAt' | 'signal'> {
  readonly http: HttpLink;
  readonly slots: CallSlots;
  readonly events: BackendEvents;
}

type State =
  | { readonly kind: 'open' }
  /** It takes no new calls, and ends with the last of those it has. */
  | { readonly kind: 'retired'; readonly fault: BackendFault }
  | { readonly kind: 'over'; readonly fault: BackendFault };

const DELIVER_MS = 10_000;

/** The stream of one session, the messages sent beside it, and the calls that wait for their answers on it. */
export class SseLink {
  readonly #http: HttpLink;
  readonly #slots: CallSlots;
  readonly #events: BackendEvents;
  readonly #stream: SseStream;
  readonly #check: SessionCheck;
  readonly #calls = new ChurningMap<number, SseCall>();
  readonly #port: SseCallPort;
  #state: State = { kind: 'open' };
  #path = '';
  #post: readonly string[];

  /** Opens the stream, under the credential that it will have for its life. */
  constructor({ http, slots, events, ...opening }: SseLinkOptions) {
    this.#http = http;
    this.#slots = slots;
    this.#events = events;
    this.#post = http.postHeaders({ sessionId: undefined, protocolVersion: undefined });
    this.#check = new SessionCheck((body, credential, timeoutMs) => this.#send(body, credential, timeoutMs));
    this.#port = this.#portFor({ handshake: false, silenceTells: false });
    this.#stream = new SseStream({
      ...opening,
      link: http,
      onMessage: (message) => this.#read(message),
      onGarbage: () => http.health.dropped(),
      onEnd: (fault) => this.#lost(fault),
    });
  }

  /** Why no call can be made any more; undefined while one can. */
  get fault(): BackendFault | undefined {
    return this.#state.kind === 'open' ? undefined : this.#state.fault;
  }

  /** Why this call cannot be made now; undefined when it can, and then `call` must follow. */
  admit(call: BackendCall): BackendFault | undefined {
    return this.fault ?? this.#http.health.admit(call);
  }

  /** Resolves when messages may be sent. Rejects with BackendFault. */
  async ready(): Promise<void> {
    this.#path = await this.#stream.endpoint;
  }

  /** The first call. */
  initialize(call: BackendCall, silenceTells: boolean): SseCall {
    return this.#start(call, this.#portFor({ handshake: true, silenceTells }));
  }

  /** The revision that was agreed upon; said with each message from now on. */
  agreed(protocolVersion: string): void {
    this.#post = this.#http.postHeaders({ sessionId: undefined, protocolVersion });
  }

  /** Starts a call; its promise is `answer`. */
  call(call: BackendCall): SseCall {
    return this.#start(call, this.#port);
  }

  /** Sends a notification or a response. Rejects with BackendFault. */
  async deliver(pieces: readonly Uint8Array[], credential: Credential): Promise<void> {
    if (this.#state.kind === 'over') throw this.#state.fault;
    const outcome = await this.#send(join(pieces), credential, DELIVER_MS);
    if (outcome.kind === 'failed') throw outcome.fault;
    if (outcome.kind === 'refused') throw await this.#check.faultOf(outcome.refusal, credential);
  }

  cancel(id: number, reason: string | undefined, credential: Credential): void {
    const pending = this.#calls.get(id);
    if (pending === undefined) return;
    if (pending.sent) this.#sendCancelled(id, reason, credential);
    pending.abandon();
  }

  /** Takes no new calls, for this reason. Those under way are still answered. */
  retire(fault: BackendFault): void {
    if (this.#state.kind !== 'open') return;
    this.#state = { kind: 'retired', fault };
    this.#endIfIdle();
  }

  /** Ends it: the stream is all that the backend knows the session by. Calls under way are given up. */
  end(): void {
    if (this.#state.kind === 'over') return;
    this.#state = { kind: 'over', fault: closed() };
    this.#stream.abort();
    for (const pending of this.#calls.values()) pending.abandon();
  }

  #start(call: BackendCall, port: SseCallPort): SseCall {
    const pending = new SseCall(call, port);
    this.#calls.set(call.id, pending);
    try {
      this.#slots.enter(pending);
    } catch (error) {
      pending.give(unsendable(error));
    }
    return pending;
  }

  #portFor({ handshake, silenceTells }: { handshake: boolean; silenceTells: boolean }): SseCallPort {
    const { deadlines, health } = this.#http;
    return {
      deadlines,
      post: (call) => this.#postCall(call),
      faultOf: (refusal, credential) => this.#check.faultOf(refusal, credential),
      heard: (call) => health.heard(call),
      settled: (call, fault) => {
        this.#calls.delete(call.call.id);
        health.settled(call, fault, silenceTells);
        this.#slots.leave(call);
        this.#endIfIdle();
      },
      timedOut: ({ call }) => {
        if (!handshake) this.#sendCancelled(call.id, 'The request timed out.', call.credential);
      },
    };
  }

  #postCall(sink: SseCall): Exchange {
    if (this.#state.kind === 'over') throw this.#state.fault;
    const { credential, headers: more, pieces } = sink.call;
    return this.#http.call({
      base: this.#post,
      path: this.#path,
      credential,
      more,
      body: join(pieces),
      sink,
    });
  }

  #send(body: Buffer, credential: Credential, timeoutMs: number): Promise<Outcome> {
    const [base, path] = [this.#post, this.#path];
    return this.#http.send({ method: 'POST', base, path, credential, body, timeoutMs });
  }

  #sendCancelled(id: number, reason: string | undefined, credential: Credential): void {
    // `send` never rejects, and a backend that cannot be told will find nobody waiting.
    void this.#send(cancelled(id, reason), credential, DELIVER_MS);
  }

  #read(message: Message): void {
    const { kind, method, progressToken } = message.scanned;
    if (kind === 'response') return this.#answer(message);
    if (kind === 'request') return this.#asked(message);
    const token = method === 'notifications/progress' ? readNumber(message, progressToken) : Number.NaN;
    const concerned = this.#calls.get(token);
    if (concerned !== undefined) concerned.passOn(message);
    else if (this.#state.kind === 'open') this.#events.message(message);
  }

  #answer(message: Message): void {
    const pending = this.#calls.get(readNumber(message, message.scanned.id));
    if (pending === undefined) this.#http.health.dropped();
    else pending.settle(message);
  }

  /** A request of the backend; on one stream for all nothing says which call caused it. */
  #asked(message: Message): void {
    for (const pending of this.#calls.values()) pending.waitForPeople();
    if (this.#state.kind === 'open') this.#events.message(message);
    else this.#refuse(message);
  }

  /** The session goes on elsewhere, so nobody is there to be asked: told under the credential of a call that may have caused it. */
  #refuse({ bytes, scanned: { id } }: Message): void {
    const [pending] = this.#calls.values();
    if (pending === undefined || id === undefined) return;
    const error = { code: -32603, message: 'The client cannot be asked any more.' };
    void this.#send(join(errorResponse(slice(bytes, id), error)), pending.call.credential, DELIVER_MS);
  }

  #lost(cause: BackendFault): void {
    const { kind } = this.#state;
    const fault = new BackendFault('session_lost', 'The stream of the session ended.', {
      executed: 'no',
      cause,
    });
    this.#state = { kind: 'over', fault };
    for (const pending of this.#calls.values()) {
      pending.give(
        new BackendFault(cause.kind === 'protocol' ? 'protocol' : 'session_lost', cause.message, {
          executed: pending.sent ? 'unknown' : 'no',
          cause,
        }),
      );
    }
    if (kind === 'open') this.#events.lost(fault);
  }

  #endIfIdle(): void {
    if (this.#state.kind === 'retired' && this.#calls.size === 0) this.end();
  }
}

function closed(): BackendFault {
  return new BackendFault('aborted', 'The backend session is closed here.', { executed: 'no' });
}
