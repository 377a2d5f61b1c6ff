import { expect } from 'chai';
import { CALLS_64, LOADS } from './loads.ts';
import { anonymousMesh } from './mesh-rows.ts';
import { Results } from './results.ts';
import { measure } from './rounds.ts';
import { BARE_PROXY, OUTRIGGER } from './row-names.ts';
import { ROWS } from './rows.ts';
import { TARGETS } from './targets.ts';
import { judge } from './verdicts.ts';

/** A program with this does nothing of its own for most of its time, and burns CPU meanwhile. */
const SLOW = `setInterval(() => { for (const end = performance.now() + 19; performance.now() < end;); }, 1).unref()`;
const AS_IT_IS = 'as it is';

describe('a slow path planted in the programs of a mesh', function () {
  this.timeout(60_000);

  it('shows in a run of the bench, and turns the verdicts that it concerns', async () => {
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(SLOW)}` };
    const measured = await measure({
      rows: [
        ...ROWS.filter(({ name }) => name === BARE_PROXY),
        anonymousMesh({ name: AS_IT_IS }),
        anonymousMesh({ name: OUTRIGGER, env }),
      ],
      // One at a time, so that every call waits for each program: many at once share what they wait for.
      loads: LOADS.filter(({ name }) => name === CALLS_64).map((load) => ({ ...load, concurrency: 1 })),
      rounds: 1,
      warmUpSeconds: 0.1,
      seconds: 0.5,
      onSample: () => {},
      onMissing: (row, why) => {
        throw new Error(`${row}: ${why}`);
      },
    });
    const results = new Results(measured);
    const slow = { row: OUTRIGGER, to: AS_IT_IS, load: CALLS_64 } as const;
    expect(results.ratio({ ...slow, metric: 'callsPerSecond' })).to.be.below(0.5);
    expect(results.ratio({ ...slow, metric: 'cpuUsPerCall' })).to.be.above(2);
    const judged = judge(results, TARGETS).filter(({ outcome }) => outcome !== 'unmeasured');
    expect(judged.map(({ target, outcome }) => [target, outcome])).to.deep.equal([
      ['calls per second, 64 at once, against the bare proxy', 'missed'],
      ['CPU of sidecar and replica, 64 at once, µs a call', 'missed'],
      ['CPU of sidecar and replica, 64 at once, against the bare proxy', 'missed'],
    ]);
  });
});
