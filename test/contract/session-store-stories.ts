import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { slackMs } from '../../control-plane/store/limits.ts';
import type {
  RecordHeader,
  RecordKey,
  SessionStore,
  StoredEvent,
  VaultWrite,
} from '../../control-plane/store/session-store.ts';
import { verifies } from '../requirements.ts';
import {
  eventually,
  freshKey,
  freshPrincipal,
  freshWriteId,
  newRecord,
  refusal,
  type StoreFixture,
  type StoreKind,
  startStores,
} from '../support/stores.ts';

/** What every session store promises, told once and run on each. `one` and `two` are the stores of two replicas. */
export function tellSessionStore(kind: StoreKind): void {
  describe(`the session store: ${kind}`, () => {
    let fixture: StoreFixture;
    let one: SessionStore;
    let two: SessionStore;

    before(async function () {
      this.timeout(60_000);
      fixture = await startStores(kind);
      one = await fixture.open();
      two = await fixture.open();
    });
    after(async () => {
      await fixture?.[Symbol.asyncDispose]();
    });

    async function made(change: Parameters<typeof newRecord>[0] = {}) {
      const record = newRecord(change);
      const outcome = await one.create(record);
      if (outcome.kind !== 'created') throw new Error('The record was there already.');
      return { key: record.key, record, header: outcome.header };
    }

    /** Raises the epoch on the other replica. */
    async function takenOver(key: RecordKey, header: RecordHeader): Promise<RecordHeader> {
      const outcome = await two.update({
        key,
        version: header.version,
        epoch: header.epoch,
        writeId: freshWriteId(),
        takeover: { owner: 'replica-2' },
      });
      if (outcome.kind !== 'ok') throw new Error(`The takeover was answered ${outcome.kind}.`);
      return outcome.header;
    }

    describe('records', () => {
      it(verifies('RST-1')('a record made by one replica is read by another'), async () => {
        const { key, header } = await made({ summary: 'S', body: 'B' });
        expect(header).to.include({ version: 1, epoch: 1, owner: 'replica-1', schema: 1, keyId: 'k1' });
        expect(header.expiresAt - header.takenAt).to.equal(600_000);
        expect(header.idleExpiresAt - header.takenAt).to.equal(60_000);
        expect(await two.load(key)).to.deep.equal({ header, summary: 'S', body: 'B' });
      });

      it('a name is given once; the retry of its creation is the same success', async () => {
        const { record, header } = await made();
        expect(await two.create(record)).to.deep.equal({ kind: 'created', header });
        expect(await two.create({ ...record, writeId: freshWriteId() })).to.deep.equal({ kind: 'exists' });
      });

      it(
        verifies('RST-3', 'S2', 'S3')('what another principal asks for is not there, and moves nothing'),
        async () => {
          const { key, header } = await made();
          const foreign = { principal: freshPrincipal(), name: key.name };
          await fixture.pass(20);
          expect(await two.load(foreign)).to.equal(null);
          expect(await two.touch(foreign, 1)).to.deep.equal({ kind: 'gone' });
          const update = { key: foreign, version: 1, epoch: 1, writeId: freshWriteId() };
          expect(await two.update(update)).to.deep.equal({ kind: 'gone' });
          expect(await two.close(foreign)).to.equal(false);
          expect((await one.load(key))?.header).to.deep.equal(header);
        },
      );

      it(verifies('RST-3')('reading slides nothing'), async () => {
        const { key, header } = await made();
        await fixture.pass(20);
        await two.load(key);
        await two.listPrincipal(key.principal);
        await two.readEvents({ key, stream: 'a', after: 0 });
        expect((await one.load(key))?.header).to.deep.equal(header);
      });

      it('malformed names and oversized parts are refused before anything is written', async () => {
        const record = newRecord({ body: 'x'.repeat(64 * 1024 + 1) });
        expect(await refusal(one.create(record))).to.equal('message_too_large');
        expect(await one.load(record.key)).to.equal(null);
        const { key } = await made({ body: 'x'.repeat(64 * 1024) });
        const update = {
          key,
          version: 1,
          epoch: 1,
          writeId: freshWriteId(),
          body: 'x'.repeat(64 * 1024 + 1),
        };
        expect(await refusal(one.update(update))).to.equal('message_too_large');
        expect((await one.load(key))?.header.version).to.equal(1);
        expect(await refusal(one.load({ principal: 'a}b', name: 'x' }))).to.equal('internal');
      });
    });

    describe('time', () => {
      it(verifies('RST-8')('a touch slides the idle expiry'), async () => {
        const { key, header } = await made();
        await fixture.pass(30);
        const outcome = await two.touch(key, 1);
        expect(outcome.kind).to.equal('ok');
        const after = (await one.load(key))?.header;
        expect(after?.idleExpiresAt).to.be.at.least(header.idleExpiresAt + 25);
        expect(after).to.deep.equal({ ...header, idleExpiresAt: after?.idleExpiresAt });
      });

      it(verifies('RST-8')('a touch soon after another writes nothing, and costs no idle time'), async () => {
        const idleTtlMs = 10_000;
        const { key } = await made({ idleTtlMs });
        await fixture.pass(5);
        const first = await one.touch(key, 1);
        await fixture.pass(5);
        const asked = await one.now();
        const second = await one.touch(key, 1);
        expect(second).to.deep.equal(first);
        const { idleExpiresAt } = (await two.load(key))?.header ?? { idleExpiresAt: 0 };
        expect(idleExpiresAt).to.be.within(asked + idleTtlMs, asked + idleTtlMs + slackMs(idleTtlMs));
        await fixture.pass(slackMs(idleTtlMs));
        await two.touch(key, 1);
        expect((await one.load(key))?.header.idleExpiresAt).to.be.at.least(asked + idleTtlMs + 100);
      });

      it(verifies('RST-8')('an idle session ends, and to everybody it is gone'), async () => {
        const { key } = await made({ idleTtlMs: 60 });
        await fixture.pass(90);
        await expectGone(one, key);
        await expectGone(two, key);
      });

      it(verifies('RST-8')('nothing extends a session beyond its absolute end'), async () => {
        const { key, header } = await made({ idleTtlMs: 10_000, absoluteTtlMs: 120 });
        expect(header.idleExpiresAt).to.equal(header.expiresAt);
        await fixture.pass(30);
        const touched = await one.touch(key, 1);
        expect(touched).to.have.nested.property('header.idleExpiresAt', header.expiresAt);
        await fixture.pass(130);
        await expectGone(two, key);
      });

      it('the clock is the store’s, and the same for all replicas', async () => {
        const { header } = await made();
        const [a, b] = [await one.now(), await two.now()];
        expect(a).to.be.within(header.takenAt, header.takenAt + 5000);
        expect(b).to.be.within(a, a + 5000);
      });
    });

    describe('compare and swap', () => {
      it('an update needs the version that is there', async () => {
        const { key, header } = await made();
        const first = await one.update({
          key,
          version: 1,
          epoch: 1,
          writeId: freshWriteId(),
          body: 'B2',
          keyId: 'k2',
        });
        expect(first).to.deep.include({ kind: 'ok' });
        const second = await two.update({ key, version: 1, epoch: 1, writeId: freshWriteId(), body: 'B3' });
        expect(second).to.deep.include({ kind: 'conflict' });
        expect(second).to.have.nested.property('header.version', 2);
        const record = await two.load(key);
        expect(record).to.include({ summary: 'sealed summary', body: 'B2' });
        expect(record?.header).to.include({ version: 2, epoch: 1, keyId: 'k2', takenAt: header.takenAt });
      });

      it(verifies('R19')('of 64 writers at once every success is counted once'), async () => {
        const { key } = await made({ body: '0' });
        const work = async (store: SessionStore) => {
          for (let attempt = 0; attempt < 500; attempt += 1) {
            const record = await store.load(key);
            if (record === null) throw new Error('The record is gone.');
            const { version, epoch } = record.header;
            const body = String(Number(record.body) + 1);
            const outcome = await store.update({ key, version, epoch, writeId: freshWriteId(), body });
            if (outcome.kind === 'ok') return;
          }
          throw new Error('The writer never came through.');
        };
        await Promise.all(Array.from({ length: 64 }, (_, at) => work(at % 2 === 0 ? one : two)));
        const record = await one.load(key);
        expect(record?.body).to.equal('64');
        expect(record?.header.version).to.equal(65);
      }).timeout(60_000);

      it('the retry of a write is the same success, and overlooks nothing written since', async () => {
        const { key } = await made();
        const write = { key, version: 1, epoch: 1, writeId: freshWriteId(), body: 'mine' };
        const first = await one.update(write);
        expect(first).to.have.nested.property('header.version', 2);
        expect(await one.update(write)).to.have.nested.property('header.version', 2);
        await two.update({ key, version: 2, epoch: 1, writeId: freshWriteId(), body: 'theirs' });
        const late = await one.update(write);
        expect(late).to.include({ kind: 'ok' });
        expect(late).to.have.nested.property('header.version', 2);
        const next = await one.update({
          key,
          version: 2,
          epoch: 1,
          writeId: freshWriteId(),
          body: 'over it',
        });
        expect(next.kind).to.equal('conflict');
        expect((await one.load(key))?.body).to.equal('theirs');
      });
    });

    describe('ownership', () => {
      it(verifies('RST-11')('a takeover raises the epoch, and fences the old owner for good'), async () => {
        const { key, header } = await made();
        const write = { key, version: 1, epoch: 1, writeId: freshWriteId(), body: 'before' };
        await one.update(write);
        const taken = await takenOver(key, { ...header, version: 2 });
        expect(taken).to.include({ version: 3, epoch: 2, owner: 'replica-2' });
        expect(taken.takenAt).to.be.at.least(header.takenAt);
        const fenced = { kind: 'fenced', header: (await two.load(key))?.header };
        expect(await one.touch(key, 1)).to.deep.equal(fenced);
        expect(await one.update({ ...write, version: 3, writeId: freshWriteId() })).to.deep.equal(fenced);
        expect(await one.update(write), 'a retry from before').to.deep.equal(fenced);
        expect(await one.appendEvents({ key, stream: 'a', epoch: 1, events: [event(1)] })).to.equal('fenced');
        expect((await two.readEvents({ key, stream: 'a', after: 0 })).last).to.equal(0);
        expect((await two.load(key))?.body).to.equal('before');
      });

      it(
        verifies('RST-11', 'S6')('of sessions touched at once, one taken over is its taker’s alone'),
        async () => {
          const [mine, taken, ended] = [await made(), await made(), await made()];
          await one.touch(taken.key, 1);
          await takenOver(taken.key, taken.header);
          await two.close(ended.key);
          const more = await Promise.all(Array.from({ length: 300 }, () => made()));
          const keys = [taken, mine, ended, ...more].map(({ key }) => key);
          const kinds = await Promise.all(keys.map(async (key) => (await one.touch(key, 1)).kind));
          expect(kinds).to.deep.equal(['fenced', 'ok', 'gone', ...more.map(() => 'ok')]);
          const both = await Promise.all([one.touch(taken.key, 1), two.touch(taken.key, 2)]);
          expect(both.map(({ kind }) => kind)).to.deep.equal(['fenced', 'ok']);
        },
      ).timeout(20_000);

      it(verifies('S10')('a session is taken over once a second at most'), async () => {
        const { key, header } = await made();
        const taken = await takenOver(key, header);
        const again = {
          key,
          version: taken.version,
          epoch: taken.epoch,
          writeId: freshWriteId(),
          takeover: { owner: 'replica-1' },
        };
        expect(await one.update(again)).to.deep.equal({ kind: 'too_soon', header: taken });
        await fixture.pass(1001);
        expect(await one.update(again)).to.have.nested.property('header.epoch', 3);
      });

      it(
        verifies('RST-13')('an owner takes up its own session again at any time, under a new epoch'),
        async () => {
          const { key, header } = await made();
          const taken = await takenOver(key, header);
          const again = {
            key,
            version: taken.version,
            epoch: taken.epoch,
            writeId: freshWriteId(),
            takeover: { owner: taken.owner },
          };
          const { epoch, version, takenAt } = taken;
          expect(await two.update(again)).to.deep.include({ kind: 'ok' });
          expect((await two.load(key))?.header).to.include({
            epoch: epoch + 1,
            version: version + 1,
            takenAt,
          });
        },
      );

      it(verifies('S10')('of many takers at once one succeeds'), async () => {
        const { key } = await made();
        const takers = Array.from({ length: 16 }, (_, at) =>
          (at % 2 === 0 ? one : two).update({
            key,
            version: 1,
            epoch: 1,
            writeId: freshWriteId(),
            takeover: { owner: `replica-${at}` },
          }),
        );
        const kinds = (await Promise.all(takers)).map(({ kind }) => kind);
        expect(kinds.filter((each) => each === 'ok')).to.have.length(1);
        expect(kinds.filter((each) => each === 'fenced')).to.have.length(15);
      });
    });

    describe('the end of a session', () => {
      it(verifies('RST-7', 'S7')('a closed session is gone for all, with everything of it'), async () => {
        const { key } = await made();
        await one.appendEvents({ key, stream: 'a', epoch: 1, events: [event(1)] });
        expect(await two.close(key)).to.equal(true);
        await expectGone(one, key);
        expect(await one.close(key)).to.equal(false);
      });

      it(verifies('R20', 'RST-7')('closing beats updates, touches and appends in any order'), async () => {
        for (let round = 0; round < 25; round += 1) {
          const { key, record } = await made();
          const work = [
            () => one.update({ key, version: 1, epoch: 1, writeId: freshWriteId(), body: 'x' }),
            () =>
              two.update({
                key,
                version: 1,
                epoch: 1,
                writeId: record.writeId,
                takeover: { owner: 'replica-2' },
              }),
            () => one.touch(key, 1),
            () => two.touch(key, 1),
            () => one.appendEvents({ key, stream: 'a', epoch: 1, events: [event(1)] }),
            () => one.load(key),
            () => two.listPrincipal(key.principal),
          ];
          const order = [...work, ...work].sort(() => Math.random() - 0.5);
          const started = order.slice(0, round % order.length).map((run) => run());
          const closing = two.close(key);
          const late = order.slice(round % order.length).map((run) => run());
          expect(await closing).to.equal(true);
          await Promise.all([...started, ...late]);
          await expectGone(one, key);
        }
      }).timeout(60_000);

      it('what is set aside is gone, and is told', async () => {
        const { key } = await made();
        const before = fixture.alarms.length;
        await one.quarantine(key, 'unsealable');
        await expectGone(two, key);
        if (kind !== 'memory') {
          expect(fixture.alarms.slice(before).map((alarm) => alarm.kind)).to.deep.equal([
            'record_quarantined',
          ]);
        }
      });
    });

    describe('finding sessions', () => {
      it(verifies('S3', 'S5')('a witness says under which binding a session was made'), async () => {
        const { record } = await made();
        expect(await two.witness(record.witness.id)).to.equal('binding');
        expect(await two.witness('unknown')).to.equal(null);
      });

      it(verifies('S13')("a principal's sessions come least recently touched first"), async () => {
        const principal = freshPrincipal();
        const keys: RecordKey[] = [];
        for (let at = 0; at < 3; at += 1) {
          keys.push((await made({ key: freshKey(principal) })).key);
          await fixture.pass(5);
        }
        await made();
        const [first, second, third] = keys as [RecordKey, RecordKey, RecordKey];
        await two.touch(first, 1);
        await one.close(second);
        const listed = await two.listPrincipal(principal);
        expect(listed.map(({ name }) => name)).to.deep.equal([third.name, first.name]);
        expect(listed[0]?.touchedAt).to.be.below(listed[1]?.touchedAt ?? 0);
        expect(await two.listPrincipal(freshPrincipal())).to.deep.equal([]);
      });

      it('all sessions are listed in pages, each once, without the closed ones', async () => {
        const keys = await Promise.all(Array.from({ length: 23 }, async () => (await made()).key));
        await one.close(keys[0] as RecordKey);
        const seen: string[] = [];
        let cursor: string | undefined;
        for (let pages = 0; pages < 100; pages += 1) {
          const page = await two.list({ limit: 5, ...(cursor === undefined ? {} : { cursor }) });
          expect(page.sessions.length).to.be.at.most(5);
          for (const { key, summary, header } of page.sessions) {
            expect(header.version).to.be.at.least(1);
            expect(summary).to.be.a('string');
            seen.push(key.name);
          }
          cursor = page.next;
          if (cursor === undefined) break;
        }
        expect(new Set(seen).size).to.equal(seen.length);
        expect(seen).to.include.members(keys.slice(1).map(({ name }) => name));
        expect(seen).not.to.include(keys[0]?.name);
        expect(await refusal(two.list({ limit: 5, cursor: 'nonsense' }))).to.equal('invalid_request');
      }).timeout(30_000);

      it('a routing table is kept once, as long as its longest wish', async () => {
        const id = freshWriteId();
        expect(await one.getTable(id)).to.equal(null);
        await one.putTable(id, 'sealed table', 60_000);
        await two.putTable(id, 'sealed table', 30);
        await fixture.pass(60);
        expect(await two.getTable(id)).to.equal('sealed table');
        const brief = freshWriteId();
        await one.putTable(brief, 'gone soon', 30);
        await fixture.pass(60);
        expect(await two.getTable(brief)).to.equal(null);
        expect(await refusal(one.putTable(id, 'x'.repeat(1024 * 1024 + 1), 1000))).to.equal(
          'message_too_large',
        );
      });
    });

    describe('events', () => {
      it(verifies('HTTP-18')('a stream is read from where its reader stopped, on any replica'), async () => {
        const { key } = await made();
        await one.appendEvents({ key, stream: 'a', epoch: 1, events: [event(1), event(2)] });
        await one.appendEvents({ key, stream: 'a', epoch: 1, events: [event(3, { answer: true })] });
        await one.appendEvents({ key, stream: 'b', epoch: 1, events: [event(1, { text: 'other' })] });
        const page = await two.readEvents({ key, stream: 'a', after: 1 });
        expect(page).to.include({ dropped: 0, last: 3 });
        expect(page.events.map(plain)).to.deep.equal([
          { seq: 2, text: 'event 2', answer: false },
          { seq: 3, text: 'event 3', answer: true },
        ]);
        expect(await two.readEvents({ key, stream: 'a', after: 3 })).to.deep.equal({
          events: [],
          dropped: 0,
          last: 3,
        });
        expect(await two.readEvents({ key, stream: 'c', after: 0 })).to.deep.equal({
          events: [],
          dropped: 0,
          last: 0,
        });
      });

      it('a retried append adds nothing twice', async () => {
        const { key } = await made();
        const append = { key, stream: 'a', epoch: 1, events: [event(1), event(2)] };
        await Promise.all([one.appendEvents(append), one.appendEvents(append)]);
        await one.appendEvents({ ...append, events: [event(2), event(3)] });
        const { events } = await two.readEvents({ key, stream: 'a', after: 0 });
        expect(events.map(({ seq }) => seq)).to.deep.equal([1, 2, 3]);
      });

      it(verifies('HTTP-18')('beyond 256 events the oldest go, are counted, and answers stay'), async () => {
        const { key } = await made();
        const all = Array.from({ length: 300 }, (_, at) => event(at + 1, { answer: at === 9 }));
        await one.appendEvents({ key, stream: 'a', epoch: 1, events: all });
        const page = await two.readEvents({ key, stream: 'a', after: 0 });
        expect(page.events.map(({ seq }) => seq)).to.deep.equal([10, ...range(45, 300)]);
        expect(page).to.include({ dropped: 43, last: 300 });
        expect(await two.readEvents({ key, stream: 'a', after: 100 })).to.include({ dropped: 0 });
      });

      it(
        verifies('HTTP-18', 'RPC-15')('beyond 1 MiB the oldest go, and a large answer stays whole'),
        async () => {
          const { key } = await made();
          const large = (seq: number) => ({ seq, answer: false, data: Buffer.alloc(300 * 1024, seq) });
          for (let seq = 1; seq <= 5; seq += 1) {
            await one.appendEvents({ key, stream: 'a', epoch: 1, events: [large(seq)] });
          }
          const data = Buffer.alloc(4 * 1024 * 1024, 'answer ');
          await one.appendEvents({ key, stream: 'a', epoch: 1, events: [{ seq: 6, answer: true, data }] });
          const page = await two.readEvents({ key, stream: 'a', after: 0 });
          expect(page.events.map(({ seq }) => seq)).to.deep.equal([3, 4, 5, 6]);
          expect(page).to.include({ dropped: 2, last: 6 });
          expect(Buffer.from(page.events[0]?.data ?? []).equals(large(3).data)).to.equal(true);
          expect(Buffer.from(page.events[3]?.data ?? []).equals(data)).to.equal(true);
          const huge = { seq: 7, answer: true, data: Buffer.alloc(4 * 1024 * 1024 + 64 * 1024 + 1) };
          expect(await refusal(one.appendEvents({ key, stream: 'a', epoch: 1, events: [huge] }))).to.equal(
            'message_too_large',
          );
        },
      );

      it(verifies('RPC-15')('a session keeps 128 streams, the latest written'), async () => {
        const { key } = await made();
        for (let at = 0; at < 130; at += 1) {
          await one.appendEvents({ key, stream: `s${at}`, epoch: 1, events: [event(1)] });
          // The order of two streams within one millisecond is nobody's promise.
          if (at < 3) await fixture.pass(2);
        }
        const last = async (stream: string) => (await two.readEvents({ key, stream, after: 0 })).last;
        expect(await Promise.all(['s0', 's1', 's2', 's129'].map(last))).to.deep.equal([0, 0, 1, 1]);
      }).timeout(30_000);

      it(
        verifies('RPC-15')('streams of a session are written side by side, each whole, and no more are kept'),
        async () => {
          const { key } = await made();
          const streams = Array.from({ length: 160 }, (_, n) => `s${n}`);
          const append = (stream: string, seq: number) =>
            one.appendEvents({ key, stream, epoch: 1, events: [event(seq)] });
          await Promise.all(
            streams.slice(0, 120).flatMap((stream) => [1, 2, 3].map((seq) => append(stream, seq))),
          );
          const kept = async (stream: string) =>
            (await two.readEvents({ key, stream, after: 0 })).events.map(({ seq }) => seq);
          for (const stream of streams.slice(0, 120)) expect(await kept(stream)).to.deep.equal([1, 2, 3]);
          await Promise.all(streams.slice(120).map((stream) => append(stream, 1)));
          await append('last', 1);
          const all = await Promise.all([...streams, 'last'].map(kept));
          expect(all.filter((events) => events.length > 0)).to.have.lengthOf(128);
          expect(all.at(-1)).to.deep.equal([1]);
        },
      );

      it('a new owner goes on with the stream that it finds', async () => {
        const { key, header } = await made();
        await one.appendEvents({ key, stream: 'a', epoch: 1, events: [event(1)] });
        await takenOver(key, header);
        expect(await two.appendEvents({ key, stream: 'a', epoch: 2, events: [event(2)] })).to.equal('ok');
        const { events } = await two.readEvents({ key, stream: 'a', after: 0 });
        expect(events.map(({ seq }) => seq)).to.deep.equal([1, 2]);
      });

      it(verifies('RST-3')("another principal reads nothing of a session's events"), async () => {
        const { key } = await made();
        await one.appendEvents({ key, stream: 'a', epoch: 1, events: [event(1)] });
        const foreign = { principal: freshPrincipal(), name: key.name };
        const page = await two.readEvents({ key: foreign, stream: 'a', after: 0 });
        expect(page).to.deep.equal({ events: [], dropped: 0, last: 0 });
      });
    });

    describe('the vault', () => {
      const name = () => `v${freshKey().name}`;
      const write = (change: Partial<VaultWrite> & { readonly id: string }): VaultWrite => ({
        expected: null,
        version: freshWriteId(),
        sealed: 'sealed login',
        ttlMs: 60_000,
        ...change,
      });

      it(
        verifies('BACK-6')('an entry is made once, read by all, and replaced by whoever saw the last'),
        async () => {
          const id = name();
          expect(await one.readVault(id)).to.equal(null);
          expect(await one.writeVault(write({ id, version: 'first' }))).to.equal(true);
          expect(await two.writeVault(write({ id, version: 'rival' }))).to.equal(false);
          expect(await two.readVault(id)).to.deep.equal({ version: 'first', sealed: 'sealed login' });
          const next = write({ id, expected: 'first', version: 'second', sealed: 'another' });
          expect(await two.writeVault(next)).to.equal(true);
          expect(await one.writeVault(write({ id, expected: 'first' }))).to.equal(false);
          expect(await one.readVault(id)).to.deep.equal({ version: 'second', sealed: 'another' });
        },
      );

      it('of many who replace one entry at once, one does', async () => {
        const id = name();
        await one.writeVault(write({ id, version: 'first' }));
        const outcomes = await Promise.all(
          range(1, 10).map((n) => (n % 2 ? one : two).writeVault(write({ id, expected: 'first' }))),
        );
        expect(outcomes.filter((written) => written)).to.have.length(1);
      });

      it('a write whose answer was lost is the same success again', async () => {
        const id = name();
        const first = write({ id });
        expect(await one.writeVault(first)).to.equal(true);
        expect(await two.writeVault(first)).to.equal(true);
        const next = write({ id, expected: first.version });
        expect(await one.writeVault(next)).to.equal(true);
        expect(await one.writeVault(next)).to.equal(true);
        expect(await one.writeVault(first)).to.equal(false);
      });

      it('what is cleared stays away from writers that saw it, and only its own version is cleared', async () => {
        const id = name();
        await one.writeVault(write({ id, version: 'first' }));
        await two.clearVault(id, 'other');
        expect(await one.readVault(id)).not.to.equal(null);
        await two.clearVault(id, 'first');
        await two.clearVault(id, 'first');
        expect(await one.readVault(id)).to.equal(null);
        expect(await one.writeVault(write({ id, expected: 'first' }))).to.equal(false);
        expect(await one.writeVault(write({ id }))).to.equal(true);
      });

      it('an entry ends by itself', async () => {
        const id = name();
        await one.writeVault(write({ id, version: 'first', ttlMs: 300 }));
        expect(await two.readVault(id)).not.to.equal(null);
        await fixture.pass(400);
        expect(await two.readVault(id)).to.equal(null);
        expect(await two.writeVault(write({ id }))).to.equal(true);
      });

      it('a replica hears of changes by others', async () => {
        const heard: (string | null)[] = [];
        const stop = two.watch((changed) => heard.push(changed));
        await eventually(
          () => heard.length > 0 || ['memory', 'embedded'].includes(kind),
          'the watcher hears',
        );
        const id = name();
        await one.writeVault(write({ id, version: 'first' }));
        await eventually(() => heard.includes(id), 'the watcher hears of a write');
        heard.length = 0;
        await one.clearVault(id, 'first');
        await eventually(() => heard.includes(id), 'the watcher hears of its end');
        stop();
      });

      it('nothing malformed or too large is kept', async () => {
        const id = name();
        expect(await refusal(one.writeVault(write({ id, sealed: 'x'.repeat(65 * 1024) })))).to.equal(
          'message_too_large',
        );
        expect(await refusal(one.writeVault(write({ id: 'a b' })))).to.equal('internal');
        expect(await refusal(one.readVault('a:b'))).to.equal('internal');
      });
    });

    describe('invalidations', () => {
      it(
        verifies('S6')("a replica hears of the others' updates and closes, and not of its own"),
        async () => {
          const heard: (string | null)[] = [];
          const stop = two.watch((name) => heard.push(name));
          // A fresh watcher may be told that everything may have changed.
          await eventually(
            () => heard.length > 0 || ['memory', 'embedded'].includes(kind),
            'the watcher hears',
          );
          const { key } = await made();
          const mine = await made();
          await two.update({ key: mine.key, version: 1, epoch: 1, writeId: freshWriteId() });
          await one.update({ key, version: 1, epoch: 1, writeId: freshWriteId() });
          await eventually(() => heard.includes(key.name), 'the watcher hears');
          heard.length = 0;
          await one.close(key);
          await eventually(() => heard.includes(key.name), 'the watcher hears');
          stop();
          const other = await made();
          await one.close(other.key);
          await sleep(150);
          expect(heard).not.to.include(other.key.name);
          expect(heard).not.to.include(mine.key.name);
        },
      );
    });

    it('says how fast it is', async () => {
      const keys = await Promise.all(Array.from({ length: 100 }, async () => (await made()).key));
      const rate = async (name: string, run: (key: RecordKey) => Promise<unknown>) => {
        const started = performance.now();
        await Promise.all(keys.map(run));
        return `${name} ${Math.round((keys.length * 1000) / (performance.now() - started))}/s`;
      };
      const rates = [
        await rate('load', (key) => one.load(key)),
        await rate('touch', (key) => one.touch(key, 1)),
        await rate('update', (key) => one.update({ key, version: 1, epoch: 1, writeId: freshWriteId() })),
        await rate('append', (key) => one.appendEvents({ key, stream: 'a', epoch: 1, events: [event(1)] })),
      ];
      console.log(`        ${rates.join(', ')}`);
    });
  });
}

async function expectGone(store: SessionStore, key: RecordKey): Promise<void> {
  expect(await store.load(key)).to.equal(null);
  expect(await store.touch(key, 1)).to.deep.equal({ kind: 'gone' });
  expect(await store.update({ key, version: 1, epoch: 1, writeId: freshWriteId() })).to.deep.equal({
    kind: 'gone',
  });
  expect(await store.appendEvents({ key, stream: 'a', epoch: 1, events: [event(1)] })).to.equal('gone');
  expect(await store.readEvents({ key, stream: 'a', after: 0 })).to.deep.equal({
    events: [],
    dropped: 0,
    last: 0,
  });
  expect(await store.witness(`w${key.name}`)).to.equal(null);
  expect(await store.listPrincipal(key.principal)).to.deep.equal([]);
  expect(await store.close(key)).to.equal(false);
}

function event(seq: number, { answer = false, text = `event ${seq}` } = {}): StoredEvent {
  return { seq, answer, data: Buffer.from(text) };
}

function plain({ seq, data, answer }: StoredEvent) {
  return { seq, text: Buffer.from(data).toString(), answer };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}
