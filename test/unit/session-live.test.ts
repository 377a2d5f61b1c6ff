import { expect } from 'chai';
import type { Backend, BackendSession } from '../../control-plane/backend/backend.ts';
import { LeaseRenewals } from '../../control-plane/session/lease-renewals.ts';
import { LiveSession, type SessionEnvironment } from '../../control-plane/session/live-session.ts';
import { RecordCrypto } from '../../control-plane/session/record-crypto.ts';
import { RecordNames } from '../../control-plane/session/record-names.ts';
import { newSessionId } from '../../control-plane/session/session-id.ts';
import { parseBody } from '../../control-plane/session/session-record.ts';
import { MemorySessionStore } from '../../control-plane/store/memory.ts';
import { MeshError } from '../../shared/errors.ts';
import { type Cast, makeCast } from '../interleavings/cast.ts';
import { VirtualClock } from '../interleavings/virtual-clock.ts';
import { verifies } from '../requirements.ts';

const DESIRED = ['one', 'two', 'three', 'four', 'five', 'six'];
const FACTS = { protocolVersion: '2025-11-25', capabilities: {}, instructions: undefined };

describe('a live session and its record', () => {
  let cast: Cast;
  const names = new RecordNames({ current: new Uint8Array(32).fill(1) });
  const crypto = new RecordCrypto([{ id: 'k1', key: new Uint8Array(32).fill(2) }]);

  before(async () => {
    cast = await makeCast();
  });

  function backend(name: string, deleted: string[]): Backend {
    const never = () => Promise.reject(new Error('nobody calls it'));
    const session = (): BackendSession => ({
      facts: FACTS,
      hint: { sessionId: `of ${name}`, protocolVersion: '2025-11-25', initializeResult: '{}' },
      fingerprint: name,
      call: never,
      notify: never,
      respond: never,
      cancel: () => {},
      listen: never,
      close: async ({ terminate }) => void (terminate && deleted.push(name)),
    });
    return {
      name,
      resumable: true,
      ownProcess: false,
      open: async () => session(),
      resume: session,
      stop: () => Promise.resolve(),
    };
  }

  /** A session that is being made; `slow` holds every store operation until it is let go. */
  function setUp() {
    const clock = new VirtualClock(cast.start);
    const held: (() => void)[] = [];
    const state = { slow: false, failing: 0, updates: 0 };
    const store = new MemorySessionStore({
      clock: () => clock.now(),
      schedule: () => (state.slow ? new Promise<void>((resolve) => held.push(resolve)) : Promise.resolve()),
    });
    const update = store.update.bind(store);
    store.update = (change) => {
      state.updates += 1;
      if (state.failing === 0) return update(change);
      state.failing -= 1;
      return Promise.reject(new MeshError('store_unavailable', 'not now'));
    };
    const deleted: string[] = [];
    const strategy = { name: 'none', obtain: () => ({}), unattended: () => ({}) };
    const env: SessionEnvironment = {
      replica: 'replica',
      store,
      clock,
      crypto,
      limits: { sessionIdleMs: 60_000, sessionAbsoluteMs: 3_600_000, leaseMs: 1_000 },
      backends: new Map(DESIRED.map((name) => [name, { backend: backend(name, deleted), strategy }])),
      desired: ({ desired }) => desired,
      initializeTimeoutMs: () => 10_000,
      cutParams: (params) => Buffer.from(params),
      handlers: {
        backendMessage: () => {},
        backendOpened: () => {},
        prepareBackend: () => Promise.resolve(),
        ended: () => {},
      },
    };
    const id = newSessionId();
    const session = new LiveSession(env, {
      id,
      key: names.key(cast.owner, id),
      bindingKey: cast.owner.bindingKey,
      body: {
        protocolVersion: '2025-11-25',
        initializeParams: '{}',
        virtualServer: 'default',
        desired: DESIRED,
        subscriptions: [],
        opened: [],
        hints: {},
      },
      summary: { ...cast.owner.binding, client: 'test', virtualServer: 'default', backends: DESIRED },
    });
    const release = () => {
      state.slow = false;
      for (const go of held.splice(0)) go();
    };
    const record = async () => {
      const stored = await store.load(session.key);
      if (stored === null) throw new Error('there is no record');
      return parseBody(crypto.openBody(session.key.name, id.secret, stored.body) ?? '');
    };
    const open = (name: string) => session.links.get(name)?.ensure(cast.owner);
    const publish = () => session.publish(names.witness(cast.owner, id));
    return { session, store, state, held, clock, deleted, release, record, open, publish };
  }

  const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

  it('a backend that joins while the record is written is in it all the same', async () => {
    const { open, publish, state, release, session, record } = setUp();
    await open('one');
    state.slow = true;
    const published = publish();
    await open('two');
    release();
    await published;
    await session.saved();
    expect(Object.keys((await record())?.hints ?? {})).to.deep.equal(['one', 'two']);
  });

  it(verifies('RST-6')('many backends that join one after another are all written'), async () => {
    const { open, publish, state, held, release, record } = setUp();
    await publish();
    state.slow = true;
    for (const name of DESIRED) {
      await open(name);
      // One write ends, and there is already more to write.
      held.shift()?.();
      await settled();
    }
    release();
    await settled();
    const body = await record();
    expect(body?.hints).to.have.all.keys(DESIRED);
    expect(body?.desired).to.deep.equal(DESIRED);
  });

  it(verifies('RST-9')('what the store did not take is written by whoever asks next'), async () => {
    const { open, publish, state, session, record } = setUp();
    await publish();
    state.failing = 2;
    await open('one');
    await settled();
    expect((await record())?.hints).to.deep.equal({});
    await session.saved();
    expect(Object.keys((await record())?.hints ?? {})).to.deep.equal(['one']);
  });

  it(verifies('RST-9')('a store that stays away is said, and the session lives on'), async () => {
    const { open, publish, state, session } = setUp();
    await publish();
    state.failing = 100;
    await open('one');
    const refusal = await session.saved().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(refusal).to.be.instanceOf(MeshError).with.property('reason', 'store_unavailable');
    expect(session.state).to.equal('live');
  });

  it('a create whose answer was lost counts once', async () => {
    const { publish, session, store } = setUp();
    const create = store.create.bind(store);
    let lost = false;
    store.create = async (record) => {
      const outcome = await create(record);
      if (lost) return outcome;
      lost = true;
      throw new MeshError('store_unavailable', 'the answer was lost');
    };
    await publish();
    expect([session.state, session.epoch]).to.deep.equal(['live', 1]);
  });

  it(verifies('S6')('a lease lasts as long as it says, from when it was asked for'), async () => {
    const { publish, session, clock } = setUp();
    await publish();
    clock.advance(999);
    expect(session.leaseValid).to.equal(true);
    clock.advance(1);
    expect(session.leaseValid).to.equal(false);
    await session.touch();
    expect(session.leaseValid).to.equal(true);
    session.distrust();
    expect(session.leaseValid).to.equal(false);
  });

  it(verifies('S6')('a lease is renewed before it ends, once, if the session is used under it'), async () => {
    const { publish, session, clock, store } = setUp();
    await publish();
    const leases = new LeaseRenewals(clock, 1_000);
    let touches = 0;
    const touch = store.touch.bind(store);
    store.touch = (key, epoch) => {
      touches += 1;
      return touch(key, epoch);
    };
    leases.used(session);
    clock.advance(700);
    leases.used(session);
    expect(touches, 'early').to.equal(0);
    clock.advance(150);
    await settled();
    clock.advance(500);
    expect([session.leaseValid, touches]).to.deep.equal([true, 1]);
    clock.advance(1_000);
    await settled();
    expect([session.leaseValid, touches], 'unused').to.deep.equal([false, 1]);
    leases.used(session);
    leases.stop();
    clock.advance(1_000);
    expect(touches, 'stopped').to.equal(1);
  });

  it(
    verifies('S6', 'RST-9')('a renewal that the store does not answer leaves the lease as it was'),
    async () => {
      const { publish, session, clock, store } = setUp();
      await publish();
      const leases = new LeaseRenewals(clock, 1_000);
      store.touch = () => Promise.reject(new MeshError('store_unavailable', 'not now'));
      leases.used(session);
      clock.advance(990);
      await settled();
      expect([session.state, session.leaseValid]).to.deep.equal(['live', true]);
      clock.advance(10);
      expect(session.leaseValid).to.equal(false);
    },
  );

  it(verifies('S6', 'S10')('a renewal that meets another owner ends the session here'), async () => {
    const { publish, session, clock, store } = setUp();
    await publish();
    const leases = new LeaseRenewals(clock, 1_000);
    const takeover = { owner: 'another' };
    await store.update({ key: session.key, version: 1, epoch: 1, writeId: 'w', takeover });
    leases.used(session);
    clock.advance(850);
    await settled();
    expect([session.state, session.leaseValid]).to.deep.equal(['fenced', false]);
  });

  it(
    verifies('S10', 'RST-11')('a replica that meets a higher epoch is finished, and deletes nothing'),
    async () => {
      const { open, publish, session, store, deleted } = setUp();
      await publish();
      await open('one');
      await session.saved();
      const { header } = (await store.load(session.key)) ?? { header: { version: 0 } };
      const takeover = { owner: 'another' };
      await store.update({ key: session.key, version: header.version, epoch: 1, writeId: 'w', takeover });
      await session.touch();
      await settled();
      expect([session.state, deleted]).to.deep.equal(['fenced', []]);
    },
  );

  it(verifies('RST-7')('a record that is gone ends the session, also at its backends'), async () => {
    const { open, publish, session, store, deleted } = setUp();
    await publish();
    await open('one');
    await session.saved();
    await store.close(session.key);
    session.save();
    await session.saved();
    await settled();
    expect([session.state, deleted]).to.deep.equal(['closed', ['one']]);
    expect(await store.load(session.key)).to.equal(null);
  });
});
