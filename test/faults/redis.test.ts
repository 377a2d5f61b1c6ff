import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { StoreAlarm } from '../../control-plane/store/hooks.ts';
import { slackMs } from '../../control-plane/store/limits.ts';
import { openStore } from '../../control-plane/store/open.ts';
import type { RecordKey, SessionStore } from '../../control-plane/store/session-store.ts';
import type { RedisStoreSettings } from '../../control-plane/store/settings.ts';
import { MeshError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { verifies } from '../requirements.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { fakeTimeLibrary } from '../support/redis-binaries.ts';
import { eventually, freshKey, freshPrincipal, freshWriteId, newRecord, refusal } from '../support/stores.ts';
import { startProxy } from '../support/tcp-proxy.ts';

/** The faults of one Redis server, made for real, as the session store meets them. */

const REPLICA = join(import.meta.dirname, '..', 'support', 'skewed-replica.ts');

type Opened = SessionStore & {
  readonly alarms: StoreAlarm[];
  readonly said: string[];
  [Symbol.asyncDispose](): Promise<void>;
};

async function open(settings: Omit<RedisStoreSettings, 'kind'>): Promise<Opened> {
  const alarms: StoreAlarm[] = [];
  const said: string[] = [];
  const say = (message: string, fields?: object) => void said.push(`${message} ${JSON.stringify(fields)}`);
  const log: Logger = { debug: say, info: say, warn: say, error: say, child: () => log, debugs: () => true };
  const onAlarm = (alarm: StoreAlarm) => void alarms.push(alarm);
  const store = await openStore({ kind: 'redis', commandTimeoutMs: 500, ...settings }, { log, onAlarm });
  return Object.assign(store, { alarms, said, [Symbol.asyncDispose]: () => store.stop() });
}

async function made(store: SessionStore, change: Parameters<typeof newRecord>[0] = {}): Promise<RecordKey> {
  const record = newRecord(change);
  expect((await store.create(record)).kind).to.equal('created');
  return record.key;
}

const refused = (error: unknown) => (error instanceof MeshError ? error.reason : String(error));

const recordKey = ({ principal, name }: RecordKey) => `outrigger:{${principal}}:s:${name}`;

describe('faults of Redis', function () {
  this.timeout(60_000);

  it(
    verifies('R1', 'RST-9')('down at start: the store is there, not ready, refuses at once, and recovers'),
    async () => {
      await using server = await startRedis();
      await server.kill('SIGKILL');
      await using store = await open({ url: server.url });
      expect(store.ready).to.equal(false);
      expect(await refusal(store.create(newRecord()))).to.equal('store_unavailable');
      expect(await refusal(store.load(freshKey()))).to.equal('store_unavailable');
      await server.restart();
      await eventually(() => store.ready, 'the store is ready');
      await made(store);
    },
  );

  it(verifies('R2', 'RST-9')('killed and back: everything that was acknowledged is there'), async () => {
    await using server = await startRedis({ aof: true });
    await using store = await open({ url: server.url });
    const keys = await Promise.all(Array.from({ length: 50 }, () => made(store)));
    await server.kill('SIGKILL');
    expect(await refusal(store.load(keys[0] as RecordKey))).to.equal('store_unavailable');
    expect(await refusal(store.create(newRecord()))).to.equal('store_unavailable');
    await server.restart();
    await eventually(() => store.ready, 'the store is ready');
    for (const key of keys) expect(await store.load(key)).not.to.equal(null);
  });

  it(
    verifies(
      'R3',
      'RST-9',
    )('frozen: every call is answered, nothing piles up, and a retry is no second write'),
    async () => {
      await using server = await startRedis();
      await using store = await open({ url: server.url, commandTimeoutMs: 200 });
      const key = await made(store);
      const update = { key, version: 1, epoch: 1, writeId: freshWriteId(), body: 'once' };
      await server.kill('SIGSTOP');
      const calls = [store.update(update), ...Array.from({ length: 300 }, () => store.load(key))];
      const refusals = await Promise.all(calls.map(refusal));
      expect(new Set(refusals)).to.deep.equal(new Set(['store_unavailable']));
      expect(store.ready).to.equal(false);
      await server.kill('SIGCONT');
      await eventually(() => store.ready, 'the store is ready');
      expect(await store.update(update)).to.deep.include({ kind: 'ok' });
      const record = await store.load(key);
      expect(record?.header.version).to.equal(2);
      expect(record?.body).to.equal('once');
    },
  );

  describe('sessions touched at once', () => {
    const touched = (store: SessionStore, keys: readonly RecordKey[]) =>
      Promise.all(keys.map(async (key) => store.touch(key, 1).then(({ kind }) => kind, refused)));

    it(
      verifies('R12')('one that Redis refuses is refused by itself, and a corrupted one is gone'),
      async () => {
        await using server = await startRedis();
        await using store = await open({ url: server.url });
        const [well, crooked, corrupted] = [await made(store), await made(store), await made(store)];
        const index = `outrigger:{${crooked.principal}}:i`;
        await server.cli('del', index);
        await server.cli('set', index, 'no index');
        await server.cli('hset', recordKey(corrupted), 'version', 'abc');
        expect(await touched(store, [crooked, corrupted, well])).to.deep.equal([
          'store_unavailable',
          'gone',
          'ok',
        ]);
        expect(store.ready).to.equal(true);
      },
    );

    it('a server that has forgotten its scripts is told them again', async () => {
      await using server = await startRedis();
      await using store = await open({ url: server.url });
      const keys = [await made(store), await made(store)];
      await server.cli('script', 'flush');
      expect(await touched(store, keys)).to.deep.equal(['ok', 'ok']);
    });

    it(verifies('R3', 'RST-9')('a server that is frozen or gone fails each of them'), async () => {
      await using server = await startRedis();
      await using store = await open({ url: server.url, commandTimeoutMs: 200 });
      const keys = [await made(store), await made(store), await made(store)];
      const failed = keys.map(() => 'store_unavailable');
      await server.kill('SIGSTOP');
      expect(await touched(store, keys)).to.deep.equal(failed);
      await server.kill('SIGKILL');
      expect(await touched(store, keys)).to.deep.equal(failed);
      await server.restart();
      await eventually(() => store.ready, 'the store is ready');
      expect(await touched(store, keys)).to.deep.equal(keys.map(() => 'gone'));
    });
  });

  describe('R4: a bad path', () => {
    it(verifies('R4')('slow: calls take longer and succeed'), async () => {
      await using server = await startRedis();
      await using proxy = await startProxy(server);
      await using store = await open({ url: `redis://127.0.0.1:${proxy.port}`, commandTimeoutMs: 3000 });
      const key = await made(store);
      proxy.set({ delayMs: 200 });
      expect(await store.load(key)).not.to.equal(null);
      expect((await store.touch(key, 1)).kind).to.equal('ok');
    });

    it(verifies('R4')('cut into single bytes: nothing is misread'), async () => {
      await using server = await startRedis();
      await using proxy = await startProxy(server);
      await using store = await open({ url: `redis://127.0.0.1:${proxy.port}`, commandTimeoutMs: 5000 });
      proxy.set({ sliceBytes: 1 });
      const key = await made(store, { body: 'é'.repeat(500) });
      expect((await store.load(key))?.body).to.equal('é'.repeat(500));
      const data = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
      await store.appendEvents({ key, stream: 'a', epoch: 1, events: [{ seq: 1, answer: true, data }] });
      const [event] = (await store.readEvents({ key, stream: 'a', after: 0 })).events;
      expect(Buffer.from(event?.data ?? []).equals(data)).to.equal(true);
    });

    it(verifies('R4')('reset again and again: retries by write id have one effect each'), async () => {
      await using server = await startRedis();
      await using proxy = await startProxy(server);
      await using store = await open({ url: `redis://127.0.0.1:${proxy.port}`, commandTimeoutMs: 300 });
      const key = await made(store);
      const faults = [
        () => proxy.reset(),
        () => proxy.cut(),
        () => proxy.set({ swallow: true }),
        () => proxy.heal(),
      ];
      let turn = 0;
      const trouble = setInterval(() => faults[turn++ % faults.length]?.(), 60);
      let version = 1;
      let retries = 0;
      // Two rounds of all faults at least, and thirty writes.
      for (; version <= 30 || turn < 8; version += 1) {
        const update = { key, version, epoch: 1, writeId: freshWriteId(), body: String(version) };
        let outcome = await store.update(update).catch(() => undefined);
        for (; outcome === undefined; outcome = await store.update(update).catch(() => undefined)) {
          retries += 1;
          await sleep(20);
        }
        expect(outcome).to.have.nested.property('header.version', version + 1);
        await sleep(5);
      }
      clearInterval(trouble);
      proxy.heal();
      await eventually(() => store.ready, 'the store is ready');
      expect((await store.load(key))?.header.version).to.equal(version);
      expect(retries).to.be.above(0);
    });
  });

  describe('R7: credentials', () => {
    it(
      verifies('R7', 'OBS-1')('a wrong password: not ready, an alarm, and the password nowhere'),
      async () => {
        await using server = await startRedis({ requirepass: 'right-secret' });
        for (const [password, code] of [
          ['wrong-secret', 'WRONGPASS'],
          ['', 'NOAUTH'],
        ]) {
          const login = password === '' ? '' : `:${password}@`;
          await using store = await open({ url: `redis://${login}127.0.0.1:${server.port}` });
          expect(store.ready).to.equal(false);
          expect(await refusal(store.load(freshKey()))).to.equal('store_unavailable');
          await eventually(() => store.alarms.length > 0, 'the alarm');
          expect(store.alarms[0]?.kind).to.equal('credentials_refused');
          expect(store.alarms[0]?.detail).to.contain(code);
          const everything = JSON.stringify([store.alarms, store.said]);
          expect(everything).not.to.contain('secret');
        }
      },
    );

    it(verifies('R7')('a user without the right to run scripts: not ready, and an alarm'), async () => {
      await using server = await startRedis();
      await server.cli('acl', 'setuser', 'limited', 'on', '>pass', '~*', '&*', '+@all', '-evalsha', '-eval');
      await using store = await open({ url: `redis://limited:pass@127.0.0.1:${server.port}` });
      expect(store.ready).to.equal(false);
      expect(await refusal(store.create(newRecord()))).to.equal('store_unavailable');
      expect(store.alarms.map(({ kind }) => kind)).to.include('credentials_refused');
    });
  });

  it(
    verifies('R8')(
      'a server that has become a replica refuses, never denies, and is used again as a primary',
    ),
    async () => {
      await using other = await startRedis();
      await using server = await startRedis();
      await using store = await open({ url: server.url });
      const key = await made(store);
      await server.cli('config', 'set', 'replica-priority', '0');
      await server.cli('replicaof', '127.0.0.1', String(other.port));
      const update = { key, version: 1, epoch: 1, writeId: freshWriteId() };
      expect(await refusal(store.update(update))).to.equal('store_unavailable');
      await server.cli('replicaof', 'no', 'one');
      await eventually(
        async () => (await store.create(newRecord()).catch(() => undefined))?.kind === 'created',
        'a write',
      );
    },
  );

  it(
    verifies(
      'R9',
      'RST-9',
    )('out of memory: new sessions and takeovers wait; reads, touches and closes go on'),
    async () => {
      await using server = await startRedis();
      await using store = await open({ url: server.url });
      const key = await made(store);
      await server.cli('config', 'set', 'maxmemory', '1');
      expect(await refusal(store.create(newRecord()))).to.equal('store_unavailable');
      const takeover = {
        key,
        version: 1,
        epoch: 1,
        writeId: freshWriteId(),
        takeover: { owner: 'replica-2' },
      };
      expect(await refusal(store.update(takeover))).to.equal('store_unavailable');
      expect((await store.load(key))?.header.epoch).to.equal(1);
      expect((await store.touch(key, 1)).kind).to.equal('ok');
      expect(await store.listPrincipal(key.principal)).to.have.length(1);
      expect(store.ready).to.equal(true);
      expect(store.alarms.map(({ kind }) => kind)).to.include('store_full');
      expect(await store.close(key)).to.equal(true);
      await server.cli('config', 'set', 'maxmemory', '0');
      expect(await store.load(key)).to.equal(null);
      await made(store);
    },
  );

  describe('R10: refusals that pass', () => {
    async function refusesAndRecovers(
      fault: (server: RedisServer) => Promise<() => Promise<unknown>>,
    ): Promise<void> {
      await using server = await startRedis();
      await using store = await open({ url: server.url });
      const key = await made(store);
      const undo = await fault(server);
      const update = { key, version: 1, epoch: 1, writeId: freshWriteId() };
      expect(await refusal(store.update(update))).to.equal('store_unavailable');
      await undo();
      await eventually(
        async () => (await store.update(update).catch(() => undefined))?.kind === 'ok',
        'the retry',
      );
      expect((await store.load(key))?.header.version).to.equal(2);
    }

    it(verifies('R10')('BUSY: another script holds the server'), () =>
      refusesAndRecovers(async (server) => {
        await server.cli('config', 'set', 'busy-reply-threshold', '50');
        const busy = server.cli('eval', 'while true do end', '0').catch(() => 'killed');
        await sleep(150);
        return async () => {
          await server.cli('script', 'kill');
          await busy;
        };
      }),
    );

    it(verifies('R10')('MISCONF: it cannot save'), () =>
      refusesAndRecovers(async (server) => {
        await server.cli('config', 'set', 'save', '3600 1000000');
        // A folder where the dump should go, and something in it, so that no dump can replace it.
        const folder = (await server.cli('config', 'get', 'dir')).split('\n')[1] ?? '';
        await mkdir(join(folder, 'dump.rdb', 'in'), { recursive: true });
        await server.cli('bgsave');
        await eventually(
          async () => (await server.cli('info', 'persistence')).includes('rdb_last_bgsave_status:err'),
          'MISCONF',
        );
        return () => server.cli('config', 'set', 'save', '');
      }),
    );

    it(verifies('R10', 'R6')('NOREPLICAS: fewer replicas than the server itself demands'), () =>
      refusesAndRecovers(async (server) => {
        await server.cli('config', 'set', 'min-replicas-to-write', '1');
        return () => server.cli('config', 'set', 'min-replicas-to-write', '0');
      }),
    );

    it(verifies('R10')('MASTERDOWN: a replica that has lost its primary'), async () => {
      await using server = await startRedis();
      await using store = await open({ url: server.url });
      const key = await made(store);
      await server.cli('config', 'set', 'replica-serve-stale-data', 'no');
      await server.cli('replicaof', '127.0.0.1', '1');
      expect(await refusal(store.load(key))).to.equal('store_unavailable');
      await server.cli('replicaof', 'no', 'one');
      await eventually(async () => (await store.load(key).catch(() => null)) !== null, 'the record');
    });

    it(verifies('R10')('LOADING: it reads its data back'), async () => {
      await using server = await startRedis({ aof: true });
      await using store = await open({ url: server.url });
      const key = await made(store);
      await server.cli('config', 'set', 'loading-process-events-interval-bytes', '1024');
      await server.cli('config', 'set', 'key-load-delay', '2000');
      await server.cli('config', 'rewrite');
      await server.cli('eval', "for at = 1, 300 do redis.call('SET', 'other' .. at, 'x') end", '0');
      await server.cli('bgrewriteaof');
      await eventually(
        async () => (await server.cli('info', 'persistence')).includes('aof_rewrite_in_progress:0'),
        'the rewrite',
      );
      await server.kill('SIGKILL');
      const back = server.restart();
      while (!(await Promise.race([back.then(() => true), sleep(20, false)]))) {
        expect(await refusal(store.load(key))).to.equal('store_unavailable');
      }
      await eventually(async () => (await store.load(key).catch(() => null)) !== null, 'the record');
    });
  });

  describe('R11: eviction', () => {
    it(
      verifies('R11')('with replicated durability a server that may evict is refused, in words'),
      async () => {
        await using server = await startRedis({ maxmemoryPolicy: 'allkeys-lru' });
        const opening = open({ url: server.url, durability: 'replicated' });
        expect(String(await opening.catch((error: unknown) => error))).to.match(
          /maxmemory-policy allkeys-lru.*noeviction/,
        );
      },
    );

    it(verifies('R11')('otherwise it is told loudly, and a lost session is counted'), async () => {
      await using server = await startRedis({ maxmemoryPolicy: 'allkeys-random' });
      await using store = await open({ url: server.url });
      expect(store.ready).to.equal(true);
      expect(store.alarms.map(({ kind }) => kind)).to.deep.equal(['eviction_policy']);
      const keys = await Promise.all(Array.from({ length: 30 }, () => made(store)));
      const used = Number(/used_memory:(\d+)/.exec(await server.cli('info', 'memory'))?.[1]);
      await server.cli('config', 'set', 'maxmemory', String(used + 200_000));
      const missing = async () => 30 - Number(await server.cli('exists', ...keys.map(recordKey)));
      const fill = "for at = 1, 200 do redis.call('SET', ARGV[1] .. at, string.rep('x', 1000)) end";
      for (let round = 0; round < 100 && (await missing()) < 10; round += 1) {
        await server.cli('eval', fill, '0', `other${round}:`).catch(() => '');
      }
      await server.cli('config', 'set', 'maxmemory', '0');
      const lost = await missing();
      expect(lost).to.be.at.least(10);
      const found = await Promise.all(keys.map((key) => store.load(key)));
      expect(found.filter((record) => record === null)).to.have.length(lost);
      expect(store.alarms.filter(({ kind }) => kind === 'session_lost').length).to.be.within(1, lost);
    });
  });

  describe('R12: corrupted records', () => {
    const corruptions: Record<string, (server: RedisServer, key: string) => Promise<unknown>> = {
      'a version that is no number': (server, key) => server.cli('hset', key, 'version', 'abc'),
      'a negative epoch': (server, key) => server.cli('hset', key, 'epoch', '-1'),
      'a number beyond all numbers': (server, key) => server.cli('hset', key, 'expires', '9'.repeat(40)),
      'a field missing': (server, key) => server.cli('hdel', key, 'owner'),
      'a part missing': (server, key) => server.cli('hdel', key, 'body'),
      'a future schema': (server, key) => server.cli('hset', key, 'schema', '99'),
      'another type': async (server, key) => {
        await server.cli('del', key);
        await server.cli('set', key, '{"not":"a record"}');
      },
      'a large part': (server, key) =>
        server.cli('eval', "redis.call('HSET', KEYS[1], 'body', string.rep('x', 70000))", '1', key),
      'a large small field': (server, key) =>
        server.cli('eval', "redis.call('HSET', KEYS[1], 'owner', string.rep('x', 70000))", '1', key),
    };
    let server: RedisServer;
    before(async () => {
      server = await startRedis();
    });
    after(() => server?.[Symbol.asyncDispose]());

    for (const [what, corrupt] of Object.entries(corruptions)) {
      it(verifies('R12')(`${what}: the session is gone, set aside and told`), async () => {
        await using store = await open({ url: server.url });
        const key = await made(store);
        await corrupt(server, recordKey(key));
        expect(await store.load(key)).to.equal(null);
        expect(store.alarms.map(({ kind }) => kind)).to.deep.equal(['record_quarantined']);
        expect(await server.cli('exists', recordKey(key))).to.equal('0');
        const aside = `outrigger:{${key.principal}}:q:${key.name}`;
        expect(Number(await server.cli('pttl', aside))).to.be.within(1, 24 * 3600 * 1000);
        expect(await store.listPrincipal(key.principal)).to.deep.equal([]);
      });
    }

    it(verifies('R12')('writes to a corrupted record find it gone'), async () => {
      await using store = await open({ url: server.url });
      const corrupted = async () => {
        const key = await made(store);
        await server.cli('hset', recordKey(key), 'version', 'abc');
        return key;
      };
      expect(await store.touch(await corrupted(), 1)).to.deep.equal({ kind: 'gone' });
      const update = { version: 1, epoch: 1, writeId: freshWriteId() };
      expect(await store.update({ key: await corrupted(), ...update })).to.deep.equal({ kind: 'gone' });
      const event = { seq: 1, answer: false, data: Buffer.from('x') };
      const append = { stream: 'a', epoch: 1, events: [event] };
      expect(await store.appendEvents({ key: await corrupted(), ...append })).to.equal('gone');
      expect(await store.close(await corrupted())).to.equal(false);
      expect(store.alarms).to.have.length(4);
    });

    it(verifies('R12')('a damaged stream is empty, and its session lives'), async () => {
      await using store = await open({ url: server.url });
      const key = await made(store);
      const append = {
        key,
        stream: 'a',
        epoch: 1,
        events: [{ seq: 1, answer: false, data: Buffer.from('x') }],
      };
      await store.appendEvents(append);
      const stream = `outrigger:{${key.principal}}:x:${key.name}:a`;
      await server.cli('eval', "redis.call('HSET', KEYS[1], '1:1', string.rep('x', 70000))", '1', stream);
      expect((await store.readEvents({ key, stream: 'a', after: 0 })).events).to.deep.equal([]);
      expect(await store.load(key)).not.to.equal(null);
      expect(await store.appendEvents(append)).to.equal('ok');
      expect((await store.readEvents({ key, stream: 'a', after: 0 })).events).to.have.length(1);
    });
  });

  it(
    verifies('R13')('emptied: everybody hears that everything may have changed, and the store goes on'),
    async () => {
      await using server = await startRedis();
      await using store = await open({ url: server.url });
      const heard: (string | null)[] = [];
      store.watch((name) => heard.push(name));
      const key = await made(store);
      await eventually(() => heard.length > 0, 'the watcher is armed');
      heard.length = 0;
      await server.cli('flushall');
      await eventually(() => heard.includes(null), 'the null invalidation');
      expect(await store.load(key)).to.equal(null);
      expect(await store.touch(key, 1)).to.deep.equal({ kind: 'gone' });
      expect(store.alarms.map(({ kind }) => kind)).to.deep.equal(['store_flushed']);
      expect(store.ready).to.equal(true);
      await made(store);
    },
  );

  it(
    verifies('R15', 'RST-8')('a replica ten minutes off changes no session, and raises an alarm'),
    async () => {
      const library = await fakeTimeLibrary();
      await using server = await startRedis();
      await using store = await open({ url: server.url });
      for (const offset of ['+10m', '-10m']) {
        const env = {
          ...process.env,
          LD_PRELOAD: library,
          FAKETIME: offset,
          FAKETIME_DONT_FAKE_MONOTONIC: '1',
        };
        const { stdout } = await promisify(execFile)(
          process.execPath,
          ['--import', 'tsx', REPLICA, server.url],
          { env },
        );
        const { clock, alarms, lasting, brief, touched } = JSON.parse(stdout);
        const now = await store.now();
        expect(Math.abs(clock - now), 'the clock really is off').to.be.above(590_000);
        expect(alarms.map(({ kind }: StoreAlarm) => kind)).to.deep.equal(['clock_skew']);
        expect(touched.header.idleExpiresAt).to.be.within(now + 30_000, now + 60_000 + slackMs(60_000));
        expect((await store.load(lasting))?.header).to.deep.equal(touched.header);
        await sleep(100);
        expect(await store.load(brief)).to.equal(null);
      }
    },
  );

  describe('R18: the connection for invalidations', () => {
    async function armed(url: string) {
      const store = await open({ url });
      const heard: (string | null)[] = [];
      store.watch((name) => heard.push(name));
      await eventually(() => heard.includes(null), 'the watcher is armed');
      heard.length = 0;
      return { store, heard };
    }

    it(
      verifies('R18', 'S6')('killed: once it is there again the watcher is told of the gap, and hears'),
      async () => {
        await using server = await startRedis();
        const { store, heard } = await armed(server.url);
        await using _ = store;
        await using other = await open({ url: server.url });
        await server.cli('client', 'kill', 'type', 'pubsub');
        await eventually(() => heard.includes(null), 'it is there again');
        const key = await made(other);
        await other.close(key);
        await eventually(() => heard.includes(key.name), 'the close');
      },
    );

    it(verifies('R18')('swallowed by the path: the silence is noticed'), async () => {
      await using server = await startRedis();
      await using proxy = await startProxy(server);
      const { store, heard } = await armed(`redis://127.0.0.1:${proxy.port}`);
      await using _ = store;
      const { accepted } = proxy;
      proxy.set({ swallow: true });
      await eventually(() => proxy.accepted > accepted, 'a new connection');
      proxy.heal();
      await eventually(() => heard.includes(null), 'it is there again');
    });
  });

  it(verifies('R19')('of 3,200 compare-and-swaps by 64 writers every success is counted once'), async () => {
    await using server = await startRedis();
    await using store = await open({ url: server.url, commandTimeoutMs: 5000 });
    const key = await made(store);
    let successes = 0;
    const writer = async () => {
      let version = 1;
      for (let call = 0; call < 50; call += 1) {
        const outcome = await store.update({ key, version, epoch: 1, writeId: freshWriteId() });
        if (outcome.kind === 'ok') successes += 1;
        if (outcome.kind === 'gone') throw new Error('The record is gone.');
        version = outcome.header.version;
      }
    };
    await Promise.all(Array.from({ length: 64 }, writer));
    expect((await store.load(key))?.header.version).to.equal(1 + successes);
    expect(successes).to.be.at.least(50);
  });

  describe('R21: a crowded server', () => {
    it(verifies('R21')('a million foreign keys are never looked through'), async () => {
      await using server = await startRedis({ config: { 'enable-debug-command': 'yes' } });
      await server.cli('debug', 'populate', '1000000', 'foreign', '8');
      await using store = await open({ url: server.url });
      await server.cli('config', 'resetstat');
      const key = await made(store);
      await store.load(key);
      await store.touch(key, 1);
      await store.listPrincipal(key.principal);
      await store.list({ limit: 10 });
      await store.close(key);
      const commands = await server.cli('info', 'commandstats');
      expect(commands).to.contain('cmdstat_evalsha');
      expect(commands).not.to.match(/cmdstat_(keys|scan|hscan|zscan|sscan|hgetall|smembers|sort|randomkey)/);
    });

    it(verifies('R21')('a value of 32 MiB under our key is not fetched'), async () => {
      await using server = await startRedis();
      await using store = await open({ url: server.url, commandTimeoutMs: 5000 });
      const key = await made(store);
      const grow = "redis.call('HSET', KEYS[1], 'body', string.rep('x', 33554432))";
      await server.cli('eval', grow, '1', recordKey(key));
      await server.cli('set', `outrigger:t:${key.name}`, 'x');
      await server.cli('setrange', `outrigger:t:${key.name}`, '33554432', 'x');
      await server.cli('config', 'resetstat');
      expect(await store.load(key)).to.equal(null);
      expect(await store.getTable(key.name)).to.equal(null);
      const sent = Number(/total_net_output_bytes:(\d+)/.exec(await server.cli('info', 'stats'))?.[1]);
      expect(sent).to.be.below(1024 * 1024);
    });

    it('the index of all sessions loses what is gone, when it is read', async () => {
      await using server = await startRedis();
      await using store = await open({ url: server.url });
      const [kept, gone] = [await made(store), await made(store, { key: freshKey(freshPrincipal()) })];
      await server.cli('del', recordKey(gone));
      expect(await server.cli('zcard', 'outrigger:all')).to.equal('2');
      expect((await store.list({ limit: 10 })).sessions.map(({ key }) => key)).to.deep.equal([kept]);
      expect(await server.cli('zcard', 'outrigger:all')).to.equal('1');
    });
  });
});
