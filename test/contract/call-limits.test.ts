import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Caller } from '../../control-plane/identity/caller.ts';
import { makeAnonymous } from '../../control-plane/identity/make-caller.ts';
import {
  type CallLimitsOptions,
  type LimitRule,
  openCallLimits,
  type StoredCallLimits,
} from '../../control-plane/store/call-limits.ts';
import type { StoreSettings } from '../../control-plane/store/settings.ts';
import { MeshError } from '../../shared/errors.ts';
import { verifies } from '../requirements.ts';
import { trusting, verifierFor } from '../support/identity.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { eventually } from '../support/stores.ts';

const RULE: LimitRule = {
  name: 'calls',
  per: ['principal'],
  applies: () => true,
  rate: undefined,
  concurrent: undefined,
};

/** One body for every store that counts. */
for (const kind of ['memory', 'redis'] as const) {
  describe(`limits of calls, counted in ${kind}`, function () {
    this.timeout(30_000);

    let issuer: TestIssuer;
    let redis: RedisServer | undefined;
    let alice: Caller;
    let bob: Caller;
    const opened: StoredCallLimits[] = [];
    let errors: unknown[];

    before(async () => {
      issuer = await startIssuer();
      const { verify } = verifierFor([trusting(issuer)]);
      alice = await verify(issuer.token({ sub: 'alice' }));
      bob = await verify(issuer.token({ sub: 'bob' }));
      redis = kind === 'redis' ? await startRedis() : undefined;
    });
    after(async () => {
      await issuer.stop();
      await redis?.[Symbol.asyncDispose]();
    });
    beforeEach(async () => {
      errors = [];
      await redis?.cli('flushall');
    });
    afterEach(() => {
      for (const limits of opened.splice(0)) limits.stop();
    });

    const store = (): StoreSettings =>
      redis === undefined ? { kind: 'memory' } : { kind: 'redis', url: redis.url };

    const open = async (
      rules: readonly Partial<LimitRule>[],
      change: Partial<CallLimitsOptions> = {},
    ): Promise<StoredCallLimits> => {
      const limits = openCallLimits({
        rules: rules.map((rule) => ({ ...RULE, ...rule })),
        onStoreError: 'allow',
        store: store(),
        key: Buffer.alloc(32, 7),
        onError: (error) => errors.push(error),
        ...change,
      });
      opened.push(limits);
      // Until it is connected, nothing is counted.
      if (kind === 'redis') await sleep(100);
      return limits;
    };

    /** `ok`, or why not. */
    const call = async (limits: StoredCallLimits, caller: Caller, backend = 'b', tool?: string) => {
      try {
        return (await limits.admit({ caller, backend, tool })) ?? 'free';
      } catch (error) {
        return error as MeshError;
      }
    };
    const outcome = async (...args: Parameters<typeof call>) => {
      const answer = await call(...args);
      return answer instanceof MeshError ? answer.reason : 'ok';
    };

    it(
      verifies('RPC-14')('a caller has so many calls in a window, and hears when the next one begins'),
      async () => {
        const limits = await open([{ rate: { calls: 3, windowMs: 1_000 } }]);
        const outcomes: string[] = [];
        for (let n = 0; n < 4; n += 1) outcomes.push(await outcome(limits, alice));
        expect(outcomes).to.deep.equal(['ok', 'ok', 'ok', 'rate_limited']);
        expect(await outcome(limits, bob)).to.equal('ok');
        const refused = await call(limits, alice);
        if (!(refused instanceof MeshError)) throw new Error('it was let through');
        expect(refused.message).to.contain('"calls"');
        expect(refused.retryAfterMs).to.be.within(1, 1_000);
        await sleep((refused.retryAfterMs ?? 0) + 20);
        expect(await outcome(limits, alice)).to.equal('ok');
      },
    );

    it('callers, backends and tools are counted apart, or together, as a rule says', async () => {
      const rate = { calls: 1, windowMs: 60_000 };
      const perTool = await open([{ per: ['principal', 'tool'], rate }]);
      expect(await outcome(perTool, alice, 'b', 'x')).to.equal('ok');
      expect(await outcome(perTool, alice, 'b', 'y')).to.equal('ok');
      expect(await outcome(perTool, alice, 'c', 'x')).to.equal('ok');
      expect(await outcome(perTool, bob, 'b', 'x')).to.equal('ok');
      expect(await outcome(perTool, alice, 'b', 'x')).to.equal('rate_limited');
      const perBackend = await open([{ name: 'whole', per: ['backend'], rate }]);
      expect(await outcome(perBackend, alice, 'b')).to.equal('ok');
      expect(await outcome(perBackend, bob, 'b')).to.equal('rate_limited');
      expect(await outcome(perBackend, bob, 'c')).to.equal('ok');
    });

    it('anonymous callers are counted for each sidecar', async () => {
      const limits = await open([{ rate: { calls: 1, windowMs: 60_000 } }]);
      expect(await outcome(limits, makeAnonymous('n-1'))).to.equal('ok');
      expect(await outcome(limits, makeAnonymous('n-1'))).to.equal('rate_limited');
      expect(await outcome(limits, makeAnonymous('n-2'))).to.equal('ok');
    });

    it('what no rule is about asks nobody', async () => {
      const limits = await open([{ applies: (backend) => backend === 'other', concurrent: 1 }]);
      expect(limits.admit({ caller: alice, backend: 'b', tool: undefined })).to.equal(undefined);
    });

    it('so many at once: a call that is over makes room, one that is refused takes none', async () => {
      const limits = await open([
        { name: 'three', concurrent: 3 },
        { name: 'two', per: ['backend'], concurrent: 2 },
      ]);
      const [first] = await Promise.all([call(limits, alice), call(limits, alice)]);
      expect(await outcome(limits, alice)).to.equal('rate_limited');
      // The refused one holds no place of the other rule.
      expect(await outcome(limits, alice, 'c')).to.equal('ok');
      expect(await outcome(limits, alice, 'd')).to.equal('rate_limited');
      if (typeof first === 'function') first();
      await eventually(async () => (await outcome(limits, alice)) === 'ok', 'there is room again');
    });

    if (kind === 'memory') return;

    it('replicas count together, and a lost one holds its places for so long only', async () => {
      const rules = [{ rate: { calls: 3, windowMs: 60_000 }, concurrent: 2 }];
      const [one, two] = [await open(rules), await open(rules)];
      expect(await outcome(one, alice)).to.equal('ok');
      const second = await call(two, alice);
      expect(await outcome(one, alice)).to.equal('rate_limited');
      if (typeof second === 'function') second();
      await eventually(async () => (await outcome(two, alice)) === 'ok', 'a place is free');
      expect(await outcome(two, bob)).to.equal('ok');
      const keys = (await redis?.cli('keys', '*'))?.split('\n') ?? [];
      expect(keys).to.have.length(4);
      for (const key of keys) {
        expect(key).to.match(/^outrigger:limit:calls:[\w-]{22}:(rate|now)$/);
        expect(Number(await redis?.cli('pttl', key))).to.be.within(1, 60_000);
      }
    });

    it(
      verifies('R1')('without Redis calls go on, or are refused as what cannot be said, as configured'),
      async () => {
        const rules = [{ rate: { calls: 1, windowMs: 60_000 }, concurrent: 1 }];
        const open1 = await open(rules);
        const closed = await open(rules, { onStoreError: 'refuse' });
        await redis?.kill('SIGKILL');
        expect(await outcome(open1, alice)).to.equal('ok');
        expect(await outcome(open1, alice)).to.equal('ok');
        expect(await outcome(closed, alice)).to.equal('store_unavailable');
        expect(errors).to.have.length(3);
        await redis?.restart();
        await eventually(async () => (await outcome(closed, alice)) === 'ok', 'it counts again');
        await eventually(async () => (await outcome(open1, alice)) === 'rate_limited', 'so does the other');
      },
    );
  });
}
