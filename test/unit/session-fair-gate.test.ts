import { expect } from 'chai';
import { FairGate, type GateRules } from '../../control-plane/session/fair-gate.ts';
import { VirtualClock } from '../interleavings/virtual-clock.ts';
import { verifies } from '../requirements.ts';

const RULES: GateRules = { atOnce: 2, perSecond: Number.POSITIVE_INFINITY, queue: 100, waitMs: 1_000 };

/** A gate, and pieces of work that end when they are told to. */
function story(rules: Partial<GateRules> = {}) {
  const clock = new VirtualClock(0);
  const gate = new FairGate({ rules: { ...RULES, ...rules }, clock, refuse: () => new Error('refused') });
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const run = (name: string, signal?: AbortSignal) =>
    gate.run(
      name.slice(0, 1),
      () => {
        begun.push(name);
        return new Promise<string>((resolve) => ends.set(name, () => resolve(name)));
      },
      signal,
    );
  return { clock, gate, begun, run, end: (name: string) => ends.get(name)?.() };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const why = (work: Promise<unknown>) => work.then(String, ({ message }: Error) => message);

describe('a gate for work that comes in herds', () => {
  it(verifies('C8')('lets what there is room for begin in the same turn'), async () => {
    const { gate, begun, run, end } = story();
    const [first] = [run('a1'), run('a2'), run('a3')];
    expect(begun).to.deep.equal(['a1', 'a2']);
    expect(gate.waiting).to.equal(1);
    end('a1');
    expect(await first).to.equal('a1');
    await settled();
    expect(begun).to.deep.equal(['a1', 'a2', 'a3']);
    expect(gate.waiting).to.equal(0);
  });

  it(verifies('C8')('takes turns: a party with much to do holds up nobody else'), async () => {
    const { begun, run, end } = story({ atOnce: 1 });
    const all = ['a1', 'a2', 'a3', 'a4', 'b1', 'c1', 'b2'];
    for (const name of all) void run(name);
    for (const _ of all) {
      end(begun.at(-1) ?? '');
      await settled();
    }
    expect(begun).to.deep.equal(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
  });

  it(verifies('C8')('begins no more in a second than it may, after as many at once'), async () => {
    const { clock, begun, run } = story({ atOnce: 1_000, perSecond: 10, waitMs: 60_000 });
    for (let n = 0; n < 35; n += 1) void run(`a${n}`);
    expect(begun).to.have.lengthOf(10);
    const after: number[] = [];
    for (let second = 0; second < 3; second += 1) {
      for (let tick = 0; tick < 10; tick += 1) {
        clock.advance(100);
        await settled();
      }
      after.push(begun.length);
    }
    expect(after).to.deep.equal([20, 30, 35]);
  });

  it(verifies('C8')('refuses whom it cannot take in time, and whom it cannot keep'), async () => {
    const { clock, gate, run, end, begun } = story({ atOnce: 1, queue: 2 });
    void run('a1');
    const waiting = [run('a2'), run('b1')].map(why);
    expect(await why(run('c1'))).to.equal('refused');
    clock.advance(1_000);
    expect(await Promise.all(waiting)).to.deep.equal(['refused', 'refused']);
    expect(gate.waiting).to.equal(0);
    end('a1');
    await settled();
    void run('d1');
    expect(begun).to.deep.equal(['a1', 'd1']);
  });

  it(verifies('C8')('has room for another party where one has filled it'), async () => {
    const { gate, run, end, begun } = story({ atOnce: 1, queue: 4 });
    void run('a1');
    const all = ['a2', 'a3', 'a4', 'a5', 'b1', 'c1'].map((name) => run(name));
    expect(await Promise.all(all.slice(2, 4).map(why)), 'the last of those that were many').to.deep.equal([
      'refused',
      'refused',
    ]);
    expect(await why(run('a6')), 'one of them makes no room for itself').to.equal('refused');
    expect(await why(run('b2')), 'nor one of a party that has as many').to.equal('refused');
    expect(gate.waiting).to.equal(4);
    for (const name of ['a1', 'a2', 'b1', 'c1', 'a3']) {
      end(name);
      await settled();
    }
    expect(begun).to.deep.equal(['a1', 'a2', 'b1', 'c1', 'a3']);
    expect(gate.waiting).to.equal(0);
  });

  it('does not wait for whoever has left before', async () => {
    const { gate, run } = story({ atOnce: 1 });
    void run('a1');
    expect(await why(run('b1', AbortSignal.abort(new Error('left'))))).to.equal('left');
    expect(gate.waiting).to.equal(0);
  });

  it('forgets whoever gives up while it waits, and goes on after work that fails', async () => {
    const { gate, run, begun } = story({ atOnce: 1 });
    const failing = gate.run('x', () => Promise.reject(new Error('broke')));
    const abort = new AbortController();
    const given = why(run('a1', abort.signal));
    abort.abort(new Error('left'));
    expect(await given).to.equal('left');
    expect(await why(failing)).to.equal('broke');
    void run('b1');
    expect(begun).to.deep.equal(['b1']);
  });
});
