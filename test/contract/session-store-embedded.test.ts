import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { openDatabase } from '../../control-plane/store/embedded-database.ts';
import type { StoreAlarm } from '../../control-plane/store/hooks.ts';
import { openStore } from '../../control-plane/store/open.ts';
import type { SessionStore } from '../../control-plane/store/session-store.ts';
import { silentLogger } from '../../shared/log.ts';
import { verifies } from '../requirements.ts';
import { eventually, freshWriteId, newRecord } from '../support/stores.ts';

const WRITER = join(import.meta.dirname, '..', 'support', 'store-writer.ts');

describe('the embedded store, shared by processes', function () {
  this.timeout(60_000);
  let path: string;
  let store: SessionStore;
  const alarms: StoreAlarm[] = [];

  beforeEach(async () => {
    alarms.length = 0;
    path = await mkdtemp(join(tmpdir(), 'outrigger-store-'));
    store = await openStore(
      { kind: 'embedded', path },
      { log: silentLogger, onAlarm: (alarm) => alarms.push(alarm) },
    );
  });
  afterEach(async () => {
    await store.stop();
    await rm(path, { recursive: true, force: true });
  });

  function startWriter(): { child: ChildProcess; acknowledged: Map<string, number> } {
    const child = spawn(process.execPath, ['--import', 'tsx', WRITER, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const acknowledged = new Map<string, number>();
    let rest = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const [principal, name, version] = line.split(' ');
        acknowledged.set(`${principal} ${name}`, Number(version));
      }
    });
    return { child, acknowledged };
  }

  async function killed(child: ChildProcess): Promise<void> {
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }

  it(
    verifies('RST-1')(
      'a process killed while writing loses nothing that was acknowledged, and leaves nothing half done',
    ),
    async () => {
      const mine = newRecord();
      await store.create(mine);
      for (let round = 0; round < 2; round += 1) {
        const { child, acknowledged } = startWriter();
        await eventually(() => acknowledged.size > 20 * (round + 1), 'the writer writes', 30_000);
        expect((await store.touch(mine.key, 1)).kind).to.equal('ok');
        await killed(child);

        for (const [session, version] of acknowledged) {
          const [principal = '', name = ''] = session.split(' ');
          const record = await store.load({ principal, name });
          expect(record?.header.version, session).to.be.at.least(version);
          expect(record?.body).to.equal(record?.header.version === 1 ? 'first' : 'second');
        }
        expect((await store.touch(mine.key, 1)).kind).to.equal('ok');
        await store.create(newRecord());
      }
      expect(alarms).to.deep.equal([]);
    },
  );

  it(verifies('S6')("a process hears of another process's changes"), async () => {
    const heard: (string | null)[] = [];
    store.watch((name) => heard.push(name));
    const { child, acknowledged } = startWriter();
    await eventually(
      () => [...acknowledged].some(([, version]) => version === 2),
      'the writer updates',
      30_000,
    );
    const [session = ''] = [...acknowledged].find(([, version]) => version === 2) ?? [];
    await eventually(() => heard.includes(session.split(' ')[1] ?? ''), 'the change');
    await killed(child);
  });

  it(verifies('R3')('a process frozen while writing holds up nobody for good'), async () => {
    const { child, acknowledged } = startWriter();
    await eventually(() => acknowledged.size > 20, 'the writer writes', 30_000);
    const record = newRecord();
    await store.create(record);
    for (let round = 0; round < 3; round += 1) {
      child.kill('SIGSTOP');
      // Stopped inside a commit it holds the lock, and the answer is a refusal; else a success. Never a hang.
      await store.touch(record.key, 1).catch(() => undefined);
      expect(await store.load(record.key)).not.to.equal(null);
      child.kill('SIGCONT');
      await sleep(5);
    }
    await killed(child);
    await eventually(() => store.ready, 'the store is ready, by itself');
    await eventually(
      async () => (await store.touch(record.key, 1).catch(() => undefined))?.kind === 'ok',
      'the touch',
    );
  });

  it('the folder and its files are for this user alone', async () => {
    const mode = async (...parts: string[]) => ((await stat(join(path, ...parts))).mode & 0o777).toString(8);
    expect(await mode()).to.equal('700');
    expect(await mode('sessions')).to.equal('700');
    expect(await mode('sessions', 'data.mdb')).to.equal('600');
    expect(await mode('sessions', 'lock.mdb')).to.equal('600');
  });

  it(
    verifies('RST-1', 'RST-8')('sessions outlive the process, and what expired meanwhile is gone'),
    async () => {
      const [kept, expired] = [newRecord(), newRecord({ idleTtlMs: 50 })];
      await store.create(kept);
      await store.create(expired);
      await store.stop();
      await sleep(60);
      store = await openStore({ kind: 'embedded', path }, { log: silentLogger });
      expect(await store.load(kept.key)).to.include({ body: 'sealed body' });
      expect(await store.load(expired.key)).to.equal(null);
    },
  );

  it('after its end it refuses, and holds nothing open', async () => {
    await store.stop();
    const outcome = await store.load(newRecord().key).catch((error: unknown) => error);
    expect(outcome).to.have.property('reason', 'store_unavailable');
    expect(store.ready).to.equal(false);
  });

  it(verifies('R12')('a corrupted record is gone, set aside and told'), async () => {
    const database = await openDatabase(path);
    const corruptions = [
      (state: object) => ({ ...state, writes: 'none' }),
      (state: { header: object }) => ({ ...state, header: { ...state.header, version: 'abc' } }),
      (state: { header: object }) => ({ ...state, header: { ...state.header, schema: 99 } }),
      () => 'not a record',
    ];
    for (const corrupt of corruptions) {
      const { key } = await created();
      const id: [string, string] = [key.principal, key.name];
      database.root.resetReadTxn();
      await database.records.put(id, corrupt(database.records.get(id) as { header: object }), 7);
      expect(await store.load(key)).to.equal(null);
      expect(await store.touch(key, 1)).to.deep.equal({ kind: 'gone' });
      expect(await store.listPrincipal(key.principal)).to.deep.equal([]);
      database.root.resetReadTxn();
      expect(database.quarantine.get(id)).to.have.property('why');
    }
    const { key } = await created();
    await database.parts.put([key.principal, key.name], { summary: 'S', body: 'x'.repeat(70_000) });
    expect(await store.load(key)).to.equal(null);
    expect(alarms.map(({ kind }) => kind)).to.deep.equal(
      Array.from({ length: 5 }, () => 'record_quarantined'),
    );
  });

  async function created() {
    const record = newRecord({ writeId: freshWriteId() });
    await store.create(record);
    return record;
  }
});
