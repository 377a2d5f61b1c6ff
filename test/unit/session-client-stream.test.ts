import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import type { ReplySink } from '../../control-plane/rpc/exchange.ts';
import { ClientStream } from '../../control-plane/session/client-stream.ts';
import { EventLog, parseEventId } from '../../control-plane/session/event-log.ts';
import { owedRequests, replay } from '../../control-plane/session/stream-replay.ts';
import { MemorySessionStore } from '../../control-plane/store/memory.ts';
import { RECORD_SCHEMA } from '../../control-plane/store/session-store.ts';
import { MeshError } from '../../shared/errors.ts';
import { verifies } from '../requirements.ts';

const KEY = { principal: 'principal', name: 'record' };
const ID = 'c1-1';
const NEVER = 1_000_000;

/** What one exchange of the client got. */
class Reader implements ReplySink {
  closed = false;
  /** False: it does not take more for now. */
  ready = true;
  streaming = false;
  readonly events: { readonly data: string; readonly id: string | undefined; readonly retryMs?: number }[] =
    [];
  answer: string | undefined;
  failure: MeshError | undefined;
  retryMs: number | undefined;

  json(pieces: readonly Uint8Array[]): void {
    if (this.closed) return;
    this.answer = Buffer.concat(pieces).toString();
    this.closed = true;
  }
  accepted(): void {
    this.closed = true;
  }
  stream(): void {
    this.streaming = true;
  }
  event(pieces: readonly Uint8Array[], id?: string, retryMs?: number): boolean {
    if (this.closed) return true;
    const data = Buffer.concat(pieces).toString();
    this.events.push({ data, id, ...(retryMs === undefined ? {} : { retryMs }) });
    return this.ready;
  }
  end(retryMs?: number): void {
    if (this.closed) return;
    this.retryMs = retryMs;
    this.closed = true;
  }
  fail(error: MeshError): void {
    if (this.closed) return;
    this.failure = error;
    this.closed = true;
  }

  get data(): string[] {
    return this.events.filter(({ data }) => data !== '').map(({ data }) => data);
  }
  get ids(): (string | undefined)[] {
    return this.events.map(({ id }) => id);
  }
}

interface Setting {
  readonly owes?: number;
  readonly priming?: boolean;
  /** Decides when the store answers. */
  readonly schedule?: (operation: string) => Promise<void>;
  /** By the number of the append. */
  readonly refused?: readonly boolean[];
}

async function setUp({ owes = 1, priming = true, schedule, refused = [] }: Setting = {}) {
  let founded = false;
  const store = new MemorySessionStore({
    clock: () => 0,
    schedule: (operation) => (founded && schedule !== undefined ? schedule(operation) : Promise.resolve()),
  });
  await store.create({
    key: KEY,
    owner: 'replica',
    idleTtlMs: NEVER,
    absoluteTtlMs: NEVER,
    schema: RECORD_SCHEMA,
    keyId: 'k',
    summary: '',
    body: '',
    witness: { id: 'witness', binding: 'binding' },
    writeId: 'write',
  });
  founded = true;
  const append = store.appendEvents.bind(store);
  let appends = 0;
  store.appendEvents = async (events) => {
    appends += 1;
    const refuse = refused[appends - 1] === true;
    if (!refuse) {
      const outcome = await append(events);
      // Others may read what is stored before the one who stored it knows.
      if (founded) await schedule?.('stored');
      return outcome;
    }
    await schedule?.('refusal');
    throw new MeshError('store_unavailable', 'not now');
  };
  const log = new EventLog({
    store,
    key: KEY,
    keys: [randomBytes(32)],
    epoch: () => 1,
    onFenced: () => {},
  });
  const reader = new Reader();
  const done: ClientStream[] = [];
  const stream = new ClientStream(reader, {
    id: ID,
    epoch: 1,
    log,
    owes,
    requestIds: Array.from({ length: owes }, (_, index) => String(index + 1)),
    priming,
    onDone: (ended) => done.push(ended),
  });
  return { stream, reader, log, done };
}

