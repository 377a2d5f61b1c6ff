import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpConnection } from '../http-connection.ts';
import { type HttpAnswer, headerOf } from '../response-reader.ts';
import type { StreamableSession } from '../streamable-session.ts';
import { AFTERMATH_MS, type Tally } from './tally.ts';

const MOST_RETRIES = 100;
const RETRY_MS = 250;

interface Ask {
  readonly id: number;
  readonly body: string;
  right(answer: HttpAnswer): boolean;
}

let lastId = 0;

/** Asks one thing after another, each in the next of its sessions, and checks every answer. */
export class Asker {
  readonly #open: () => Promise<HttpConnection>;
  readonly #next: () => StreamableSession;
  readonly #tally: Tally;
  #turn = lastId;

  constructor(options: {
    readonly open: () => Promise<HttpConnection>;
    readonly next: () => StreamableSession;
    readonly tally: Tally;
  }) {
    this.#open = options.open;
    this.#next = options.next;
    this.#tally = options.tally;
  }

  async askUntil(endsAt: number, { everyMs }: { readonly everyMs: number }): Promise<void> {
    const connection = await this.#open();
    try {
      // Not all in the same moment.
      for (let at = performance.now() + Math.random() * everyMs; at < endsAt; at += everyMs) {
        await sleep(Math.max(0, at - performance.now()));
        await this.#ask(connection, this.#next(), this.#something());
      }
    } finally {
      connection.close();
    }
  }

  async #ask(connection: HttpConnection, session: StreamableSession, ask: Ask): Promise<void> {
    const tally = this.#tally;
    for (let tries = 0; ; tries += 1) {
      const answer = await session.send(connection, ask.body);
      const { status, head, body } = answer;
      if (ask.right(answer)) {
        tally.right += 1;
        return;
      }
      const text = body.toString('utf8', 0, 300);
      if (text.includes('outcome_unknown') && performance.now() - tally.diedAt < AFTERMATH_MS) {
        tally.unknown += 1;
        return;
      }
      if ((status !== 503 && status !== 429) || tries === MOST_RETRIES) {
        tally.complain(
          status === 404 ? 'lost' : 'wrong',
          `HTTP ${status} to ${ask.body.slice(0, 120)}: ${text}`,
        );
        return;
      }
      tally.again += 1;
      await sleep(Math.min(RETRY_MS, 1_000 * Number(headerOf(head, 'retry-after') ?? 1)));
    }
  }

  /** Of ten: five small calls, one of 64 KiB, one with progress by SSE, two lists, one notification. */
  #something(): Ask {
    this.#turn += 1;
    const kind = this.#turn % 10;
    if (kind === 2) return call({ bytes: 65_536, sse: false, progress: 0 });
    if (kind === 4) return call({ bytes: 500, sse: true, progress: 2 });
    if (kind === 6 || kind === 8) return list();
    if (kind === 9) return notification();
    return call({ bytes: 500, sse: false, progress: 0 });
  }
}

function call(of: { readonly bytes: number; readonly sse: boolean; readonly progress: number }): Ask {
  const id = nextId();
  const echo = `echo-${id}-${(id * 7919) % 100_003}`;
  const meta = of.progress === 0 ? {} : { _meta: { progressToken: id } };
  const params = { name: 'echo', arguments: { echo, ...of }, ...meta };
  return {
    id,
    body: JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params }),
    right: ({ status, body }) =>
      status === 200 &&
      body.includes(`"id":${id}`) &&
      body.indexOf(echo) !== body.lastIndexOf(echo) &&
      body.length > of.bytes &&
      (of.progress === 0 || body.includes(`"progress":${of.progress}`)),
  };
}

function list(): Ask {
  const id = nextId();
  return {
    id,
    body: JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/list', params: {} }),
    right: ({ status, body }) =>
      status === 200 && body.includes(`"id":${id}`) && body.includes('"name":"echo_69"'),
  };
}

function notification(): Ask {
  const id = nextId();
  const params = { requestId: `gone-${id}`, reason: 'the soak' };
  return {
    id,
    body: JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params }),
    right: ({ status }) => status === 202,
  };
}

function nextId(): number {
  lastId += 1;
  return lastId;
}
