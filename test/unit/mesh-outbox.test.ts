import { expect } from 'chai';
import fc from 'fast-check';
import { lengthOf, type Pieces } from '../../shared/rpc/frame-writer.ts';
import { Inflow, MessageTooLong, type Reader, WindowExceeded } from '../../shared/rpc/inflow.ts';
import { PIECE_BYTES, STREAM_CEILING_BYTES, WINDOW_BYTES } from '../../shared/rpc/mesh-protocol.ts';
import { Lane, Outbox } from '../../shared/rpc/outbox.ts';

/** A frame as both directions have it: an exchange, a piece, whether more follows. */
interface Frame {
  exchange: number;
  body?: Pieces | null;
  more?: boolean | null;
  control?: true;
}

function start(exchange: number): Frame {
  return { exchange };
}

/** Every exchange's messages are it from another byte on. */
const PATTERN = Buffer.alloc(
  3 * WINDOW_BYTES,
  Uint8Array.from({ length: 251 }, (_, index) => index),
);

/** An outbox whose transport the test plays. */
class Wire {
  readonly messages: Frame[][] = [];
  open = true;
  readonly outbox: Outbox<Frame> = new Outbox<Frame>({
    write: (frames) => {
      this.messages.push(frames);
      return this.open;
    },
    piece: (exchange, body, more) => ({ exchange, body, more }),
  });

  get frames(): Frame[] {
    return this.messages.flat();
  }

  lane(exchange: number): Lane<Frame> {
    return new Lane<Frame>(exchange, this.outbox);
  }

  /** A message of so many bytes, cut at these parts of it. */
  push(lane: Lane<Frame>, bytes: number, cuts: readonly number[] = []): void {
    const frame = start(lane.exchange);
    const message = PATTERN.subarray(lane.exchange, lane.exchange + bytes);
    const ends = [...cuts.map((part) => Math.floor(part * bytes)).sort((a, b) => a - b), bytes];
    lane.push(
      frame,
      frame,
      ends.map((end, index) => message.subarray(ends[index - 1] ?? 0, end)),
    );
  }

  sent(exchange: number): number {
    return this.frames
      .filter((frame) => frame.exchange === exchange)
      .reduce((sum, { body }) => sum + lengthOf(body ?? []), 0);
  }