const bytes = (text: string) => [Buffer.from(text)];
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('what an exchange hears', () => {
  it(verifies('HTTP-15')('a quick answer is JSON, and nothing of it is kept'), async () => {
    const { stream, reader, log, done } = await setUp();
    stream.answer(bytes('answer'));
    expect(reader.answer).to.equal('answer');
    expect([reader.streaming, stream.done, done.length]).to.deep.equal([false, true, 1]);
    expect(await log.read(ID)).to.deep.equal([]);
  });

  it(
    verifies(
      'HTTP-15',
      'HTTP-17',
    )('what precedes the answer makes it a stream, which begins with an empty event and an id'),
    async () => {
      const { stream, reader, done } = await setUp();
      stream.message(bytes('progress'));
      stream.answer(bytes('answer'));
      await settled();
      expect(reader.events).to.deep.equal([
        { data: '', id: 'c1-1.1.1', retryMs: 1_000 },
        { data: 'progress', id: 'c1-1.1.2' },
        { data: 'answer', id: 'c1-1.1.3' },
      ]);
      expect([reader.streaming, reader.closed, done.length]).to.deep.equal([true, true, 1]);
    },
  );

  it(verifies('HTTP-17')('clients of before 2025-11-25 get no empty event'), async () => {
    const { stream, reader } = await setUp({ priming: false });
    stream.message(bytes('progress'));
    stream.answer(bytes('answer'));
    await settled();
    expect(reader.data).to.deep.equal(['progress', 'answer']);
    expect(reader.events).to.have.lengthOf(2);
    expect(reader.ids).to.deep.equal(['c1-1.1.2', 'c1-1.1.3']);
  });

  it(verifies('RST-9')('what the store does not take goes out without an id'), async () => {
    const { stream, reader } = await setUp({ refused: [true, true, true] });
    stream.message(bytes('progress'));
    await settled();
    stream.answer(bytes('answer'));
    await settled();
    expect(reader.events).to.deep.equal([
      { data: 'progress', id: undefined },
      { data: 'answer', id: undefined },
    ]);
    expect(reader.closed).to.equal(true);
  });

  it('a refusal of the edge is a status as long as nothing was sent, and an answer afterwards', async () => {
    const error = new MeshError('store_unavailable', 'not now');
    const early = await setUp();
    early.stream.refuse(error, bytes('refusal'));
    expect(early.reader.failure).to.equal(error);
    const late = await setUp();
    late.stream.message(bytes('progress'));
    late.stream.refuse(error, bytes('refusal'));
    await settled();
    expect(late.reader.data).to.deep.equal(['progress', 'refusal']);
  });

  it(
    verifies('RPC-5')(
      'a cancelled request ends its stream without an answer, and leaves those beside it theirs',
    ),
    async () => {
      const alone = await setUp();
      alone.stream.forgo();
      await settled();
      expect([alone.reader.data, alone.reader.closed, alone.done.length]).to.deep.equal([[], true, 1]);
      const beside = await setUp({ owes: 2 });
      beside.stream.answer(bytes('one'));
      beside.stream.forgo();
      await settled();
      expect([beside.reader.data, beside.reader.closed, beside.done.length]).to.deep.equal([
        ['one'],
        true,
        1,
      ]);
    },
  );

  it(
    verifies('HTTP-19')(
      'a backend that closes to be polled closes the reader too, and the answer waits in the log',
    ),
    async () => {
      const { stream, reader, log, done } = await setUp();
      stream.poll(250);
      await settled();
      expect(reader.events).to.deep.equal([{ data: '', id: 'c1-1.1.1', retryMs: 250 }]);
      expect([reader.closed, reader.retryMs, done.length]).to.deep.equal([true, 250, 0]);
      stream.answer(bytes('answer'));
      await settled();
      expect(done).to.have.length(1);
      const again = new Reader();
      replay(again, { id: ID, epoch: 1, after: 1, events: await log.read(ID) });
      expect(again.data).to.deep.equal(['answer']);
    },
  );

  it('a reader that could not come back is not sent away to poll', async () => {
    for (const setting of [{ priming: false }, { refused: [true] }]) {
      const { stream, reader } = await setUp(setting);
      stream.poll(250);
      await settled();
      expect(reader.closed).to.equal(false);
      stream.answer(bytes('answer'));
      await settled();
      expect(reader.data).to.deep.equal(['answer']);
    }
  });

  it(
    verifies(
      'H23',
      'RPC-15',
    )('a slow reader loses notifications, never the answer, and nothing grows without bound'),
    async () => {
      const { stream, reader } = await setUp();
      reader.ready = false;
      const large = 'x'.repeat(300_000);
      const taken = Array.from({ length: 20 }, () => stream.message(bytes(large)));
      expect(taken.filter((one) => one)).to.have.length(4);
      expect(stream.dropped).to.equal(16);
      stream.answer(bytes('answer'));
      await settled();
      expect(reader.data).to.deep.equal([]);
      reader.ready = true;
      stream.drained();
      await settled();
      expect(reader.data).to.have.length(5);
      expect([reader.data.at(-1), reader.closed]).to.deep.equal(['answer', true]);
    },
  );

  it(verifies('HTTP-18')('whoever resumes gets the rest; an older reader of the stream ends'), async () => {
    const { stream, reader } = await setUp();
    stream.message(bytes('one'));
    stream.message(bytes('two'));
    await settled();
    const second = new Reader();
    await stream.attach(second, 2);
    expect([reader.closed, second.data]).to.deep.equal([true, ['two']]);
    stream.answer(bytes('answer'));
    await settled();
    expect([second.data, second.closed]).to.deep.equal([['two', 'answer'], true]);
    expect(reader.data).to.deep.equal(['one', 'two']);
  });

  it(verifies('HTTP-18')('of two that resume at once the later one reads'), async () => {
    const { stream } = await setUp();
    stream.message(bytes('one'));
    await settled();
    const [second, third] = [new Reader(), new Reader()];
    await Promise.all([stream.attach(second, 1), stream.attach(third, 1)]);
    stream.answer(bytes('answer'));
    await settled();
    expect([second.closed, second.data]).to.deep.equal([true, []]);
    expect([third.closed, third.data]).to.deep.equal([true, ['one', 'answer']]);
  });

  it(
    verifies('HTTP-18')('what was stored a moment ago comes once to who resumes before that is known'),
    async () => {
      let known = () => {};
      const told = new Promise<void>((resolve) => {
        known = resolve;
      });
      let answering = false;
      const { stream, reader } = await setUp({
        schedule: (what) => (answering && what === 'stored' ? told : Promise.resolve()),
      });
      stream.message(bytes('one'));
      await settled();
      reader.closed = true;
      stream.detach();
      answering = true;
      stream.answer(bytes('answer'));
      await settled();
      const second = new Reader();
      await stream.attach(second, 1);
      expect(second.data).to.deep.equal(['one', 'answer']);
      known();
      await settled();
      expect(second.data).to.deep.equal(['one', 'answer']);
      expect([second.closed, stream.done]).to.deep.equal([true, true]);
    },
  );

  it(verifies('HTTP-18')('what the buffer no longer has is said'), async () => {
    const { stream, reader, log } = await setUp();
    for (let i = 0; i < 300; i += 1) stream.message(bytes(`message ${i}`));
    await settled();
    reader.closed = true;
    stream.detach();
    stream.answer(bytes('answer'));
    await settled();
    const again = new Reader();
    replay(again, { id: ID, epoch: 1, after: 1, events: await log.read(ID) });
    expect(again.data[0]).to.match(/\d+ earlier message\(s\) of this stream are no longer kept/);
    expect(again.data.at(-1)).to.equal('answer');
  });

  it(verifies('RST-11')('another replica knows which answers a stored stream still owes'), async () => {
    const { stream, log } = await setUp();
    stream.message(bytes('progress'));
    await settled();
    expect(owedRequests(await log.read(ID))).to.deep.equal(['1']);
    stream.answer(bytes('answer'));
    await settled();
    expect(owedRequests(await log.read(ID))).to.deep.equal([]);
  });

  it(verifies('RST-11', 'HTTP-6')('and of an array’s requests, which of them are answered'), async () => {
    const { stream, log } = await setUp({ owes: 3, priming: false });
    stream.answer(bytes('{"jsonrpc":"2.0","id":2,"result":{"id":1}}'));
    await settled();
    expect(owedRequests(await log.read(ID))).to.deep.equal(['1', '3']);
  });

  it('a session that moves away is said to whoever reads or is about to', async () => {
    const error = new MeshError('outcome_unknown', 'moved');
    const { stream, reader } = await setUp();
    stream.message(bytes('progress'));
    await settled();
    const second = new Reader();
    const attached = stream.attach(second, 1);
    stream.abandon(error, bytes('lost'));
    await attached;
    expect([reader.closed, second.failure, stream.done]).to.deep.equal([true, error, true]);
  });
});

