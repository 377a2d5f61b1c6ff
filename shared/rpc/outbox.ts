import { lengthOf, type Pieces } from './frame-writer.ts';
import { MESSAGE_BYTES, PIECE_BYTES, STREAM_CEILING_BYTES, WINDOW_BYTES } from './mesh-protocol.ts';

/**
 * One end's way out of a mesh stream. Everything that a turn of the event loop
 * produced leaves as one gRPC message, control frames first, then the exchanges'
 * messages in pieces, round robin, as far as their credit goes.
 *
 * A slow reader costs its own exchange only: what has no credit waits in its lane.
 * A slow transport stops the whole outbox until `resume`; meanwhile nothing is
 * encoded and the next message grows.
 */

/** The fields of a frame's payload that carry a message or its first piece. */
export interface Carrier {
  body?: Pieces | null;
  more?: boolean | null;
}

export interface OutboxPort<F> {
  /** Hands one message to the transport. False: nothing more until `resume`. */
  write(frames: F[]): boolean;
  /** The frame for a later piece of a message. */
  piece(exchange: number, body: Pieces, more: boolean): F;
}

interface Parcel<F> {
  readonly frame: F;
  readonly carrier: Carrier | undefined;
  /** What of its body is unsent, and how long that is. */
  body: Pieces;
  left: number;
  begun: boolean;
  next: Parcel<F> | undefined;
}

/** About what a frame costs beside its body, in bytes. */
const FRAME_OVERHEAD = 64;
/** Heavy control frames (credentials) beyond this leave so many at a time, under the limit of one gRPC message. */
const CONTROL_BYTES = 1024 * 1024;
const CONTROL_FRAMES = 32;

/** One exchange's queue. Both ends derive their exchange from it. */
export class Lane<F> {
  readonly exchange: number;
  /** Bytes that wait here, unsent. */
  waiting = 0;
  /** Bytes sent for which no credit came back yet. */
  uncredited = 0;
  /** When the lane last ran out of credit with something to send, by the caller's clock; 0: it did not. */
  stalledAt = 0;
  /** Whether the first of its frames was handed to the transport. */
  started = false;
  #outbox: Outbox<F> | undefined;
  #first: Parcel<F> | undefined;
  #last: Parcel<F> | undefined;
  /** @internal Links of the outbox's round. */
  nextReady: Lane<F> | undefined;
  /** @internal */
  listed = false;

  constructor(exchange: number, outbox: Outbox<F>) {
    this.exchange = exchange;
    this.#outbox = outbox;
  }

  /** Whether everything given so far has been handed to the transport. */
  get written(): boolean {
    return this.#first === undefined;
  }

  /** Whether it was closed: nothing is sent any more. */
  get shut(): boolean {
    return this.#outbox === undefined;
  }

  /** Queues a frame behind the lane's others; `carrier` is the part of it that takes `body`. The bytes must not change until sent. */
  push(frame: F, carrier?: Carrier, body: Pieces = NOTHING): void {
    const outbox = this.#outbox;
    if (outbox === undefined) return;
    const left = lengthOf(body);
    const parcel: Parcel<F> = { frame, carrier, body, left, begun: false, next: undefined };
    if (this.#last === undefined) {
      this.#first = this.#last = parcel;
      outbox.ready(this);
    } else {
      this.#last = this.#last.next = parcel;
    }
    this.waiting += left;
    outbox.counters.waitingBytes += left;
  }

  /** The reader consumed `bytes`. */
  credit(bytes: number): void {
    this.#outbox?.credited(this, Math.min(bytes, this.uncredited));
  }

  /** Drops what waits and gives the lane's share of the stream back. */
  close(): void {
    const outbox = this.#outbox;
    if (outbox === undefined) return;
    this.#outbox = undefined;
    this.#first = this.#last = undefined;
    outbox.counters.waitingBytes -= this.waiting;
    this.waiting = 0;
    outbox.forget(this);
  }

  /** @internal Moves the next frame into `frames`. Returns what it weighs, 0 when the lane must wait. */
  take(frames: F[], { port, counters }: Outbox<F>, allowance: number): number {
    const parcel = this.#first;
    if (parcel === undefined) return 0;
    const { carrier, left } = parcel;
    if (left === 0) {
      this.started = true;
      frames.push(parcel.frame);
      this.#advance(parcel);
      return FRAME_OVERHEAD;
    }
    const size = Math.min(left, PIECE_BYTES, allowance);
    if (size <= 0) return 0;
    const more = size < left;
    const body = more ? cut(parcel, size) : parcel.body;
    if (parcel.begun || carrier === undefined) {
      frames.push(port.piece(this.exchange, body, more));
    } else {
      carrier.body = body;
      carrier.more = more;
      frames.push(parcel.frame);
    }
    this.started = parcel.begun = true;
    parcel.left -= size;
    this.waiting -= size;
    this.uncredited += size;
    counters.waitingBytes -= size;
    counters.uncreditedBytes += size;
    if (!more) this.#advance(parcel);
    return size + FRAME_OVERHEAD;
  }

  /** Called when the last waiting frame was handed to the transport. */
  protected emptied(): void {}

  #advance(parcel: Parcel<F>): void {
    this.#first = parcel.next;
    if (this.#first !== undefined) return;
    this.#last = undefined;
    this.emptied();
  }
}

/** What tests and metrics read of one direction of a stream. */
export interface OutboxCounters {
  messages: number;
  frames: number;
  /** Bytes of bodies that wait in lanes, unsent. */
  waitingBytes: number;
  /** Bytes of bodies sent and not yet credited, of all open exchanges. */
  uncreditedBytes: number;
  /** How often a lane ran out of credit with something to send. */
  stalls: number;
}

