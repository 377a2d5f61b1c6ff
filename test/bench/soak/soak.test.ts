import { expect } from 'chai';
import { type Holding, judge, Tally } from './tally.ts';

const MINUTES = 10;

describe('the soak', () => {
  it('holds when every answer was right and nothing grew', () => {
    expect(
      broken(
        tally(),
        steady(() => 100),
      ),
    ).to.deep.equal([]);
  });

  it('breaks on one lost session, and on one wrong answer, and says which', () => {
    const unlucky = tally();
    unlucky.complain('lost', 'HTTP 404 to 7');
    unlucky.complain('wrong', 'HTTP 200 to 8');
    expect(
      broken(
        unlucky,
        steady(() => 100),
      ),
    ).to.deep.equal(['sessions lost', 'wrong answers']);
    expect(unlucky.complaints).to.deep.equal(['lost: HTTP 404 to 7', 'wrong: HTTP 200 to 8']);
  });

  it('breaks when nothing was answered at all', () => {
    expect(
      broken(
        new Tally(),
        steady(() => 100),
      ),
    ).to.deep.equal(['right answers']);
  });

  it('shows a leak, and forgives what a process takes before it is warm', () => {
    const leak = steady((minute) => 100 + 5 * minute);
    expect(broken(tally(), leak)).to.deep.equal(['growth of rssMiB in a']);
    const warmUp = steady((minute) => (minute < 2 ? 60 : 100));
    expect(broken(tally(), warmUp)).to.deep.equal([]);
  });
});

function tally(): Tally {
  const made = new Tally();
  made.right = 1_000;
  return made;
}

function steady(rssMiB: (minute: number) => number): Holding[] {
  return Array.from({ length: MINUTES }, (_, minute) => ({
    minute,
    process: 'a',
    rssMiB: rssMiB(minute),
    handles: 40,
  }));
}

function broken(of: Tally, holdings: readonly Holding[]): string[] {
  return judge(of, holdings, MINUTES)
    .filter(({ holds }) => !holds)
    .map(({ what }) => what);
}
