import type { Message } from '../../shared/json-rpc/message.ts';
import type { Credential } from '../credentials/strategy.ts';
import { BackendFault } from './backend.ts';
import type { Watched } from './deadlines.ts';
import type { Exchange, ExchangeSink, Outcome } from './exchange.ts';
import { faultOfStatus, unsendable } from './faults.ts';
import type { HttpLink } from './http-link.ts';

export interface SseStreamOptions {
  readonly link: HttpLink;
  /** The configured URL. */
  readonly url: URL;
  /** Of the caller who opens it; with the request it is out of our hands, and not kept. */
  readonly credential: Credential;
  /** By when it must have said where messages go, in milliseconds of `performance.now()`. */
  readonly dueAt: number;
  /** Until it has said that. */
  readonly signal: AbortSignal;
  readonly onMessage: (message: Message) => void;
  readonly onGarbage: () => void;
  /** It ended by itself, after `endpoint` had resolved. */
  readonly onEnd: (fault: BackendFault) => void;
}

/** The stream of one HTTP+SSE session: first where messages go, then every message of the backend. */
export class SseStream implements ExchangeSink, Watched {
  readonly dueAt: number;
  /** Path and query, at the configured origin, that take this session's messages. They hold its secret. */
  readonly endpoint: Promise<string>;
  readonly #options: Omit<SseStreamOptions, 'credential'>;
  readonly #exchange: Exchange | undefined;
  #resolve!: (endpoint: string) => void;
  #reject!: (fault: BackendFault) => void;
  #state: 'opening' | 'open' | 'over' = 'opening';

  constructor({ credential, ...options }: SseStreamOptions) {
    const { link, signal } = options;
    this.#options = options;
    this.dueAt = options.dueAt;
    this.endpoint = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    link.deadlines.watch(this);
    signal.addEventListener('abort', this, { once: true });
    try {
      const base = link.getHeaders({ sessionId: undefined, protocolVersion: undefined });
      this.#exchange = link.stream({ base, credential, sink: this, endless: true });
    } catch (error) {
      this.#end(unsendable(error));
    }
  }

  /** Ends it here; `onEnd` is not called for that. */
  abort(): void {
    if (this.#leave() === 'opening') this.#reject(aborted());
    this.#exchange?.abort();
  }

  /** The signal. */
  handleEvent(): void {
    this.abort();
  }

  expire(): void {
    const executed = this.#exchange?.written === true ? 'unknown' : 'no';
    this.#cut(
      new BackendFault('timeout', 'The backend did not say in time where messages go.', { executed }),
    );
  }

  named(event: string, data: Buffer): void {
    if (event !== 'endpoint' || this.#state !== 'opening') return;
    const endpoint = locate(data.toString(), this.#options.url);
    if (endpoint === undefined) {
      this.#cut(new BackendFault('protocol', 'The backend names no place for messages at its own origin.'));
      return;
    }
    this.#state = 'open';
    this.#unwatch();
    this.#resolve(endpoint);
  }

  message(message: Message): void {
    if (this.#state === 'open') this.#options.onMessage(message);
    else this.#options.onGarbage();
  }

  garbage(): void {
    this.#options.onGarbage();
  }

  ended(outcome: Outcome): void {
    this.#end(faultOfOutcome(outcome));
  }

  #cut(fault: BackendFault): void {
    this.#end(fault);
    this.#exchange?.abort();
  }

  #end(fault: BackendFault): void {
    const before = this.#leave();
    if (before === 'opening') this.#reject(fault);
    else if (before === 'open') this.#options.onEnd(fault);
  }

  #leave(): 'opening' | 'open' | 'over' {
    const before = this.#state;
    this.#state = 'over';
    if (before === 'opening') this.#unwatch();
    return before;
  }

  #unwatch(): void {
    this.#options.link.deadlines.forget(this);
    this.#options.signal.removeEventListener('abort', this);
  }
}

function faultOfOutcome(outcome: Outcome): BackendFault {
  switch (outcome.kind) {
    case 'failed':
      return outcome.fault;
    case 'refused':
      return faultOfStatus(outcome.refusal, false);
    case 'answered':
      return outcome.as === 'events' ? ended() : noStream();
    case 'accepted':
      return noStream();
  }
}

/**
 * The endpoint must be at the origin that was connected to: the callers'
 * credentials go there, and so would they to whatever origin a backend names.
 */
function locate(written: string, url: URL): string | undefined {
  if (!URL.canParse(written, url.href)) return undefined;
  const { origin, username, password, pathname, search } = new URL(written, url);
  if (origin !== url.origin || username !== '' || password !== '') return undefined;
  return `${pathname}${search}`;
}

function ended(): BackendFault {
  return new BackendFault('interrupted', 'The backend ended the stream of the session.');
}

function noStream(): BackendFault {
  return new BackendFault('protocol', 'The backend opened no stream of events.');
}

function aborted(): BackendFault {
  return new BackendFault('aborted', 'The call was given up.');
}
