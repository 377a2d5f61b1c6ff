import { expect } from 'chai';
import { openStore } from '../../control-plane/store/open.ts';
import type { RecordKey, SessionStore } from '../../control-plane/store/session-store.ts';
import { silentLogger } from '../../shared/log.ts';
import { verifies } from '../requirements.ts';
import { type RedisCluster, type RedisServer, startCluster } from '../support/redis.ts';
import { eventually, freshKey, freshWriteId, newRecord, refusal } from '../support/stores.ts';

/** A real Cluster of three nodes: what belongs together lies together, also while it moves. */
describe('Redis Cluster', function () {
  this.timeout(60_000);
  let cluster: RedisCluster;
  let store: SessionStore;

  before(async () => {
    cluster = await startCluster();
    store = await openStore(
      { kind: 'redis', cluster: { nodes: cluster.nodes }, commandTimeoutMs: 1000 },
      { log: silentLogger },
    );
  });
  after(async () => {
    await store?.stop();
    await cluster?.[Symbol.asyncDispose]();
  });

  async function made(key: RecordKey = freshKey()): Promise<RecordKey> {
    expect((await store.create(newRecord({ key }))).kind).to.equal('created');
    return key;
  }

  const keysOf = ({ principal, name }: RecordKey) =>
    ['s', 'x', 'q']
      .map((kind) => `outrigger:{${principal}}:${kind}:${name}`)
      .concat(
        `outrigger:{${principal}}:i`,
        `outrigger:{${principal}}:b`,
        `outrigger:{${principal}}:x:${name}:a`,
      );

  const first = () => cluster.nodes[0] as RedisServer;
  const slotOf = async (key: RecordKey) =>
    Number(await first().cli('cluster', 'keyslot', keysOf(key)[0] ?? ''));

  it(
    verifies('R22')('all keys of a session lie in one slot, those of another principal elsewhere'),
    async () => {
      const [key, other] = [await made(), await made()];
      const slots = await Promise.all(keysOf(key).map((each) => first().cli('cluster', 'keyslot', each)));
      expect(new Set(slots).size).to.equal(1);
      const across = await first()
        .cli('eval', 'return 1', '2', keysOf(key)[0] ?? '', keysOf(other)[0] ?? '')
        .catch((error: { stdout?: string; stderr?: string }) => `${error.stdout}${error.stderr}`);
      expect(across).to.match(/CROSSSLOT/);
    },
  );

  it(verifies('R22')('sessions spread over all nodes, and all of them are listed and closed'), async () => {
    const keys = await Promise.all(Array.from({ length: 30 }, () => made()));
    const sizes = await Promise.all(cluster.nodes.map((node) => node.cli('dbsize')));
    expect(Math.min(...sizes.map(Number))).to.be.above(0);
    const { sessions } = await store.list({ limit: 1000 });
    expect(sessions.map(({ key }) => key.name)).to.include.members(keys.map(({ name }) => name));
    expect(await Promise.all(keys.map((key) => store.close(key)))).to.deep.equal(keys.map(() => true));
    const left = (await store.list({ limit: 1000 })).sessions.map(({ key }) => key.name);
    expect(left).not.to.include.members(keys.map(({ name }) => name));
  });

  it(
    verifies(
      'R10',
      'R22',
    )('while its slot moves a session is unavailable at worst, never gone, and then it is there again'),
    async () => {
      const key = await made();
      const update = { key, version: 1, epoch: 1, writeId: freshWriteId(), body: 'after the move' };
      const slot = String(await slotOf(key));
      const ids = await Promise.all(cluster.nodes.map((node) => node.cli('cluster', 'myid')));
      const owners = await Promise.all(
        cluster.nodes.map((node) => node.cli('cluster', 'countkeysinslot', slot)),
      );
      const from = owners.findIndex((count) => Number(count) > 0);
      const to = (from + 1) % 3;
      const [source, target] = [cluster.nodes[from] as RedisServer, cluster.nodes[to] as RedisServer];
      await target.cli('cluster', 'setslot', slot, 'importing', ids[from] ?? '');
      await source.cli('cluster', 'setslot', slot, 'migrating', ids[to] ?? '');
      // Some of its keys on either side: TRYAGAIN.
      await source.cli(
        'migrate',
        '127.0.0.1',
        String(target.port),
        '',
        '0',
        '5000',
        'keys',
        keysOf(key)[3] ?? '',
      );
      expect(await refusal(store.update(update))).to.equal('store_unavailable');
      await source.cli(
        'migrate',
        '127.0.0.1',
        String(target.port),
        '',
        '0',
        '5000',
        'keys',
        keysOf(key)[0] ?? '',
      );
      for (const node of [target, source, ...cluster.nodes])
        await node.cli('cluster', 'setslot', slot, 'node', ids[to] ?? '');
      await eventually(
        async () => (await store.update(update).catch(() => undefined))?.kind === 'ok',
        'the retry',
      );
      expect((await store.load(key))?.body).to.equal('after the move');
    },
  );

  it(
    verifies('R10')('with a node down the rest refuses (CLUSTERDOWN), and serves again when it is back'),
    async () => {
      const keys = await Promise.all(Array.from({ length: 6 }, () => made()));
      const lost = cluster.nodes[2] as RedisServer;
      await lost.kill('SIGSTOP');
      await eventually(
        async () => (await first().cli('cluster', 'info')).includes('cluster_state:fail'),
        'CLUSTERDOWN',
        20_000,
      );
      for (const key of keys) expect(await refusal(store.load(key))).to.equal('store_unavailable');
      await lost.kill('SIGCONT');
      for (const key of keys) {
        await eventually(
          async () => (await store.load(key).catch(() => null)) !== null,
          'the record',
          20_000,
        );
      }
      await eventually(() => store.ready, 'the store is ready');
    },
  );
});
