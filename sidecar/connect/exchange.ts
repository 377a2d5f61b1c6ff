import { MeshError } from '../../shared/errors.ts';
import type { Message } from '../../shared/json-rpc/message.ts';
import type { Logger } from '../../shared/log.ts';
import { lossRule } from '../mesh/loss-rule.ts';
import { type ClientMessage, rawId } from './client-message.ts';
import { ConnectionLost, discard, type Endpoint, type HttpSession, type Reply } from './endpoint.ts';
import { MessageStream } from './message-stream.ts';
import type { Output } from './output.ts';
import { NOTICE_MS, Patience, REQUEST_MS } from './patience.ts';
import { closing, outcomeUnknown, type Refusal, readRefusal, unreachable } from './refusals.ts';

/** What all exchanges share. */
export interface Line {
  readonly endpoint: Endpoint;
  readonly output: Output;
  /** The endpoint's address, for people. */
  readonly url: string;
  /** Aborted when the program ends. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

export interface ExchangeOptions {
  readonly line: Line;
  readonly message: ClientMessage;
  /** The session to send it in; asked before each attempt. */
  readonly session: () => Promise<HttpSession | undefined>;
  /** Puts another session in the place of one that is gone; where there is none, that it is gone is the answer. */
  readonly renew?: (gone: HttpSession) => Promise<void>;
  /** Everything that comes, answers included, each of those once. */
  readonly onMessage: (message: Message, reply: Reply) => void;
  /** There will be no answer to these requests; to none, when the message had none. */
  readonly onRefusal: (refusal: Refusal, ids: readonly string[]) => void;
}

/** What one attempt came to: it is over, or refused, and perhaps worth another attempt after a while. */
type Step = 'over' | { readonly refusal: Refusal; readonly againAfterMs?: number };

/** How soon a repeated read is tried again while the first one still runs. */
const STILL_RUNNING_MS = 100;

/**
 * One message of the client, as often as it has to be sent, until its requests have
 * their answers: each has exactly one, but for cancelled ones, which have none. A
 * message goes again only where it cannot have run, or where running twice does no
 * harm; a stream that ends early is resumed.
 */
