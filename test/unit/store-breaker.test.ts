import { expect } from 'chai';
import { Breaker } from '../../control-plane/store/breaker.ts';

describe('the breaker before Redis', () => {
  let now = 0;
  const fresh = () => new Breaker({ failures: 3, openMs: 100, clock: () => now });
  const unanswered = (breaker: Breaker, times: number) => {
    for (let call = 0; call < times; call += 1) {
      expect(breaker.admit()).to.equal(true);
      breaker.settle(false);
    }
  };

  it('opens after so many unanswered calls in a row, not before', () => {
    const breaker = fresh();
    unanswered(breaker, 2);
    breaker.settle(true);
    unanswered(breaker, 2);
    expect(breaker.closed).to.equal(true);
    unanswered(breaker, 1);
    expect(breaker.closed).to.equal(false);
    expect(breaker.admit()).to.equal(false);
  });

  it('lets one call probe after a while, and closes when that is answered', () => {
    const breaker = fresh();
    unanswered(breaker, 3);
    now += 100;
    expect(breaker.admit()).to.equal(true);
    expect(breaker.admit(), 'a second probe').to.equal(false);
    breaker.settle(true);
    expect(breaker.closed).to.equal(true);
    expect(breaker.admit()).to.equal(true);
  });

  it('opens again at once when the probe is not answered', () => {
    const breaker = fresh();
    unanswered(breaker, 3);
    now += 100;
    breaker.admit();
    breaker.settle(false);
    expect(breaker.admit()).to.equal(false);
    now += 100;
    expect(breaker.admit()).to.equal(true);
  });
});
