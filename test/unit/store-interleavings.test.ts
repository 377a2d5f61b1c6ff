import { expect } from 'chai';
import { MemorySessionStore, SharedMemory } from '../../control-plane/store/memory.ts';
import type { RecordKey } from '../../control-plane/store/session-store.ts';
import { verifies } from '../requirements.ts';
import { newRecord } from '../support/stores.ts';

/** Every order of a handful of concurrent operations that a seed can name. */

const SCHEDULES = 100_000;

/** Mulberry32: small, and the same everywhere. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Holds back every operation until `run`, which lets them go one by one in the seed's order. */
class Schedule {
  readonly #random: (below: number) => number;
  readonly #waiting: (() => void)[] = [];

  constructor(seed: number) {
    this.#random = randomOf(seed);
  }

  readonly join = (): Promise<void> => new Promise((resolve) => this.#waiting.push(resolve));

  async run<T>(work: Promise<T>): Promise<T> {
    let done = false;
    const finished = work.finally(() => {
      done = true;
    });
    while (!done) {
      const [next] = this.#waiting.splice(this.#random(this.#waiting.length), 1);
      next?.();
      // Enough turns for a released operation to reach its next one.
      for (let turn = 0; turn < 8; turn += 1) await undefined;
    }
    return finished;
  }
}

async function scenario(seed: number): Promise<string | undefined> {
  const schedule = new Schedule(seed);
  const shared = new SharedMemory();
  const options = { clock: () => 1_000_000, schedule: schedule.join, shared };
  const [one, two] = [new MemorySessionStore(options), new MemorySessionStore(options)];
  const { key } = newRecord({ key: { principal: 'p', name: 'n' } });
  await schedule.run(one.create(newRecord({ key, body: '0', writeId: 'w0' })));

  let closed = false;
  let successes = 0;
  const faults: string[] = [];
  const add = async (store: MemorySessionStore, name: string) => {
    const record = await store.load(key);
    if (record === null) return;
    const { version, epoch } = record.header;
    const body = String(Number(record.body) + 1);
    const takeover = name === 'taker' ? { takeover: { owner: 'replica-2' } } : {};
    const outcome = await store.update({ key, version, epoch, writeId: name, body, ...takeover });
    if (outcome.kind !== 'ok') return;
    successes += 1;
    if (closed) faults.push(`${name} wrote to a closed session`);
  };
  const touch = async (store: MemorySessionStore) => {
    const outcome = await store.touch(key, 1);
    if (outcome.kind === 'ok' && closed) faults.push('a closed session was touched');
  };
  const close = async () => {
    const body = shared.records.get('p/n')?.body;
    if (!(await two.close(key))) return;
    closed = true;
    if (Number(body) > successes + 1) faults.push('a success was counted twice');
  };
  await schedule.run(
    Promise.all([
      add(one, 'a'),
      add(two, 'b'),
      add(two, 'taker'),
      touch(one),
      touch(two),
      close(),
      append(one, key),
    ]),
  );
  if (!closed) faults.push('the close found nothing');
  if ((await schedule.run(two.load(key))) !== null) faults.push('the session came back');
  if (shared.records.size > 0 || shared.witnesses.size > 0) faults.push('something was left behind');
  return faults.length === 0 ? undefined : `seed ${seed}: ${faults.join(', ')}`;
}

async function append(store: MemorySessionStore, key: RecordKey): Promise<void> {
  const event = { seq: 1, answer: false, data: Buffer.from('x') };
  await store.appendEvents({ key, stream: 'a', epoch: 1, events: [event] });
}

describe('closing, updating, taking over and touching one session at once', () => {
  it(verifies('R20', 'RST-7')('never brings a closed session back, in 100,000 schedules'), async () => {
    const first = Number(process.env['SEED'] ?? 1);
    const count = process.env['SEED'] === undefined ? SCHEDULES : 1;
    for (let seed = first; seed < first + count; seed += 1) {
      expect(await scenario(seed)).to.equal(undefined);
    }
  }).timeout(120_000);
});