  /** Flushes until nothing moves. */
  settle(): void {
    for (let before = -1; before !== this.messages.length; ) {
      before = this.messages.length;
      this.outbox.flush();
    }
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('the outbox', () => {
  it('sends everything of one turn as one message, control frames first', async () => {
    const wire = new Wire();
    wire.push(wire.lane(1), 10);
    wire.push(wire.lane(2), 10);
    wire.outbox.control({ exchange: 0, control: true });
    await turn();
    expect(wire.messages).to.have.length(1);
    expect(wire.frames.map(({ exchange }) => exchange)).to.deep.equal([0, 1, 2]);
  });

  it('cuts a long message into pieces of 32 KiB and serves the others between them', () => {
    const wire = new Wire();
    wire.push(wire.lane(1), 3 * PIECE_BYTES + 1);
    wire.push(wire.lane(2), 100);
    wire.settle();
    expect(
      wire.frames.map(({ exchange, body, more }) => [exchange, lengthOf(body ?? []), more]),
    ).to.deep.equal([
      [1, PIECE_BYTES, true],
      [2, 100, false],
      [1, PIECE_BYTES, true],
      [1, PIECE_BYTES, true],
      [1, 1, false],
    ]);
  });

  it('keeps what has no credit, and nothing of anybody else', () => {
    const wire = new Wire();
    const stalled = wire.lane(1);
    wire.push(stalled, WINDOW_BYTES * 2);
    wire.settle();
    expect(wire.sent(1)).to.equal(WINDOW_BYTES);
    expect(stalled.stalledAt).to.be.greaterThan(0);
    expect(wire.outbox.counters.stalls).to.equal(1);
    wire.push(wire.lane(2), 1000);
    wire.settle();
    expect(wire.sent(2)).to.equal(1000);
    stalled.credit(PIECE_BYTES);
    wire.settle();
    expect(wire.sent(1)).to.equal(WINDOW_BYTES + PIECE_BYTES);
  });

  it('ignores credit that nobody owed', () => {
    const wire = new Wire();
    const lane = wire.lane(1);
    lane.credit(1_000_000);
    wire.push(lane, WINDOW_BYTES * 2);
    wire.settle();
    expect(wire.sent(1)).to.equal(WINDOW_BYTES);
  });

  it('leaves each of a crowd of stalled readers one piece, and stops nobody', () => {
    const wire = new Wire();
    const crowd = STREAM_CEILING_BYTES / WINDOW_BYTES;
    const lanes = Array.from({ length: crowd }, (_, index) => wire.lane(index + 1));
    for (const lane of lanes) wire.push(lane, WINDOW_BYTES * 2);
    wire.settle();
    expect(wire.outbox.counters.uncreditedBytes).to.equal(STREAM_CEILING_BYTES);
    const late = wire.lane(crowd + 1);
    wire.push(late, WINDOW_BYTES);
    wire.settle();
    expect(wire.sent(crowd + 1)).to.equal(PIECE_BYTES);
    late.credit(PIECE_BYTES);
    wire.settle();
    expect(wire.sent(crowd + 1)).to.equal(2 * PIECE_BYTES);
    for (const lane of lanes) lane.close();
    wire.settle();
    expect(wire.sent(crowd + 1)).to.equal(WINDOW_BYTES);
  });

  it('writes nothing while the transport is full, and one grown message afterwards', async () => {
    const wire = new Wire();
    wire.open = false;
    wire.outbox.control({ exchange: 0 });
    await turn();
    for (let exchange = 1; exchange <= 5; exchange += 1) wire.push(wire.lane(exchange), 10);
    await turn();
    expect(wire.messages).to.have.length(1);
    wire.open = true;
    wire.outbox.resume();
    await turn();
    expect(wire.messages).to.have.length(2);
    expect(wire.messages[1]).to.have.length(5);
  });

  it('sends heavy control frames over several messages', () => {
    const wire = new Wire();
    for (let index = 0; index < 200; index += 1) wire.outbox.control({ exchange: index }, 16 * 1024);
    wire.settle();
    expect(wire.frames).to.have.length(200);
    expect(Math.max(...wire.messages.map(({ length }) => length))).to.be.at.most(200 / 2);
  });

  it('drops what waits when its lane closes, and counts nothing for it any more', () => {
    const wire = new Wire();
    const lane = wire.lane(1);
    wire.push(lane, WINDOW_BYTES * 2);
    wire.settle();
    lane.close();
    lane.push(start(1));
    wire.settle();
    expect(wire.sent(1)).to.equal(WINDOW_BYTES);
    expect(wire.outbox.counters).to.include({ waitingBytes: 0, uncreditedBytes: 0 });
  });

  it('delivers every message whole and in its exchange’s order, never beyond the window, under any schedule', () => {
    const act = fc.oneof(
      fc.record({
        do: fc.constant('push' as const),
        lane: fc.integer({ min: 0, max: 4 }),
        bytes: fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: 400_000 })),
        cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
      }),
      fc.record({
        do: fc.constant('credit' as const),
        lane: fc.integer({ min: 0, max: 4 }),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      fc.record({ do: fc.constant('flush' as const) }),
      fc.record({ do: fc.constant('block' as const) }),
      fc.record({ do: fc.constant('resume' as const) }),
    );
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (schedule) => {
        const wire = new Wire();
        const lanes = [1, 2, 3, 4, 5].map((exchange) => wire.lane(exchange));
        const expected = new Map<number, number[]>(lanes.map(({ exchange }) => [exchange, []]));
        for (const step of schedule) {
          if (step.do === 'push') {
            const lane = lanes[step.lane]!;
            wire.push(lane, step.bytes, step.cuts);
            expected.get(lane.exchange)!.push(step.bytes);
          } else if (step.do === 'credit') {
            const lane = lanes[step.lane]!;
            lane.credit(Math.floor(lane.uncredited * step.share));
          } else if (step.do === 'flush') wire.outbox.flush();
          else if (step.do === 'block') wire.open = false;
          else {
            wire.open = true;
            wire.outbox.resume();
          }
          for (const lane of lanes) expect(lane.uncredited).to.be.at.most(WINDOW_BYTES);
        }
        wire.open = true;
        wire.outbox.resume();
        while (lanes.some((lane) => !lane.written)) {
          wire.settle();
          for (const lane of lanes) lane.credit(lane.uncredited);
        }
        wire.outbox.stop();
        for (const { exchange } of lanes)
          expect(received(wire, exchange)).to.deep.equal(expected.get(exchange));
        expect(wire.outbox.counters.waitingBytes).to.equal(0);
        for (const { body } of wire.frames) expect(lengthOf(body ?? [])).to.be.at.most(PIECE_BYTES);
      }),
      { numRuns: 150 },
    );
  });
});

