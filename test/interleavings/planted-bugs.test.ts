import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { type Cast, makeCast } from './cast.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';
import { play } from './play.ts';
import { loadBroken } from './product.ts';

const SCHEDULES = 2_000;
const SEED = 1;

describe('the interleavings find planted bugs', function () {
  this.timeout(60_000);
  let cast: Cast;

  before(async () => {
    cast = await makeCast();
  });

  for (const { bug, changes, story, leadsTo } of PLANTED_BUGS) {
    it(verifies('RST-2', 'I19')(bug), async () => {
      const { product, remove } = await loadBroken(changes);
      try {
        const found = await play({ story, cast, product, seed: SEED, schedules: SCHEDULES, only: leadsTo });
        expect(found).to.include(leadsTo);
        expect(found).to.match(/replay with OUTRIGGER_SEED=1 OUTRIGGER_PATH=\d/);
      } finally {
        remove();
      }
    });
  }

  it('and a failing schedule replays from its seed and path alone', async () => {
    const [planted] = PLANTED_BUGS;
    if (planted === undefined) throw new Error('no bug is planted');
    const { product, remove } = await loadBroken(planted.changes);
    try {
      const { story } = planted;
      const found = await play({ story, cast, product, seed: SEED, schedules: SCHEDULES });
      const path = /OUTRIGGER_PATH=(\S+)/.exec(found ?? '')?.[1];
      const again = await play({ story, cast, product, seed: SEED, path, schedules: 1 });
      expect(again).to.equal(found);
    } finally {
      remove();
    }
  });
});
