import { setTimeout as sleep } from 'node:timers/promises';
import { HttpConnection } from '../bench/http-connection.ts';
import { openStreamable } from '../bench/streamable-session.ts';

/** What the clients of a load saw. */
export interface LoadSeen {
  readonly calls: number;
  /** Everything that was not the very answer to its request. */
  readonly wrong: readonly string[];
}

export interface SteadyLoadOptions {
  /** MCP, at each sidecar; session *i* is at sidecar *i*. */
  readonly urls: readonly string[];
  /** One session for each. */
  readonly tokens: readonly string[];
  /** How many clients share the sessions, a multiple of the sidecars: each has one connection, and one call at a time. */
  readonly clients: number;
  /** What a client rests between two calls, in milliseconds. */
  readonly restMs: number;
}

/** One session: what its next calls must be answered with. */
interface Member {
  readonly name: number;
  readonly post: (message: string) => string;
  counted: number;
  asked: number;
}

/**
 * Sessions that are called all the time, on bare sockets, so that hundreds of them cost little. Each call is
 * checked against its request: the status, the id, and by turns the very arguments that it must echo and the
 * number that the backend's own session must have counted to. So an answer that went to another caller shows,
 * and so does a call that ran twice or not at all, or a backend session that was made afresh. One call in four
 * takes 0.2 to 1.3 s. The backend is the `RecordingBackend` of `startSetting`.
 */
export class SteadyLoad {
  readonly #options: SteadyLoadOptions;
  readonly #members: readonly Member[];
  readonly #wrong: string[] = [];
  #calls = 0;
  #over = false;
  #running: Promise<unknown> = Promise.resolve();

  /** Opens the sessions; rejects when one is refused. */
  static async open(options: SteadyLoadOptions): Promise<SteadyLoad> {
    const members: Member[] = [];
    const { urls, tokens, clients } = options;
    let next = 0;
    const openSome = async () => {
      for (let name = next++; name < tokens.length; name = next++) {
        const session = await openStreamable({
          url: urls[name % urls.length] ?? '',
          token: tokens[name] ?? '',
        });
        members.push({ name, post: session.post, counted: 0, asked: 0 });
      }
    };
    await Promise.all(Array.from({ length: clients }, openSome));
    return new SteadyLoad(
      options,
      members.sort((a, b) => a.name - b.name),
    );
  }

  private constructor(options: SteadyLoadOptions, members: readonly Member[]) {
    this.#options = options;
    this.#members = members;
  }

  get calls(): number {
    return this.#calls;
  }

  start(): void {
    this.#over = false;
    this.#running = Promise.all(this.#shares().map((share) => this.#callOn(share)));
  }

  /** Resolves when the last call is answered. */
  async stop(): Promise<LoadSeen> {
    this.#over = true;
    await this.#running;
    return { calls: this.#calls, wrong: this.#wrong };
  }

  /** A last count of every session. */
  async countAll(): Promise<LoadSeen> {
    await Promise.all(
      this.#shares().map((share) =>
        this.#on(share, async (connection) => {
          for (const member of share.members) await this.#count(connection, member);
        }),
      ),
    );
    return { calls: this.#calls, wrong: this.#wrong };
  }

  /** The sessions of each client: all at one sidecar, as it has one connection. */
  #shares(): { readonly url: string; readonly members: readonly Member[] }[] {
    const { urls, clients } = this.#options;
    return Array.from({ length: clients }, (_, client) => ({
      url: urls[client % urls.length] ?? '',
      members: this.#members.filter(({ name }) => name % clients === client),
    }));
  }

  async #callOn(share: { readonly url: string; readonly members: readonly Member[] }): Promise<void> {
    await this.#on(share, async (connection) => {
      for (let turn = 0; !this.#over; turn += 1) {
        const member = share.members[turn % share.members.length];
        if (member === undefined) return;
        await this.#kindOf(member)(connection, member);
        await sleep(this.#options.restMs);
      }
    });
  }

  async #on({ url }: { readonly url: string }, use: (connection: HttpConnection) => Promise<void>) {
    const connection = await HttpConnection.open(new URL(url));
    try {
      await use(connection);
    } finally {
      connection.close();
    }
  }

  /** Short calls, and some that are under way whatever happens when. */
  #kindOf({ asked, name }: Member) {
    const kinds = [this.#count, this.#echo, this.#count, this.#wait];
    return (kinds[(asked + name) % kinds.length] ?? this.#count).bind(this);
  }

  async #count(connection: HttpConnection, member: Member): Promise<void> {
    member.counted += 1;
    await this.#call(connection, { member, tool: 'count', args: {}, text: String(member.counted) });
  }

  async #echo(connection: HttpConnection, member: Member): Promise<void> {
    const args = { session: member.name, asked: member.asked };
    await this.#call(connection, { member, tool: 'echo', args, text: JSON.stringify(args) });
  }

  /** One that is answered late, sometimes on a stream. */
  async #wait(connection: HttpConnection, member: Member): Promise<void> {
    const args = { session: member.name, asked: member.asked, ms: 200 + (member.name % 10) * 120 };
    await this.#call(connection, { member, tool: 'effect', args, text: 'slept' });
  }

  async #call(
    connection: HttpConnection,
    { member, tool, args, text }: { member: Member; tool: string; args: object; text: string },
  ): Promise<void> {
    member.asked += 1;
    const id = `${member.name}-${member.asked}`;
    const params = { name: tool, arguments: args };
    const message = JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params });
    const { status, head, body } = await connection.send(member.post(message));
    const answer = answerIn(body.toString());
    this.#calls += 1;
    if (status === 200 && answer?.id === id && answer.result?.content?.[0]?.text === text) return;
    const retryAfter = /retry-after: \d+/i.exec(head)?.[0] ?? '';
    this.#wrong.push(`${tool} ${id}, not ${text}: ${status} ${retryAfter} ${body}`);
  }
}

interface Answer {
  readonly id?: unknown;
  readonly result?: { readonly content?: readonly { readonly text?: string }[] };
}

/** The response in a body, JSON or event stream. */
function answerIn(body: string): Answer | undefined {
  const texts = body.startsWith('{') ? [body] : body.split('\n').filter((line) => line.startsWith('data: {'));
  return texts
    .map((text) => JSON.parse(text.replace(/^data: /, '')) as Answer)
    .find(({ id }) => id !== undefined);
}