/** A client of one call: it loses its connection and comes back, and at last waits for the answer. */
class Client {
  readonly #stream: ClientStream;
  readonly #log: EventLog;
  readonly #readers: Reader[];

  constructor({ stream, log, reader }: { stream: ClientStream; log: EventLog; reader: Reader }) {
    this.#stream = stream;
    this.#log = log;
    this.#readers = [reader];
  }

  get #reader(): Reader {
    const reader = this.#readers.at(-1);
    if (reader === undefined) throw new Error('it always has one');
    return reader;
  }

  get heard(): string[] {
    return this.#readers.flatMap(({ data }) => data).filter((data) => !data.includes('no longer kept'));
  }

  leave(): void {
    if (this.#reader.closed) return;
    this.#reader.closed = true;
    this.#stream.detach();
  }

  stall(): void {
    this.#reader.ready = false;
  }

  catchUp(): void {
    this.#reader.ready = true;
    if (!this.#reader.closed) this.#stream.drained();
  }

  async resume(): Promise<void> {
    const seen = this.#readers.flatMap(({ ids }) => ids).filter((id) => id !== undefined);
    const last = parseEventId(seen.at(-1) ?? '');
    if (last === undefined) return;
    this.#reader.closed = true;
    const reader = new Reader();
    this.#readers.push(reader);
    if (!this.#stream.done) return this.#stream.attach(reader, last.seq);
    const events = await this.#log.read(ID);
    replay(reader, { id: ID, epoch: 1, after: last.seq, events });
    reader.end();
  }
}

describe('a client that comes and goes', () => {
  const client = fc.array(
    fc.constantFrom('leave' as const, 'resume' as const, 'stall' as const, 'catchUp' as const),
    {
      maxLength: 8,
    },
  );

  async function tell(
    refused: readonly boolean[],
    moves: readonly (keyof Client & string)[],
    schedule: fc.Scheduler,
  ) {
    const point = (what: string) => schedule.schedule(Promise.resolve(), what);
    let primed = false;
    const made = await setUp({
      refused: [false, ...refused],
      schedule: (what) => (primed ? point(what) : Promise.resolve()),
    });
    made.stream.start();
    await settled();
    primed = true;
    const reader = new Client(made);
    const said = ['one', 'two', 'three', 'answer'];
    const speak = async () => {
      for (const text of said) {
        await point(text);
        if (text === 'answer') made.stream.answer(bytes(text));
        else made.stream.message(bytes(text));
      }
    };
    const pending: (Promise<void> | undefined)[] = [];
    const listen = async () => {
      for (const move of moves) {
        await point(move);
        if (move === 'resume') pending.push(reader.resume());
        else if (move !== 'heard') reader[move]();
      }
    };
    const all = Promise.all([speak(), listen()]);
    for (await settled(); schedule.count() > 0; await settled()) await schedule.waitOne();
    await all;
    await Promise.all(pending);
    reader.catchUp();
    primed = false;
    if (!reader.heard.includes('answer')) await reader.resume();
    await settled();
    return { heard: reader.heard, said, done: made.done.length };
  }

  it(verifies('HTTP-18', 'HTTP-19')('gets everything once and in order, wherever it was cut'), async () => {
    await fc.assert(
      fc.asyncProperty(client, fc.scheduler(), async (moves, schedule) => {
        const { heard, said, done } = await tell([], moves, schedule);
        expect(heard).to.deep.equal(said);
        expect(done).to.equal(1);
      }),
      { numRuns: 1_000 },
    );
  });

  it(verifies('HTTP-18')('also when the store does not take every event'), async () => {
    const refused = fc.array(fc.boolean(), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(refused, client, fc.scheduler(), async (refusals, moves, schedule) => {
        const { heard, said, done } = await tell(refusals, moves, schedule);
        expect(heard).to.deep.equal(said);
        expect(done).to.equal(1);
      }),
      { numRuns: 1_000 },
    );
  });
});