export class Outbox<F> {
  readonly counters: OutboxCounters = {
    messages: 0,
    frames: 0,
    waitingBytes: 0,
    uncreditedBytes: 0,
    stalls: 0,
  };
  /** @internal */
  readonly port: OutboxPort<F>;
  readonly #now: () => number;
  #control: F[] = [];
  #controlBytes = 0;
  #firstReady: Lane<F> | undefined;
  #lastReady: Lane<F> | undefined;
  /** Lanes with credit of their own that the stream's ceiling holds back. */
  readonly #parked = new Set<Lane<F>>();
  #scheduled: NodeJS.Immediate | undefined;
  #blocked = false;
  #stopped = false;
  readonly #flush: () => void;

  constructor(port: OutboxPort<F>, now: () => number = () => performance.now()) {
    this.port = port;
    this.#now = now;
    this.#flush = () => {
      this.#scheduled = undefined;
      this.flush();
    };
  }

  /** Queues a frame that needs no credit; it leaves before any lane's. `bytes`: what it weighs, where that is much. */
  control(frame: F, bytes = 0): void {
    this.#control.push(frame);
    this.#controlBytes += bytes;
    this.#schedule();
  }

  /** Sends what may be sent now, in one message. Without anything, and with `beat`, an empty one. */
  flush(beat = false): void {
    if (this.#blocked || this.#stopped) return;
    const frames = this.#takeControl();
    // What a lane sends may name a credential that still waits: control frames go first, all of them.
    let room = this.#control.length > 0 ? 0 : MESSAGE_BYTES - frames.length * FRAME_OVERHEAD;
    while (room > 0) {
      const lane = this.#shift();
      if (lane === undefined) break;
      room -= this.#serve(lane, frames);
    }
    if (frames.length === 0 && !beat) return;
    this.counters.messages += 1;
    this.counters.frames += frames.length;
    if (!this.port.write(frames)) this.#blocked = true;
    else if (this.#firstReady !== undefined || this.#control.length > 0) this.#schedule();
  }

  /** The transport takes messages again. */
  resume(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    if (this.#firstReady !== undefined || this.#control.length > 0) this.#schedule();
  }

  /** Whether nothing waits but what has no credit. */
  get idle(): boolean {
    return this.#firstReady === undefined && this.#control.length === 0;
  }

  /** The stream is over: nothing is written any more. */
  stop(): void {
    this.#stopped = true;
    clearImmediate(this.#scheduled);
    this.#control = [];
  }

  /** @internal */
  ready(lane: Lane<F>): void {
    lane.stalledAt = 0;
    if (lane.listed) return;
    lane.listed = true;
    lane.nextReady = undefined;
    if (this.#lastReady === undefined) this.#firstReady = lane;
    else this.#lastReady.nextReady = lane;
    this.#lastReady = lane;
    this.#schedule();
  }

  /** @internal */
  credited(lane: Lane<F>, bytes: number): void {
    lane.uncredited -= bytes;
    if (lane.stalledAt !== 0 && bytes > 0) this.ready(lane);
    this.#settle(bytes);
  }

  /** @internal */
  forget(lane: Lane<F>): void {
    this.#parked.delete(lane);
    this.#settle(lane.uncredited);
    lane.uncredited = 0;
  }

  #takeControl(): F[] {
    if (this.#controlBytes > CONTROL_BYTES) {
      const some = this.#control.splice(0, CONTROL_FRAMES);
      if (this.#control.length === 0) this.#controlBytes = 0;
      return some;
    }
    const all = this.#control;
    this.#control = [];
    this.#controlBytes = 0;
    return all;
  }

  #settle(bytes: number): void {
    this.counters.uncreditedBytes -= bytes;
    if (this.#parked.size === 0 || this.counters.uncreditedBytes >= STREAM_CEILING_BYTES) return;
    for (const lane of this.#parked) this.ready(lane);
    this.#parked.clear();
  }

  #serve(lane: Lane<F>, frames: F[]): number {
    const crowded = this.counters.uncreditedBytes >= STREAM_CEILING_BYTES;
    const allowance = (crowded ? PIECE_BYTES : WINDOW_BYTES) - lane.uncredited;
    const weight = lane.take(frames, this, allowance);
    if (lane.written) return weight;
    if (weight > 0) this.ready(lane);
    else this.#hold(lane, crowded);
    return weight;
  }

  #hold(lane: Lane<F>, crowded: boolean): void {
    lane.stalledAt = this.#now();
    this.counters.stalls += 1;
    if (crowded) this.#parked.add(lane);
  }

  #shift(): Lane<F> | undefined {
    const lane = this.#firstReady;
    if (lane === undefined) return undefined;
    this.#firstReady = lane.nextReady;
    if (this.#firstReady === undefined) this.#lastReady = undefined;
    lane.nextReady = undefined;
    lane.listed = false;
    return lane;
  }

  #schedule(): void {
    if (this.#scheduled === undefined && !this.#blocked && !this.#stopped) {
      this.#scheduled = setImmediate(this.#flush);
    }
  }
}

/** Takes the first `size` bytes off a body that is longer. */
function cut(parcel: { body: Pieces }, size: number): Pieces {
  const { body } = parcel;
  let whole = 0;
  let room = size;
  let piece = body[0] as Uint8Array;
  while (piece.length <= room) {
    room -= piece.length;
    piece = body[++whole] as Uint8Array;
  }
  parcel.body = [piece.subarray(room), ...body.slice(whole + 1)];
  return [...body.slice(0, whole), piece.subarray(0, room)];
}

const NOTHING: Pieces = [];
