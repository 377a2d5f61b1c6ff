import { type Dispatcher, Pool } from 'undici';
import { type ConnectorOptions, guardedConnector } from './address-policy.ts';
import type { SlotLimits } from './call-slots.ts';

export interface ConnectionOptions extends ConnectorOptions, SlotLimits {
  /** Streams opened by GET at once. */
  readonly streams: number;
}

const DEFAULTS: ConnectionOptions = {
  concurrency: 64,
  queue: 1024,
  streams: 8192,
  connectTimeoutMs: 5_000,
};

/** A request, or the promise of one that is being signed. */
export type Outgoing = Dispatcher.DispatchOptions | Promise<Dispatcher.DispatchOptions>;

/** What hears of a request, also of one that could not be signed. */
export interface OutgoingHandler extends Dispatcher.DispatchHandler {
  unsent(cause: unknown): void;
}

/** Short messages that must get through while all connections for calls are taken. */
const MESSAGE_CONNECTIONS = 8;

/**
 * The connections to one backend, in three pools: a call may wait for a person,
 * and the answer of that person is itself a message to this backend. If both
 * shared one bounded pool, enough open questions would keep every answer out.
 */
export class Connections {
  readonly #calls: Pool;
  readonly #messages: Pool;
  readonly #streams: Pool;
  readonly limits: ConnectionOptions;
  #openCalls = 0;
  #openStreams = 0;

  constructor(origin: string, options: Partial<ConnectionOptions> = {}) {
    this.limits = { ...DEFAULTS, ...options };
    const { concurrency, streams } = this.limits;
    const connect = guardedConnector(this.limits);
    // Deadlines are ours: undici's would cut a quiet stream.
    const common: Pool.Options = { connect, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 };
    this.#calls = new Pool(origin, { ...common, connections: concurrency });
    this.#messages = new Pool(origin, { ...common, connections: MESSAGE_CONNECTIONS });
    this.#streams = new Pool(origin, { ...common, connections: streams });
  }

  /** Starts a call, to be ended with `callEnded`. False: no more may wait, nothing was started. */
  call(request: Outgoing, handler: OutgoingHandler): boolean {
    if (this.#openCalls >= this.limits.concurrency + this.limits.queue) return false;
    this.#openCalls += 1;
    start(this.#calls, request, handler);
    return true;
  }

  readonly callEnded = (): void => {
    this.#openCalls -= 1;
  };

  message(request: Outgoing, handler: OutgoingHandler): void {
    start(this.#messages, request, handler);
  }

  /** Opens a stream, to be ended with `streamEnded`. False: there are too many, nothing was started. */
  stream(request: Outgoing, handler: OutgoingHandler): boolean {
    if (this.#openStreams >= this.limits.streams) return false;
    this.#openStreams += 1;
    start(this.#streams, request, handler);
    return true;
  }

  readonly streamEnded = (): void => {
    this.#openStreams -= 1;
  };

  /** Ends every connection; what is under way fails. */
  async destroy(): Promise<void> {
    await Promise.all([this.#calls.destroy(), this.#messages.destroy(), this.#streams.destroy()]);
  }
}

function start(pool: Pool, request: Outgoing, handler: OutgoingHandler): void {
  if (!(request instanceof Promise)) pool.dispatch(request, handler);
  else request.then((signed) => pool.dispatch(signed, handler)).catch((cause) => handler.unsent(cause));
}
