import { expect } from 'chai';
import { judge } from '../verdicts.ts';
import { BOUNDS } from './bounds.ts';
import { BACKENDS_CURVE, SESSION_KIB, SESSIONS_CURVE, TO_FIRST } from './cost.ts';
import { asked, type Curve, departure, type Point, show, sized, toFirst } from './curve.ts';
import { RESTORE_ADDS, RESTORES } from './restores.ts';
import { EMPTY_MS, PRIVATE_MIB, READY_MS, SIDECAR_SIZE, STREAMS_MIB } from './sidecar.ts';

describe('curves of scale', () => {
  it('compare their places round by round, so that a machine that drifts bends none', () => {
    const slowdowns = [1, 1, 2, 4, 2];
    const costs = [100, 105, 95].map((cost) => slowdowns.map((slowdown) => cost * slowdown));
    expectClose(toFirst(costs), [1, 1.05, 0.95]);
  });

  it('are not bent by two bad rounds of five', () => {
    const costs = [
      [100, 100, 100, 300, 100],
      [105, 900, 105, 105, 105],
    ];
    expectClose(toFirst(costs), [1, 1.05]);
  });

  it('bend by what the place farthest from the first is away from it, as far as is looked at', () => {
    const curve = sessions({ 1: 1, 1000: 1.08, 2000: 0.95, 5000: 3 });
    expect(departure(curve, TO_FIRST, 2_000)).to.be.closeTo(0.08, 1e-9);
    expect(departure(curve, TO_FIRST, 5_000)).to.be.closeTo(2, 1e-9);
    expect(departure(sessions({ 1: 1, 1000: 0.8 }), TO_FIRST, 1_000)).to.be.closeTo(0.2, 1e-9);
  });

  it('stand as a table with a column for everything that some place has', () => {
    const points = [
      { at: 1, values: { a: 1.234 } },
      { at: 100, values: { a: 1_234.5, b: 12.34 } },
    ];
    expect(show({ name: 'a curve', along: 'things', points }).split('\n')).to.deep.equal([
      'a curve:',
      '',
      '| things |    a |    b |',
      '|-------:|-----:|-----:|',
      '|      1 | 1.23 |    - |',
      '|    100 | 1235 | 12.3 |',
    ]);
  });

  it('are never cut to nothing', () => {
    expect(sized(200, { share: 0.001 })).to.equal(1);
    expect(sized(200, { share: 0.1 })).to.equal(20);
  });

  it('have all their places unless some are named', () => {
    expect(asked([1, 5, 50], {})).to.deep.equal([1, 5, 50]);
    expect(asked([1, 5, 50], { places: [50, 1] })).to.deep.equal([1, 50]);
  });

  describe('their bounds', () => {
    it('are all met by a mesh that keeps its promises', () => {
      expect(judge(kept(), BOUNDS).map(({ outcome }) => outcome)).to.deep.equal(BOUNDS.map(() => 'met'));
    });

    it('show a cost that grows with sessions, at their end or on the way', () => {
      expect(missed(sessions({ 1: 1, 2000: 1.12 }))).to.deep.equal([
        'what a call costs varies from 1 to 2,000 sessions by, %',
      ]);
      expect(missed(sessions({ 1: 1, 100: 1.2, 2000: 1.01 }))).to.deep.equal([
        'what a call costs varies from 1 to 2,000 sessions by, %',
      ]);
      expect(missed(sessions({ 1: 1, 2000: 1.01, 5000: 1.5 }))).to.deep.equal([]);
    });

    it('show a cost that grows with backends', () => {
      expect(missed(curve(BACKENDS_CURVE, { 1: { [TO_FIRST]: 1 }, 50: { [TO_FIRST]: 1.2 } }))).to.deep.equal([
        'what a call costs varies from 1 to 50 backends by, %',
      ]);
    });

    it('show a session that is too large', () => {
      const heavy = { 1: { [TO_FIRST]: 1 }, 2000: { [TO_FIRST]: 1, [SESSION_KIB]: 70 } };
      expect(missed(curve(SESSIONS_CURVE, heavy))).to.deep.equal([
        'a session with 5 backends and 70 tools holds in the replica, KiB',
      ]);
    });

    it('show one number of backends with which restores take too long', () => {
      const slow = { 1: { [RESTORE_ADDS]: 3 }, 5: { [RESTORE_ADDS]: 11 }, 50: { [RESTORE_ADDS]: 4 } };
      expect(missed(curve(RESTORES, slow))).to.deep.equal([
        'a restore adds to a call, at any number of backends, ms',
      ]);
    });

    it('show each thing in which a sidecar is too large or too slow, beside what Node itself takes', () => {
      const all = [
        'a sidecar is ready in, ms',
        'an idle sidecar holds, MiB',
        'of which nobody shares, MiB',
        'a sidecar at 1,000 calls a second holds, MiB',
        'a sidecar with 100 open streams holds, MiB',
      ];
      const sizes = [151, 65, 21, 81, 129];
      all.forEach((target, at) => {
        const within = [140, 60, 19, 79, 90];
        expect(missed(sidecar(within.with(at, sizes[at] ?? 0)))).to.deep.equal([target]);
      });
      const ready = judge([sidecar(sizes)], BOUNDS).find(({ target }) => target === all[0]);
      expect(ready?.floor).to.deep.equal({ of: 'an empty program', figure: 60 });
    });

    it('say that what was not measured is not known', () => {
      const nothing = { name: SIDECAR_SIZE.name, along: 'calls/s', points: [] };
      for (const curves of [[], [nothing]])
        expect(new Set(judge(curves, BOUNDS).map(({ outcome }) => outcome))).to.deep.equal(
          new Set(['unmeasured']),
        );
    });
  });
});