export class Exchange {
  /** Resolves when the message has left for the first time, or never will. */
  readonly sent: Promise<void>;
  readonly #options: ExchangeOptions;
  readonly #owed: Set<string>;
  readonly #end = new AbortController();
  #markSent: () => void = () => {};
  #cancelled = false;
  #renewed = false;
  #repeated = false;
  #waiting = false;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#owed = new Set(options.message.ids);
    this.sent = new Promise((resolve) => {
      this.#markSent = resolve;
    });
  }

  /** The client does not wait for it any more. */
  cancel(): void {
    this.#cancelled = true;
  }

  /** Lets go of whatever it still waits for. */
  release(): void {
    this.#end.abort();
  }

  /** Resolves when it is over. Never rejects. */
  async run(): Promise<void> {
    const { line, onRefusal } = this.#options;
    const end = () => this.release();
    line.signal.addEventListener('abort', end);
    if (line.signal.aborted) end();
    try {
      const refusal = await this.#converse();
      if (refusal !== undefined) onRefusal(refusal, this.#settle());
    } catch (thrown) {
      onRefusal(line.signal.aborted ? closing() : MeshError.from(thrown), this.#settle());
    } finally {
      line.signal.removeEventListener('abort', end);
      this.#markSent();
    }
  }

  async #converse(): Promise<Refusal | undefined> {
    const lastsMs = this.#options.message.scanned?.kind === 'notification' ? NOTICE_MS : REQUEST_MS;
    const patience = new Patience(lastsMs, this.#end.signal);
    for (;;) {
      const step = await this.#attempt();
      if (step === 'over' || this.#cancelled) return undefined;
      if (step.againAfterMs === undefined || !(await patience.wait(step.againAfterMs))) return step.refusal;
      if (this.#cancelled) return undefined;
    }
  }

  async #attempt(): Promise<Step> {
    const { line, message, session: current } = this.#options;
    const session = await current();
    let reply: Reply;
    try {
      reply = await line.endpoint.open({
        method: 'POST',
        session,
        body: message.bytes,
        signal: this.#end.signal,
        onSent: this.#markSent,
      });
    } catch (thrown) {
      // What waits to be sent does not hold up what the client says next.
      this.#markSent();
      if (!(thrown instanceof ConnectionLost)) throw thrown;
      return thrown.written ? this.#lost() : this.#unreachable();
    }
    if (reply.status === 200) return this.#hear(reply, session);
    if (reply.status === 202 && this.#owed.size === 0) {
      discard(reply);
      return 'over';
    }
    return this.#refused(reply, session);
  }

  #unreachable(): Step {
    const { url, log } = this.#options.line;
    if (!this.#waiting) log.info('nothing answers; it is tried again', { url });
    this.#waiting = true;
    return { refusal: unreachable(url), againAfterMs: 0 };
  }

  async #refused(reply: Reply, session: HttpSession | undefined): Promise<Step> {
    const { line, renew } = this.#options;
    const { status, retryAfterMs } = reply;
    const refusal = await readRefusal(reply, { authorized: line.endpoint.authorized });
    if (status === 404 && session?.id !== undefined && renew !== undefined && !this.#renewed) {
      this.#renewed = true;
      await renew(session);
      return { refusal, againAfterMs: 0 };
    }
    if (status === 503 || status === 429) return { refusal, againAfterMs: retryAfterMs ?? 0 };
    // The first one still runs under the same id; it was taken, so the second one will be.
    if (status === 400 && this.#repeated) return { refusal, againAfterMs: STILL_RUNNING_MS };
    return { refusal };
  }

  /** The answer, as JSON or as a stream, which is resumed as long as it can be. */
  async #hear(reply: Reply, session: HttpSession | undefined): Promise<Step> {
    const { line } = this.#options;
    const stream = new MessageStream(line, (message) => this.#deliver(message, reply));
    await stream.read(reply);
    const patience = new Patience(REQUEST_MS, this.#end.signal);
    for (let waitMs = stream.retryMs; !this.#over; ) {
      if (stream.lastEventId === '' || !(await patience.wait(waitMs))) return this.#lost();
      if (this.#over) break;
      const next = await this.#resume(session, stream.lastEventId);
      if (next === undefined) waitMs = 0;
      else if (next.status === 200) {
        await stream.read(next);
        patience.restore();
        waitMs = stream.retryMs;
      } else {
        discard(next);
        if (next.status !== 503 && next.status !== 429) return this.#lost();
        waitMs = next.retryAfterMs ?? 0;
      }
    }
    return 'over';
  }

  /** Undefined when there is no connection. */
  async #resume(session: HttpSession | undefined, lastEventId: string): Promise<Reply | undefined> {
    const { endpoint } = this.#options.line;
    try {
      return await endpoint.open({ method: 'GET', session, lastEventId, signal: this.#end.signal });
    } catch (thrown) {
      if (thrown instanceof ConnectionLost) return undefined;
      throw thrown;
    }
  }

  #deliver(message: Message, reply: Reply): void {
    const { onMessage } = this.#options;
    if (message.scanned.kind !== 'response') {
      onMessage(message, reply);
      return;
    }
    const id = rawId(message);
    // An answer that nobody waits for, or a second one, is no answer.
    if (id !== undefined && this.#owed.delete(id)) onMessage(message, reply);
  }

  get #over(): boolean {
    return this.#owed.size === 0 || this.#cancelled;
  }

  /** No answer will come of this attempt. */
  #lost(): Step {
    if (!this.#mayRepeat) return { refusal: outcomeUnknown() };
    this.#repeated = true;
    return { refusal: outcomeUnknown(), againAfterMs: 0 };
  }

  get #mayRepeat(): boolean {
    const { scanned } = this.#options.message;
    // A second response is dropped at its other end; a session that nobody knows of expires.
    if (scanned?.kind === 'response' || scanned?.method === 'initialize') return true;
    const lost = { kind: 'message', tool: undefined, replaySafeTools: NONE } as const;
    const verdict = lossRule({
      ...lost,
      message: scanned?.kind,
      method: scanned?.method,
      written: true,
      refused: false,
    });
    return verdict === 'resend';
  }

  #settle(): readonly string[] {
    const ids = this.#cancelled ? [] : [...this.#owed];
    this.#owed.clear();
    return ids;
  }
}

const NONE: ReadonlySet<string> = new Set();
