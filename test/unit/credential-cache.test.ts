import { expect } from 'chai';
import { CredentialCache, type Issued, type Wish } from '../../control-plane/credentials/credential-cache.ts';
import { refused, unavailable } from '../../control-plane/credentials/refusals.ts';
import type { Credential } from '../../control-plane/credentials/strategy.ts';
import type { Clock } from '../../shared/clock.ts';
import { verifies } from '../requirements.ts';
import { refusalOf } from '../support/identity.ts';

const LIFE_MS = 300_000;

describe('credentials that were issued', () => {
  let now: number;
  let asked: { proof: string; settle: (issued: Issued | Error) => void }[];
  let outcomes: string[];
  let cache: CredentialCache;
  const clock: Clock = { now: () => now, elapsed: () => now, after: () => () => {} };

  beforeEach(() => {
    now = 1_000_000;
    asked = [];
    outcomes = [];
    cache = newCache();
  });

  function newCache(capacity = 100): CredentialCache {
    return new CredentialCache({
      backend: 'files',
      clock,
      capacity,
      onIssue: ({ outcome }) => outcomes.push(outcome),
    });
  }

  function wish(key: string, { proof = 'token 1', signal = new AbortController().signal } = {}): Wish {
    return {
      key,
      proof,
      signal,
      issue: () =>
        new Promise((resolve, reject) => {
          asked.push({
            proof,
            settle: (issued) => (issued instanceof Error ? reject(issued) : resolve(issued)),
          });
        }),
    };
  }

  const obtain = async (...of: Parameters<typeof wish>): Promise<Credential> => cache.obtain(wish(...of));
  const settle = (index: number, with_: Issued | Error) => asked[index]?.settle(with_);
  const issued = (name: string, lifeMs = LIFE_MS): Issued => ({
    credential: { authorization: name },
    expiresAt: now + lifeMs,
  });

  async function kept(key: string, of: Issued): Promise<Credential> {
    const obtaining = obtain(key);
    settle(asked.length - 1, of);
    return await obtaining;
  }

  it(verifies('RST-4')('N callers at once cause N exchanges, however often each asks'), async () => {
    const waiting = ['alice', 'bob', 'carol'].flatMap((key) => Array.from({ length: 10 }, () => obtain(key)));
    expect(asked).to.have.length(3);
    for (const [index, name] of ['a', 'b', 'c'].entries()) settle(index, issued(name));
    const got = await Promise.all(waiting);
    expect(new Set(got).size).to.equal(3);
    expect(outcomes).to.deep.equal(['ok', 'ok', 'ok']);
  });

  it('one that is kept is given at once, until 30 s before its end', async () => {
    const first = await kept('alice', issued('a'));
    now += LIFE_MS - 30_001;
    expect(cache.obtain(wish('alice'))).to.equal(first);
    now += 2;
    expect(cache.obtain(wish('alice'))).to.be.instanceOf(Promise);
    expect(asked).to.have.length(2);
  });

  it('one that lives shortly is kept for half of its life', async () => {
    const first = await kept('alice', issued('a', 20_000));
    now += 9_999;
    expect(cache.obtain(wish('alice'))).to.equal(first);
    now += 2;
    expect(cache.obtain(wish('alice'))).to.be.instanceOf(Promise);
  });

  it(verifies('RST-4')('a leader who leaves cancels nobody'), async () => {
    const leaving = new AbortController();
    const leader = obtain('alice', { signal: leaving.signal });
    const follower = obtain('alice');
    leaving.abort();
    expect((await refusalOf(leader)).reason).to.equal('cancelled');
    settle(0, issued('a'));
    expect(await follower).to.deep.equal({ authorization: 'a' });
    expect(asked).to.have.length(1);
  });

  it('what is refused is the leader’s token: a follower shows its own, once', async () => {
    const leader = obtain('alice', { proof: 'revoked' });
    const follower = obtain('alice', { proof: 'fresh' });
    settle(0, refused('files', 'invalid_grant'));
    expect((await refusalOf(leader)).reason).to.equal('backend_unauthorized');
    while (asked.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(asked[1]?.proof).to.equal('fresh');
    settle(1, issued('a'));
    expect(await follower).to.deep.equal({ authorization: 'a' });
  });

  it('a refused token is not shown again for a moment', async () => {
    const first = obtain('alice');
    settle(0, refused('files', 'invalid_grant'));
    await refusalOf(first);
    expect((await refusalOf(obtain('alice'))).retryable).to.equal(false);
    expect(asked).to.have.length(1);
    now += 2_001;
    void obtain('alice');
    expect(asked).to.have.length(2);
  });

  it(verifies('I15')('a provider that fails is left alone for a moment, by all'), async () => {
    const first = obtain('alice');
    settle(0, unavailable('files', 'down'));
    await refusalOf(first);
    const { reason, retryable, retryAfterMs } = await refusalOf(obtain('bob'));
    expect({ reason, retryable }).to.deep.equal({ reason: 'credential_unavailable', retryable: true });
    expect(retryAfterMs).to.be.within(1, 1_000);
    expect(asked).to.have.length(1);
    now += 1_001;
    void obtain('bob');
    expect(asked).to.have.length(2);
  });

  it('a credential that is kept outlives the outage of its provider', async () => {
    const first = await kept('alice', issued('a'));
    const failing = obtain('bob');
    settle(1, unavailable('files', 'down'));
    await refusalOf(failing);
    expect(cache.obtain(wish('alice'))).to.equal(first);
  });

  it(verifies('BACK-6')('what the backend refused is replaced, but not again and again'), async () => {
    const first = await kept('alice', issued('a'));
    expect(cache.refused(first)).to.equal(true);
    const second = await kept('alice', issued('b'));
    expect(second).to.not.equal(first);
    expect(cache.refused(first), 'it was replaced already').to.equal(true);
    expect(cache.refused(second), 'a moment ago').to.equal(false);
    expect(cache.obtain(wish('alice'))).to.equal(second);
    now += 5_000;
    expect(cache.refused(second)).to.equal(true);
    expect(cache.refused({ authorization: 'nobody’s' })).to.equal(false);
  });

  it('the least recently used goes first', async () => {
    cache = newCache(2);
    const alice = await kept('alice', issued('a'));
    await kept('bob', issued('b'));
    expect(cache.obtain(wish('alice'))).to.equal(alice);
    await kept('carol', issued('c'));
    expect(cache.obtain(wish('alice'))).to.equal(alice);
    expect(cache.obtain(wish('bob'))).to.be.instanceOf(Promise);
  });

  it('knows the end of what it gave', async () => {
    const first = await kept('alice', issued('a'));
    expect(cache.expiresAt(first)).to.equal(now + LIFE_MS);
    expect(cache.expiresAt({})).to.equal(undefined);
  });
});
