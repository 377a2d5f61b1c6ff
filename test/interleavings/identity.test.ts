import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { type Cast, makeCast } from './cast.ts';
import { PLANS, type Story } from './plans.ts';
import { play } from './play.ts';
import { loadProduct, type Product } from './product.ts';

const SCHEDULES = 1_000;
/** A failing schedule is printed with these two; `OUTRIGGER_SEED=new` draws others than those of every day. */
const { OUTRIGGER_SEED: SEED, OUTRIGGER_PATH: PATH } = process.env;

describe('identity in every interleaving', function () {
  this.timeout(60_000);
  let cast: Cast;
  let product: Product;

  before(async () => {
    [cast, product] = await Promise.all([makeCast(), loadProduct()]);
  });

  for (const story of Object.keys(PLANS) as Story[]) {
    it(verifies('RST-1', 'RST-2', 'RST-3', 'RST-4', 'RST-6', 'RST-7', 'S3', 'S7', 'I19')(story), async () => {
      const seed = SEED === 'new' ? Math.floor(Math.random() * 2 ** 31) : Number(SEED ?? 5336);
      const found = await play({ story, cast, product, seed, path: PATH, schedules: SCHEDULES });
      expect(found, found).to.equal(undefined);
    });
  }

  it('and the schedules are worth their name: everything that may happen does, often', async () => {
    const tally = new Map<string, number>();
    await play({ story: 'everything at once', cast, product, seed: 1, schedules: 500, tally });
    for (const what of ['initialize', 'call', 'delete', 'ok', 'session_not_found', 'session_busy']) {
      expect(tally.get(what), what).to.be.greaterThan(100);
    }
    expect(tally.get('restore ok'), 'restores').to.be.greaterThan(100);
    expect(tally.get('exchange ok'), 'exchanges').to.be.greaterThan(100);
    for (const what of [
      'mismatch',
      'fenced',
      'unauthenticated',
      'backend_unauthorized',
      'exchange refused',
      'outcome_unknown',
      'store_unavailable',
    ]) {
      expect(tally.get(what), what).to.be.greaterThan(5);
    }
  });

  it('ten thousand schedules in all', () => {
    expect(Object.keys(PLANS).length * SCHEDULES).to.be.at.least(10_000);
  });
});
