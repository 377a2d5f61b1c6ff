import { expect } from 'chai';
import { openStore } from '../../control-plane/store/open.ts';
import type { NewRecord, RecordKey, SessionStore } from '../../control-plane/store/session-store.ts';
import type { RedisStoreSettings } from '../../control-plane/store/settings.ts';
import { silentLogger } from '../../shared/log.ts';
import { verifies } from '../requirements.ts';
import { type SentinelGroup, startSentinel } from '../support/redis.ts';
import { eventually, freshKey, freshWriteId, newRecord, refusal } from '../support/stores.ts';

/** A primary with replicas and sentinels: what was acknowledged survives, and what was not is never claimed. */

type Opened = SessionStore & { [Symbol.asyncDispose](): Promise<void> };

async function open(settings: Omit<RedisStoreSettings, 'kind'>): Promise<Opened> {
  const hooks = { log: silentLogger };
  const store = await openStore(
    { kind: 'redis', durability: 'replicated', commandTimeoutMs: 500, ...settings },
    hooks,
  );
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.stop() });
}

const through = (group: SentinelGroup) => ({ sentinel: { nodes: group.sentinels, name: group.name } });

/** Tries until it is acknowledged, always with the same write id. */
async function acknowledged(store: SessionStore, record: NewRecord): Promise<RecordKey> {
  let outcome: string | undefined;
  await eventually(
    async () => {
      outcome = (await store.create(record).catch(() => undefined))?.kind;
      return outcome !== undefined;
    },
    'the record is acknowledged',
    20_000,
  );
  expect(outcome).to.equal('created');
  return record.key;
}

describe('faults of Redis with replicas', function () {
  this.timeout(90_000);

  it(
    verifies('R6')('a write that too few replicas have is refused; its retry is the same, single success'),
    async () => {
      await using group = await startSentinel();
      await using store = await open(through(group));
      const key = await acknowledged(store, newRecord());
      const primary = await group.primary();
      const replicas = group.servers.filter((server) => server !== primary);
      await Promise.all(replicas.map((replica) => replica.kill('SIGSTOP')));
      const update = { key, version: 1, epoch: 1, writeId: freshWriteId(), body: 'once' };
      expect(await refusal(store.update(update))).to.equal('store_unavailable');
      expect(await refusal(store.update(update)), 'on the connection that wrote').to.equal(
        'store_unavailable',
      );
      expect(await refusal(store.close(freshKey())), 'also what found nothing').to.equal('store_unavailable');
      await using fresh = await open(through(group));
      expect(await refusal(fresh.update(update)), 'on a connection that wrote nothing').to.equal(
        'store_unavailable',
      );
      expect((await store.load(key))?.header.version, 'reads and touches need no replica').to.equal(2);
      expect((await store.touch(key, 1)).kind).to.equal('ok');
      await Promise.all(replicas.map((replica) => replica.kill('SIGCONT')));
      let outcome: unknown;
      await eventually(async () => {
        outcome = await store.update(update).catch(() => undefined);
        return outcome !== undefined;
      }, 'the retry is acknowledged');
      expect(outcome).to.have.nested.property('header.version', 2);
      expect((await store.load(key))?.header.version).to.equal(2);
    },
  );

  it(
    verifies(
      'R5',
      'R6',
    )('after a failover what was acknowledged is there, and the old primary acknowledges nothing'),
    async () => {
      await using group = await startSentinel();
      await using store = await open(through(group));
      const keys = await Promise.all(Array.from({ length: 20 }, () => acknowledged(store, newRecord())));
      const [key] = keys as [RecordKey];
      const taken = await store.update({
        key,
        version: 1,
        epoch: 1,
        writeId: freshWriteId(),
        takeover: { owner: 'replica-2' },
      });
      expect(taken).to.have.nested.property('header.epoch', 2);
      const old = await group.primary();
      await using straggler = await open({ url: old.url });
      await old.kill('SIGSTOP');
      const renewed = await group.failedOver(old, 1);
      expect(renewed.port).not.to.equal(old.port);

      const update = { key, version: 2, epoch: 2, writeId: freshWriteId(), body: 'of the old side' };
      const late = refusal(straggler.update(update));
      await old.kill('SIGCONT');
      expect(await late).to.equal('store_unavailable');
      expect(await refusal(straggler.update(update))).to.equal('store_unavailable');

      await eventually(() => store.ready, 'the store follows');
      for (const each of keys) expect(await store.load(each), each.name).not.to.equal(null);
      expect((await store.load(key))?.header).to.include({ epoch: 2, version: 2 });
      expect(await store.touch(key, 1)).to.deep.include({ kind: 'fenced' });
      await group.reunite();
      expect(await refusal(straggler.update(update)), 'a replica now').to.equal('store_unavailable');
    },
  );

  it(verifies('R5')('over twenty kills and failovers no acknowledged session is missing'), async () => {
    // Four groups at once, five kills each.
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => surviving(5)));
    const sum = (pick: (outcome: Survival) => number) =>
      outcomes.reduce((total, each) => total + pick(each), 0);
    const acknowledgedSessions = sum(({ sessions }) => sessions);
    const missing = sum(({ missing }) => missing);
    console.log(
      `        20 kills, ${sum(({ failovers }) => failovers)} failovers, ${acknowledgedSessions} sessions acknowledged, ${missing} missing`,
    );
    expect(acknowledgedSessions).to.be.at.least(400);
    expect(missing).to.equal(0);
  });
});

interface Survival {
  readonly failovers: number;
  readonly sessions: number;
  readonly missing: number;
}

/** Creates sessions all the while servers are killed: a primary for good until another one serves, a primary that is back at once, a replica. */
async function surviving(kills: number): Promise<Survival> {
  await using group = await startSentinel({ aof: true });
  // Both replicas: either may be the next primary.
  await using store = await open({ ...through(group), waitReplicas: 2 });
  const found: RecordKey[] = [];
  let writing = true;
  const writers = Array.from({ length: 4 }, async () => {
    while (writing) found.push(await acknowledged(store, newRecord({ idleTtlMs: 600_000 })));
  });

  let failovers = 0;
  for (let kill = 0; kill < kills; kill += 1) {
    const primary = await group.primary();
    const victim = kill % 3 === 2 ? group.servers.find((server) => server !== primary) : primary;
    const before = found.length;
    await victim?.kill('SIGKILL');
    if (kill % 3 === 0) await group.failedOver(primary, 1);
    await victim?.restart();
    await eventually(
      async () => {
        await group.reunite();
        return found.length > before + 25;
      },
      'writes are acknowledged again',
      30_000,
    );
    if ((await group.primary()) !== primary) failovers += 1;
  }
  writing = false;
  await Promise.all(writers);
  const records = await Promise.all(found.map((key) => store.load(key)));
  return { failovers, sessions: found.length, missing: records.filter((record) => record === null).length };
}
