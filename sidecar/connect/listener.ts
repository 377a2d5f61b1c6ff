import { setTimeout as sleep } from 'node:timers/promises';
import type { Message } from '../../shared/json-rpc/message.ts';
import { Backoff } from '../mesh/backoff.ts';
import { ConnectionLost, discard, type HttpSession, type Reply } from './endpoint.ts';
import type { Line } from './exchange.ts';
import { MessageStream } from './message-stream.ts';
import type { ClientSession } from './session.ts';

/** A refusal may end when somebody renews a token; nobody waits for it. */
const REFUSED_MS = 30_000;

/** When to listen again, at the earliest, in milliseconds; `never` where there is nothing to listen to. */
type Pause = number | 'never';

/**
 * The session's own stream (GET), for what belongs to no request: open from the
 * client's `initialized` to the end, resumed after each break, moved to the next
 * session when one is gone.
 */
export class Listener {
  readonly #line: Line;
  readonly #session: ClientSession;
  readonly #backoff = new Backoff();
  #stream: { readonly of: HttpSession; readonly messages: MessageStream } | undefined;
  #attempt = new AbortController();
  #started = false;

  constructor(line: Line, session: ClientSession) {
    this.#line = line;
    this.#session = session;
  }

  /** Begins to listen; later calls change nothing. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    void this.#run();
  }

  /** Leaves the stream of a session that is gone, at once. */
  move(): void {
    this.#attempt.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#line;
    while (!signal.aborted) {
      this.#attempt = new AbortController();
      const pause = await this.#listen(AbortSignal.any([signal, this.#attempt.signal])).catch(() => 0);
      if (pause === 'never') return;
      const backoff = this.#backoff.next({ homeless: pause === 0 });
      await sleep(Math.max(pause, backoff), undefined, { signal }).catch(() => undefined);
    }
  }

  async #listen(signal: AbortSignal): Promise<Pause> {
    const session = await this.#session.current();
    if (session === undefined) return REFUSED_MS;
    const stream = this.#streamOf(session);
    let reply: Reply;
    try {
      const { lastEventId } = stream;
      reply = await this.#line.endpoint.open({ method: 'GET', session, lastEventId, signal });
    } catch (thrown) {
      if (thrown instanceof ConnectionLost) return 0;
      throw thrown;
    }
    if (reply.status === 200 && reply.events) {
      this.#backoff.reset();
      await stream.read(reply);
      return stream.retryMs;
    }
    discard(reply);
    return this.#refused(reply, session);
  }

  async #refused({ status, retryAfterMs }: Reply, session: HttpSession): Promise<Pause> {
    if (status === 503 || status === 429) return retryAfterMs ?? 0;
    if (status === 404 && session.id !== undefined) {
      await this.#session.renew(session);
      return 0;
    }
    // The stream is not kept any more: the next one begins afresh.
    if (status === 400 && this.#stream?.messages.lastEventId !== '') {
      this.#stream = undefined;
      return 0;
    }
    if (status === 404 || status === 405) return 'never';
    this.#line.log.warn('the sidecar refuses to be listened to', { status, delayMs: REFUSED_MS });
    return REFUSED_MS;
  }

  #streamOf(session: HttpSession): MessageStream {
    if (this.#stream?.of !== session) {
      const messages = new MessageStream(this.#line, (message) => this.#deliver(message));
      this.#stream = { of: session, messages };
    }
    return this.#stream.messages;
  }

  /** Answers come on the streams of their requests; here they would be somebody else's. */
  #deliver({ bytes, scanned }: Message): void {
    if (scanned.kind !== 'response') this.#line.output.write(bytes);
  }
}