function expectClose(values: readonly number[], to: readonly number[]): void {
  expect(values).to.have.lengthOf(to.length);
  values.forEach((value, at) => {
    expect(value).to.be.closeTo(to[at] ?? Number.NaN, 1e-9);
  });
}

/** What a whole run gives of a mesh that is as it must be. */
function kept(): Curve[] {
  return [
    curve(SESSIONS_CURVE, {
      1: { [TO_FIRST]: 1 },
      100: { [TO_FIRST]: 0.97 },
      2000: { [TO_FIRST]: 1.09, [SESSION_KIB]: 60 },
    }),
    curve(BACKENDS_CURVE, { 1: { [TO_FIRST]: 1 }, 50: { [TO_FIRST]: 0.91 } }),
    curve(RESTORES, { 1: { [RESTORE_ADDS]: 2 }, 50: { [RESTORE_ADDS]: 9 } }),
    sidecar([140, 60, 19, 79, 90]),
  ];
}

function curve(
  { name }: { readonly name: string },
  values: Readonly<Record<number, Point['values']>>,
): Curve {
  const points = Object.entries(values).map(([at, each]) => ({ at: Number(at), values: each }));
  return { name, along: 'things', points };
}

/** What a call costs to the first, by sessions. */
function sessions(costs: Readonly<Record<number, number>>): Curve {
  const points = Object.entries(costs).map(([at, cost]) => [at, { [TO_FIRST]: cost }]);
  return curve(SESSIONS_CURVE, Object.fromEntries(points));
}

function sidecar([ready = 0, idle = 0, own = 0, busy = 0, streams = 0]: readonly number[]): Curve {
  return {
    name: SIDECAR_SIZE.name,
    along: 'calls/s',
    points: [
      { at: 0, values: { [READY_MS]: ready, [EMPTY_MS]: 60, MiB: idle, [PRIVATE_MIB]: own } },
      { at: 1_000, values: { MiB: busy } },
      { at: 0, values: { [STREAMS_MIB]: streams } },
    ],
  };
}

/** The bounds that this curve alone exceeds. */
function missed(of: Curve): string[] {
  return judge([of], BOUNDS)
    .filter(({ outcome }) => outcome === 'missed')
    .map(({ target }) => target);
}
