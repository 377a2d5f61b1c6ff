import { expect } from 'chai';
import { Pressure, type Stage } from '../../shared/overload/pressure.ts';
import { verifies } from '../requirements.ts';

const THRESHOLDS = { shrink: 80, shed: 90 };

/** The stage after each look, one every 100 ms. */
function stages(values: readonly number[], riseMs = 0): Stage[] {
  const pressure = new Pressure(riseMs);
  return values.map((value, at) => pressure.look(value, THRESHOLDS, at * 100));
}

const times = (count: number, value: number) => Array.from({ length: count }, () => value);

describe('the pressure on one resource', () => {
  it(verifies('C10')('rises by stages, and at once where it may'), () => {
    expect(stages([10, 80, 85, 90, 95])).to.deep.equal([0, 1, 1, 2, 2]);
  });

  it(verifies('C10')('takes a moment for nothing: only what lasts is overload'), () => {
    expect(stages([95, 95, 10, 95, 95, 95, 95], 300)).to.deep.equal([0, 0, 0, 0, 0, 0, 2]);
    expect(stages([85, 95, 85, 95, 85], 300)).to.deep.equal([0, 0, 0, 1, 1]);
  });

  it(verifies('C10')('falls when it was well below for two seconds, and does not flap'), () => {
    const near = stages([95, ...times(40, 82)]);
    expect(near.at(-1), 'not well below').to.equal(2);
    const flapping = stages([95, ...Array.from({ length: 60 }, (_, at) => (at % 10 === 9 ? 92 : 50))]);
    expect(new Set(flapping), 'never calm for long enough').to.deep.equal(new Set([2]));
    expect(stages([95, ...times(20, 10)]).at(-1), 'too early').to.equal(2);
    expect(stages([95, ...times(21, 10)]).at(-1)).to.equal(0);
  });

  it(verifies('C10')('falls to the stage before where that still holds'), () => {
    const falling = stages([95, ...times(21, 79), ...times(21, 10)]);
    expect(falling.at(20)).to.equal(2);
    expect(falling.at(21)).to.equal(1);
    expect(falling.at(-1)).to.equal(0);
  });
});
