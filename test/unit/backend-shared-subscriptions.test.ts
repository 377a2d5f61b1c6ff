import { expect } from 'chai';
import { SharedSubscriptions } from '../../control-plane/backend/shared-subscriptions.ts';
import { verifies } from '../requirements.ts';

describe('subscriptions at a child that sessions share', () => {
  const [one, other] = [{}, {}];

  it(verifies('AGG-11')('end for the child with the last session that has them'), () => {
    const subscriptions = new SharedSubscriptions();
    for (const holder of [one, other, one]) subscriptions.hold('memo://a', holder);
    expect(subscriptions.release('memo://a', one)).to.equal(true);
    // Ended twice is ended once.
    expect(subscriptions.release('memo://a', one)).to.equal(true);
    expect(subscriptions.release('memo://a', other)).to.equal(false);
    expect(subscriptions.release('memo://a', other)).to.equal(false);
  });

  it(verifies('AGG-11')('end with their session, but for what another one has too'), () => {
    const subscriptions = new SharedSubscriptions();
    for (const uri of ['memo://a', 'memo://b']) subscriptions.hold(uri, one);
    subscriptions.hold('memo://b', other);
    expect(subscriptions.releaseAll(one)).to.deep.equal(['memo://a']);
    expect(subscriptions.releaseAll(one)).to.deep.equal([]);
    expect(subscriptions.releaseAll(other)).to.deep.equal(['memo://b']);
  });
});
