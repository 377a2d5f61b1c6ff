import { expect } from 'chai';
import { judge } from './bounds.ts';
import { SESSIONS_CURVE } from './cost.ts';
import { type Curve, show, sized, spread } from './curve.ts';
import { RESTORES } from './restores.ts';
import { SIDECAR_SIZE } from './sidecar.ts';

const CALL = 'CPU µs/call';

describe('curves of scale', () => {
  it('bend by what the largest value has over the smallest, as far as is looked at', () => {
    const curve = sessions({ 1: 100, 1000: 108, 5000: 300 });
    expect(spread(curve, CALL, 2_000)).to.be.closeTo(0.08, 1e-9);
    expect(spread(curve, CALL, 5_000)).to.be.closeTo(2, 1e-9);
  });

  it('stand as a table with a column for everything that some place has', () => {
    const points = [
      { at: 1, values: { a: 1.234 } },
      { at: 100, values: { a: 1_234.5, b: 12.34 } },
    ];
    expect(show({ name: 'a curve', along: 'things', points }).split('\n')).to.deep.equal([
      'a curve:',
      'things     a     b',
      '     1  1.23     -',
      '   100  1235  12.3',
    ]);
  });

  it('are never cut to nothing', () => {
    expect(sized(200, { share: 0.001 })).to.equal(1);
    expect(sized(200, { share: 0.1 })).to.equal(20);
  });

  describe('their bounds', () => {
    it('show a cost that grows with sessions, and one that does not', () => {
      expect(outcome(sessions({ 1: 100, 2000: 109 }), 'from 1 to 2,000')).to.equal('met');
      expect(outcome(sessions({ 1: 100, 2000: 112 }), 'from 1 to 2,000')).to.equal('missed');
    });

    it('show a session that is too large', () => {
      const grown = (mib: number): Curve => ({
        name: SESSIONS_CURVE.name,
        along: 'sessions',
        points: [
          { at: 1, values: { [CALL]: 1, 'replica MiB': 100 } },
          { at: 1_025, values: { [CALL]: 1, 'replica MiB': 100 + mib } },
        ],
      });
      expect(outcome(grown(60), 'KiB')).to.equal('met');
      expect(outcome(grown(70), 'KiB')).to.equal('missed');
    });

    it('show one number of backends with which restores take too long', () => {
      const restores = (ms: number): Curve => ({
        name: RESTORES.name,
        along: 'backends',
        points: [
          { at: 1, values: { 'restore adds p50 ms': 3 } },
          { at: 50, values: { 'restore adds p50 ms': ms } },
        ],
      });
      expect(outcome(restores(9), 'a restore')).to.equal('met');
      expect(outcome(restores(11), 'a restore')).to.equal('missed');
    });

    it('say that what was not measured was not kept', () => {
      const nothing = { name: SIDECAR_SIZE.name, along: 'calls/s', points: [] };
      expect(new Set(judge([nothing]).map((each) => each.outcome))).to.deep.equal(new Set(['missed']));
      expect(judge([])).to.deep.equal([]);
    });
  });
});

function sessions(costs: Readonly<Record<number, number>>): Curve {
  const points = Object.entries(costs).map(([at, cost]) => ({ at: Number(at), values: { [CALL]: cost } }));
  return { name: SESSIONS_CURVE.name, along: 'sessions', points };
}

function outcome(curve: Curve, what: string): string | undefined {
  return judge([curve]).find((each) => each.what.includes(what))?.outcome;
}
