import { expect } from 'chai';
import { TokenBuckets } from '../../control-plane/session/token-buckets.ts';
import { VirtualClock } from '../interleavings/virtual-clock.ts';
import { verifies } from '../requirements.ts';

describe('token buckets', () => {
  const rate = { perMinute: 60, burst: 3 };

  it(verifies('S13')('a burst goes through, then one a second, and the wait is said'), () => {
    const clock = new VirtualClock(1_000_000);
    const buckets = new TokenBuckets(rate, clock);
    const taken = () => buckets.take('alice');
    expect([taken(), taken(), taken(), taken()]).to.deep.equal([0, 0, 0, 1_000]);
    clock.advance(400);
    expect(taken()).to.equal(600);
    clock.advance(600);
    expect([taken(), taken()]).to.deep.equal([0, 1_000]);
  });

  it('one key’s use is nobody else’s', () => {
    const buckets = new TokenBuckets(rate, new VirtualClock(0));
    for (let i = 0; i < 10; i += 1) buckets.take('alice');
    expect(buckets.take('bob')).to.equal(0);
  });

  it('a long rest fills the bucket no further than its burst', () => {
    const clock = new VirtualClock(0);
    const buckets = new TokenBuckets(rate, clock);
    buckets.take('alice');
    clock.advance(3_600_000);
    const waits = Array.from({ length: 4 }, () => buckets.take('alice'));
    expect(waits.filter((wait) => wait === 0)).to.have.length(3);
  });

  it(verifies('R15')('a clock that is set back takes nothing away'), () => {
    let now = 10_000_000;
    const buckets = new TokenBuckets(rate, { now: () => now, elapsed: () => now, after: () => () => {} });
    expect(buckets.take('alice')).to.equal(0);
    now -= 3_600_000;
    expect(buckets.take('alice')).to.equal(0);
  });
});
