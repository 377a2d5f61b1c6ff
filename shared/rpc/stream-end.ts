import { ChurningMap } from '../churning.ts';
import type { Pieces } from './frame-writer.ts';
import { Inflow, type Reader } from './inflow.ts';
import { MAX_UNWRITTEN } from './mesh-protocol.ts';
import { Outbox, type OutboxCounters } from './outbox.ts';
import { Pulse, type PulseTimes } from './pulse.ts';

/**
 * What both ends of a mesh stream have in common: the exchanges that are open, the
 * way out and in, the heartbeat, and an end that waits for the last frame.
 */

/** The part of a grpc-js call that writes. After a cancel it calls nothing back: whoever hears of that calls `halt`. */
export interface WritableCall<F> {
  write(message: { frames: F[] }, written: () => void): unknown;
}

export interface StreamEndOptions<F, E> {
  readonly call: WritableCall<F>;
  readonly pulse: PulseTimes;
  /** The longest message that is taken, in bytes. */
  readonly maxMessageBytes: number;
  /** What unfinished messages may hold before their credit is kept back, in bytes. */
  readonly holdBytes: number;
  /** The frame for a later piece of a message. */
  piece(exchange: number, body: Pieces, more: boolean): F;
  /** The frame that gives credit back. */
  credit(exchange: number, bytes: number): F;
  /** The peer fell silent while an exchange was open. */
  silent(): void;
  /** For each open exchange, a few times a second; `now` is monotonic, in milliseconds. */
  tick(exchange: E, now: number): void;
  /** After `leave`: nothing is open any more, and everything was handed to the transport. Once. */
  done(): void;
}

/** What tests and metrics read of one end of a stream. */
export interface StreamCounters {
  readonly out: Readonly<OutboxCounters>;
  readonly messagesIn: number;
  readonly framesIn: number;
  /** Frames for exchanges that were over or were not taken. */
  readonly late: number;
  /** Bytes of unfinished messages that came in. */
  readonly heldBytes: number;
  readonly exchanges: number;
  readonly credentials: number;
}

export class StreamEnd<F, E extends Reader> {
  readonly outbox: Outbox<F>;
  readonly inflow: Inflow;
  readonly exchanges = new ChurningMap<number, E>();
  late = 0;
  readonly #options: StreamEndOptions<F, E>;
  readonly #pulse: Pulse;
  #ending: NodeJS.Immediate | undefined;
  #state: 'open' | 'leaving' | 'over' = 'open';
  #unwritten = 0;
  #messagesIn = 0;
  #framesIn = 0;

  constructor(options: StreamEndOptions<F, E>) {
    this.#options = options;
    this.outbox = new Outbox<F>({ write: (frames) => this.#write(frames), piece: options.piece });
    this.inflow = new Inflow({
      maxMessageBytes: options.maxMessageBytes,
      holdBytes: options.holdBytes,
      credit: (exchange, bytes) => this.outbox.control(options.credit(exchange, bytes)),
    });
    this.#pulse = new Pulse({
      ...options.pulse,
      beat: () => this.outbox.flush(true),
      silent: () => options.silent(),
      busy: () => this.exchanges.size > 0,
      tick: (now) => {
        for (const exchange of this.exchanges.values()) options.tick(exchange, now);
      },
    });
  }

  counters(credentials: number): StreamCounters {
    return {
      out: this.outbox.counters,
      messagesIn: this.#messagesIn,
      framesIn: this.#framesIn,
      late: this.late,
      heldBytes: this.inflow.held,
      exchanges: this.exchanges.size,
      credentials,
    };
  }

  /** A message with so many frames came. */
  heard(frames: number): void {
    this.#pulse.heard();
    this.#messagesIn += 1;
    this.#framesIn += frames;
  }

  add(exchange: E): void {
    this.exchanges.set(exchange.exchange, exchange);
    this.#pulse.start();
  }

  /** The open exchange of this id. A frame for another one is late. */
  find(id: number): E | undefined {
    const exchange = this.exchanges.get(id);
    if (exchange === undefined) this.late += 1;
    return exchange;
  }

  remove(exchange: E): void {
    this.inflow.release(exchange);
    this.exchanges.delete(exchange.exchange);
    if (this.#state === 'leaving') this.#endWhenDone();
  }

  /** Nothing new is opened: `done` follows the last exchange. */
  leave(): void {
    if (this.#state !== 'open') return;
    this.#state = 'leaving';
    this.#endWhenDone();
  }

  /** The call is over: nothing is written any more. */
  halt(): void {
    this.#state = 'over';
    this.#pulse.stop();
    this.outbox.stop();
    clearImmediate(this.#ending);
  }

  #endWhenDone(): void {
    if (this.exchanges.size > 0 || this.#ending !== undefined) return;
    this.#ending = setImmediate(() => {
      this.#ending = undefined;
      if (this.#state !== 'leaving' || this.exchanges.size > 0) return;
      this.outbox.flush();
      // Otherwise something is being written, and its callback comes back here.
      if (!this.outbox.idle) return;
      this.#state = 'over';
      this.#options.done();
    });
  }

  #write(frames: F[]): boolean {
    this.#pulse.spoke();
    this.#unwritten += 1;
    this.#options.call.write({ frames }, this.#written);
    return this.#unwritten < MAX_UNWRITTEN;
  }

  readonly #written = (): void => {
    this.#unwritten -= 1;
    this.outbox.resume();
    if (this.#state === 'leaving') this.#endWhenDone();
  };
}
