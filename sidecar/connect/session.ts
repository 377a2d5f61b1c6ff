import { MeshError } from '../../shared/errors.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import type { ClientMessage } from './client-message.ts';
import type { HttpSession, Reply } from './endpoint.ts';
import { Exchange, type Line } from './exchange.ts';
import type { Refusal } from './refusals.ts';

/** Beyond so many subscriptions the oldest are not made again. */
const MAX_SETTINGS = 1_000;

export interface SessionOptions {
  readonly line: Line;
  /** A session took the place of one that is gone; `result` is the raw result of its initialize. */
  readonly onRenewed: (result: Buffer) => void;
}

/**
 * The HTTP session behind the client's one connection. The client cannot know that
 * there is such a thing: when it is gone, another one is opened with the client's
 * own initialize, and told what the client had set in the first.
 */
export class ClientSession {
  readonly #options: SessionOptions;
  #http: HttpSession | undefined;
  #initialize: ClientMessage | undefined;
  #initialized: ClientMessage | undefined;
  /** What outlives a session for its client: the log level, and the subscriptions by URI. */
  readonly #settings = new Map<string, ClientMessage>();
  #renewal: Promise<void> | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** As it is now, without waiting; undefined before initialize. */
  get http(): HttpSession | undefined {
    return this.#http;
  }

  /** Waits for a session that is being opened in the place of one that is gone. Rejects when that fails. */
  async current(): Promise<HttpSession | undefined> {
    await this.#renewal;
    return this.#http;
  }

  /** The client's initialize was answered with a result. */
  opened(initialize: ClientMessage, answer: Message, reply: Reply): void {
    this.#initialize = keep(initialize);
    this.#http = sessionOf(answer, reply);
  }

  /** The client said `notifications/initialized`. */
  confirmed(initialized: ClientMessage): void {
    this.#initialized = keep(initialized);
  }

  /** A request of the client had a result: what it set is set. */
  settle(message: ClientMessage): void {
    const { method, uri } = message.scanned ?? {};
    if (method === 'logging/setLevel') this.#settings.set('level', keep(message));
    if (uri === undefined) return;
    const key = slice(message.bytes, uri).toString('utf8');
    if (method === 'resources/unsubscribe') this.#settings.delete(key);
    if (method !== 'resources/subscribe') return;
    this.#settings.set(key, keep(message));
    const [oldest] = this.#settings.keys();
    if (this.#settings.size > MAX_SETTINGS && oldest !== undefined) this.#settings.delete(oldest);
  }

  /** Resolves when another session has taken the place of this one, whoever found out first. Rejects with MeshError when there can be none. */
  async renew(gone: HttpSession): Promise<void> {
    if (this.#renewal === undefined && this.#http !== gone) return;
    this.#renewal ??= this.#open().finally(() => {
      this.#renewal = undefined;
    });
    await this.#renewal;
  }

  async #open(): Promise<void> {
    if (this.#initialize === undefined) return;
    const asked = await this.#ask(this.#initialize, undefined);
    const result = asked?.answer.scanned.result;
    if (asked === undefined || result === undefined) throw refused();
    const session = sessionOf(asked.answer, asked.reply);
    if (this.#initialized !== undefined) await this.#ask(this.#initialized, session);
    for (const setting of this.#settings.values()) {
      // A resource may be gone with what served it; the others are not.
      await this.#ask(setting, session).catch(() => undefined);
    }
    this.#http = session;
    this.#options.onRenewed(slice(asked.answer.bytes, result));
  }

  /** Says something in the client's name, of which the client hears nothing. */
  async #ask(
    message: ClientMessage,
    session: HttpSession | undefined,
  ): Promise<{ answer: Message; reply: Reply } | undefined> {
    let asked: { answer: Message; reply: Reply } | undefined;
    let refusal: Refusal | undefined;
    await new Exchange({
      line: this.#options.line,
      message,
      session: async () => session,
      onMessage: (answer, reply) => {
        if (answer.scanned.kind === 'response') asked = { answer, reply };
      },
      onRefusal: (why) => {
        refusal = why;
      },
    }).run();
    if (refusal !== undefined) throw refusal instanceof MeshError ? refusal : refused();
    return asked;
  }
}

function refused(): MeshError {
  return new MeshError('unavailable', 'The session has ended, and the mesh refused to open another one.');
}

/** What stays must not keep the whole chunk of input alive that it came in. */
function keep({ bytes, scanned, ids }: ClientMessage): ClientMessage {
  return { bytes: Buffer.from(bytes), scanned, ids };
}

function sessionOf({ bytes, scanned }: Message, reply: Reply): HttpSession {
  const { protocolVersion } =
    scanned.result === undefined
      ? {}
      : (JSON.parse(slice(bytes, scanned.result).toString('utf8')) as { protocolVersion?: unknown });
  // It becomes a header.
  const valid = typeof protocolVersion === 'string' && /^[\w.-]{1,32}$/.test(protocolVersion);
  return { id: reply.sessionId, version: valid ? protocolVersion : undefined };
}
