import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { ChurningMap, ChurningSet } from '../../shared/churning.ts';

/** What the old generation grows by, in MiB, while 60,000 objects of 2 KiB come and go, 64 at a time, through a map that is old. */
const GROWTH = `
  import { getHeapSpaceStatistics } from 'node:v8';
  import { ChurningMap } from '${new URL('../../shared/churning.ts', import.meta.url)}';
  const old = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space').space_used_size;
  const entries = new ChurningMap();
  const pass = (from, to) => {
    for (let at = from; at < to; at += 1) {
      entries.set(at, new Array(250).fill(at));
      entries.delete(at - 64);
    }
  };
  pass(0, 10_000);
  gc();
  gc();
  pass(10_000, 12_000);
  const before = old();
  pass(12_000, 72_000);
  console.log((old() - before) / 2 ** 20);
`;

describe('maps and sets of what comes and goes', () => {
  it('hold what a Map would, in its order, whatever comes and goes', () => {
    const map = new ChurningMap<number, string>();
    const model = new Map<number, string>();
    for (let at = 0; at < 5_000; at += 1) {
      map.set(at, `${at}`);
      model.set(at, `${at}`);
      const gone = (at * 7_919) % (at + 1);
      expect(map.delete(gone)).to.equal(model.delete(gone));
      if (at % 97 === 0) map.set(at, 'again');
      if (at % 97 === 0) model.set(at, 'again');
    }
    expect([...map]).to.deep.equal([...model]);
    expect([...map.keys()]).to.deep.equal([...model.keys()]);
    expect([...map.values()]).to.deep.equal([...model.values()]);
    expect(map.size).to.equal(model.size);
    expect(map.get(-1)).to.equal(undefined);
    map.clear();
    expect([map.size, map.has(4_999)]).to.deep.equal([0, false]);
  });

  it('keep a few while thousands pass', () => {
    const set = new ChurningSet<number>();
    for (const at of [-1, -2, -3]) set.add(at);
    for (let at = 0; at < 3_000; at += 1) {
      set.add(at);
      expect(set.delete(at)).to.equal(true);
    }
    expect([...set]).to.deep.equal([-1, -2, -3]);
    expect([set.has(-2), set.has(7), set.size]).to.deep.equal([true, false, 3]);
  });

  it('let what has left them go with the next collection of what is young', () => {
    const args = ['--expose-gc', '--import', 'tsx', '--input-type=module', '--eval', GROWTH];
    const cwd = fileURLToPath(new URL('../..', import.meta.url));
    const grown = Number(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' }));
    // Of 120 MiB that pass; a Map lets about a tenth of it grow old.
    expect(grown).to.be.below(2);
  });
});