/** The lengths of the messages as a reader puts them together; checks that each is its exchange's, byte for byte. */
function received(wire: Wire, exchange: number): number[] {
  const lengths: number[] = [];
  let length = 0;
  for (const { body, more, exchange: owner } of wire.frames) {
    if (owner !== exchange) continue;
    for (const piece of body ?? []) {
      const start = exchange + length;
      if (!PATTERN.subarray(start, start + piece.length).equals(piece))
        throw new Error('other bytes were sent');
      length += piece.length;
    }
    if (more) continue;
    lengths.push(length);
    length = 0;
  }
  return lengths;
}

function reader(exchange: number): Reader {
  return { exchange, owed: 0, pieces: undefined, assembled: 0, paused: false };
}

describe('the inflow', () => {
  const credits: [number, number][] = [];
  const make = (maxMessageBytes = 1_000_000, holdBytes = 10_000_000) => {
    credits.length = 0;
    return new Inflow({
      maxMessageBytes,
      holdBytes,
      credit: (exchange, bytes) => void credits.push([exchange, bytes]),
    });
  };
  const piece = Buffer.alloc(PIECE_BYTES);

  it('puts pieces together and gives credit back as they come', () => {
    const inflow = make();
    const one = reader(1);
    expect(inflow.take(one, piece, true)).to.equal(undefined);
    expect(inflow.held).to.equal(PIECE_BYTES);
    expect(inflow.take(one, Buffer.from('end'), false)).to.have.length(2);
    expect(inflow.held).to.equal(0);
    expect(credits).to.deep.equal([[1, PIECE_BYTES]]);
  });

  it('gives none while the consumer holds, and all of it afterwards', () => {
    const inflow = make();
    const one = reader(1);
    one.paused = true;
    inflow.take(one, piece, false);
    inflow.settle(one);
    inflow.take(one, piece, false);
    inflow.settle(one);
    expect(credits).to.deep.equal([]);
    one.paused = false;
    inflow.settle(one);
    expect(credits).to.deep.equal([[1, 2 * PIECE_BYTES]]);
  });

  it('refuses bytes beyond the window, and messages beyond the limit', () => {
    const inflow = make(3 * PIECE_BYTES);
    const greedy = reader(1);
    greedy.paused = true;
    for (let sent = 0; sent < WINDOW_BYTES; sent += PIECE_BYTES) inflow.take(greedy, piece, false);
    expect(() => inflow.take(greedy, Buffer.from('x'), false)).to.throw(WindowExceeded);
    const long = reader(2);
    for (let sent = 0; sent < 3; sent += 1) inflow.take(long, piece, true);
    expect(() => inflow.take(long, Buffer.from('x'), false)).to.throw(MessageTooLong);
  });

  it('lets unfinished messages finish one after the other when they hold too much', () => {
    const inflow = make(1_000_000, PIECE_BYTES);
    const [first, second] = [reader(1), reader(2)];
    inflow.take(first, piece, true);
    inflow.take(second, piece, true);
    inflow.take(first, piece, true);
    expect(credits).to.deep.equal([
      [1, PIECE_BYTES],
      [1, PIECE_BYTES],
    ]);
    inflow.take(first, piece, false);
    expect(credits.at(-1)).to.deep.equal([2, PIECE_BYTES]);
  });
});
