import { expect } from 'chai';
import {
  type Backend,
  BackendFault,
  type BackendHint,
  type BackendSession,
  type OpenOptions,
} from '../../control-plane/backend/backend.ts';
import type { Credential, CredentialStrategy } from '../../control-plane/credentials/strategy.ts';
import type { CallerIdentity } from '../../control-plane/identity/caller.ts';
import { BackendLink, type LinkOptions } from '../../control-plane/session/backend-link.ts';
import type { MeshError } from '../../shared/errors.ts';
import { type Cast, makeCast } from '../interleavings/cast.ts';
import { VirtualClock } from '../interleavings/virtual-clock.ts';
import { verifies } from '../requirements.ts';

/** A handshake that waits for its end. */
interface Handshake {
  readonly options: OpenOptions;
  readonly succeed: () => Promise<BackendSession>;
  readonly fail: (fault: BackendFault) => Promise<void>;
}

const FACTS = { protocolVersion: '2025-11-25', capabilities: {}, instructions: undefined };
const HINT: BackendHint = { sessionId: 'known', protocolVersion: '2025-11-25', initializeResult: '{}' };

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('the link to one backend', () => {
  let cast: Cast;
  let handshakes: Handshake[];
  let closed: { session: string; credential: Credential | undefined }[];
  let events: string[];

  before(async () => {
    cast = await makeCast();
  });

  beforeEach(() => {
    handshakes = [];
    closed = [];
    events = [];
  });

  function session(name: string): BackendSession {
    const never = () => Promise.reject(new Error('nobody calls it'));
    return {
      facts: FACTS,
      hint: { ...HINT, sessionId: name },
      fingerprint: name,
      call: never,
      notify: never,
      respond: never,
      cancel: () => {},
      listen: never,
      close: async (how) => {
        closed.push({ session: name, credential: how.terminate ? how.credential : undefined });
      },
    };
  }

  function link(changed: Partial<LinkOptions> = {}, resumable = true): BackendLink {
    const backend: Backend = {
      name: 'notes',
      resumable,
      ownProcess: false,
      open: (options) =>
        new Promise((resolve, reject) => {
          const made = session(`made-${handshakes.length + 1}`);
          handshakes.push({
            options,
            succeed: async () => {
              resolve(made);
              await settled();
              return made;
            },
            fail: async (fault) => {
              reject(fault);
              await settled();
            },
          });
        }),
      resume: ({ sessionId = '' }) => session(sessionId),
      stop: () => Promise.resolve(),
    };
    return new BackendLink({
      backend,
      strategy: {
        name: 'passed on',
        obtain: ({ caller }) => ({ authorization: caller.kind === 'identified' ? caller.token : '' }),
      },
      clock: new VirtualClock(cast.start),
      initializeTimeoutMs: 10_000,
      initializeParams: Buffer.from('{}'),
      requestIdBase: 0,
      hint: undefined,
      stateLost: false,
      had: changed.hint !== undefined,
      prepare: async () => void events.push('prepared'),
      onOpened: () => events.push('opened'),
      onMessage: () => {},
      onChanged: () => events.push('changed'),
      ...changed,
    });
  }

  const handshake = (index: number): Handshake => {
    const found = handshakes[index];
    if (found === undefined) throw new Error(`there is no handshake ${index}`);
    return found;
  };
  const outcome = (work: Promise<BackendSession>) =>
    work.then(
      ({ fingerprint }) => fingerprint,
      (thrown: unknown) => (thrown instanceof BackendFault ? thrown.kind : String(thrown)),
    );
  const tokens = () => handshakes.map(({ options }) => Reflect.get(options.credential, 'authorization'));
  const fault = (kind: BackendFault['kind']) => new BackendFault(kind, kind, { executed: 'no' });

  it(verifies('RST-4')('is opened once, however many wait, under its leader’s credential'), async () => {
    const notes = link();
    const waiting = [cast.owner, cast.refreshed, cast.narrow].map((caller) => outcome(notes.ensure(caller)));
    await settled();
    expect(notes.opening).to.equal(true);
    await handshake(0).succeed();
    expect(await Promise.all(waiting)).to.deep.equal(['made-1', 'made-1', 'made-1']);
    expect(tokens()).to.deep.equal([cast.owner.token]);
    expect(events).to.deep.equal(['prepared', 'opened']);
    expect(await outcome(notes.ensure(cast.narrow))).to.equal('made-1');
  });

  it(
    verifies(
      'RST-2',
      'RST-4',
      'B3',
    )('after the leader’s credential failed each follower leads once, with its own'),
    async () => {
      const notes = link();
      const callers = [cast.owner, cast.refreshed, cast.narrow];
      const waiting = callers.map((caller) => outcome(notes.ensure(caller)));
      for (let index = 0; index < 3; index += 1) {
        await settled();
        await handshake(index).fail(fault(index === 1 ? 'forbidden' : 'unauthorized'));
      }
      expect(await Promise.all(waiting)).to.deep.equal(['unauthorized', 'forbidden', 'unauthorized']);
      expect(tokens()).to.deep.equal(callers.map(({ token }) => token));
      expect(notes.outage?.fault?.kind).to.equal('unauthorized');
    },
  );

  it('two requests under one verdict share its failure too', async () => {
    const notes = link();
    const waiting = [cast.owner, cast.owner].map((caller) => outcome(notes.ensure(caller)));
    await settled();
    await handshake(0).fail(fault('unauthorized'));
    expect(await Promise.all(waiting)).to.deep.equal(['unauthorized', 'unauthorized']);
    expect(handshakes).to.have.length(1);
  });

  it(
    verifies('B1')('a backend that is down is down for all who wait, and tried anew by the next'),
    async () => {
      const notes = link();
      const waiting = [cast.owner, cast.narrow].map((caller) => outcome(notes.ensure(caller)));
      await settled();
      await handshake(0).fail(fault('unreachable'));
      expect(await Promise.all(waiting)).to.deep.equal(['unreachable', 'unreachable']);
      const next = outcome(notes.ensure(cast.owner));
      await settled();
      await handshake(1).succeed();
      expect(await next).to.equal('made-2');
    },
  );

  it(verifies('RST-4')('a leader whose token ends meanwhile takes nobody down with it'), async () => {
    const notes = link();
    const leader = outcome(notes.ensure(cast.ending));
    const follower = outcome(notes.ensure(cast.owner));
    await settled();
    expect(handshake(0).options.timeoutMs).to.equal(cast.ending.expiresAt - cast.start);
    await handshake(0).fail(fault('timeout'));
    expect(await leader).to.equal('unauthorized');
    await settled();
    await handshake(1).succeed();
    expect(await follower).to.equal('made-2');
  });

  it(verifies('I12')('a caller whose token has ended asks nothing of a backend'), async () => {
    const clock = new VirtualClock(cast.ending.expiresAt);
    expect(await outcome(link({ clock }).ensure(cast.ending))).to.equal('unauthorized');
    expect(handshakes).to.deep.equal([]);
  });

  it('each handshake takes its credential anew', async () => {
    const notes = link();
    const first = outcome(notes.ensure(cast.owner));
    await settled();
    notes.lost(await handshake(0).succeed(), fault('session_lost'));
    await first;
    const second = outcome(notes.ensure(cast.refreshed));
    await settled();
    await handshake(1).succeed();
    expect(await second).to.equal('made-2');
    expect(tokens()).to.deep.equal([cast.owner.token, cast.refreshed.token]);
  });

  describe('with credentials that somebody issues', () => {
    /** The n-th is `issued n`, lives for a minute, and is asked for at `obtained[n - 1]`. */
    function issuing(renews: boolean) {
      const obtained: (() => void)[] = [];
      const strategy: CredentialStrategy = {
        name: 'issuing',
        obtain: () =>
          new Promise((resolve) => {
            const authorization = `issued ${obtained.length + 1}`;
            obtained.push(() => resolve({ authorization }));
          }),
        expiresAt: () => cast.start + 60_000,
        refused: () => renews,
      };
      return { strategy, obtained };
    }

    it(verifies('BACK-6')('a handshake that is refused is made once more, with another'), async () => {
      const { strategy, obtained } = issuing(true);
      const opening = outcome(link({ strategy }).ensure(cast.owner));
      obtained[0]?.();
      await settled();
      await handshake(0).fail(fault('unauthorized'));
      obtained[1]?.();
      await settled();
      await handshake(1).fail(fault('unauthorized'));
      expect(await opening).to.equal('unauthorized');
      expect(tokens()).to.deep.equal(['issued 1', 'issued 2']);
    });

    it('where there is no other, it is not', async () => {
      const { strategy, obtained } = issuing(false);
      const opening = outcome(link({ strategy }).ensure(cast.owner));
      obtained[0]?.();
      await settled();
      await handshake(0).fail(fault('unauthorized'));
      expect(await opening).to.equal('unauthorized');
      expect(obtained).to.have.length(1);
    });

    it(
      verifies('I12')('a session may last as long as the shorter of the caller’s time and the credential’s'),
      async () => {
        for (const [caller, lifeMs] of [
          [cast.owner, 60_000],
          [cast.ending, cast.ending.expiresAt - cast.start],
        ] as const) {
          const { strategy, obtained } = issuing(false);
          void outcome(link({ strategy }).ensure(caller));
          obtained[0]?.();
          await settled();
          expect(handshakes.at(-1)?.options.lifeMs).to.equal(lifeMs);
        }
      },
    );

    it('one that does not come within a handshake’s time is not waited for, and what it took is not there for the handshake', async () => {
      const { strategy, obtained } = issuing(false);
      const clock = new VirtualClock(cast.start);
      const notes = link({ strategy, clock });
      const opening = notes.ensure(cast.owner).catch((error: MeshError) => error.reason);
      clock.advance(10_000);
      expect(await opening).to.equal('credential_unavailable');
      const next = outcome(notes.ensure(cast.owner));
      clock.advance(4_000);
      obtained[1]?.();
      await settled();
      expect(handshake(0).options.timeoutMs).to.equal(6_000);
      await handshake(0).succeed();
      expect(await next).to.equal('made-1');
    });
  });

  it(verifies('RST-1')('a hint is taken up without a word to the backend'), () => {
    const notes = link({ hint: HINT });
    expect(notes.session?.fingerprint).to.equal('known');
    expect(handshakes).to.deep.equal([]);
    expect(notes.takeStateLoss()).to.equal(false);
  });

  it(verifies('BACK-2', 'RST-5')('the loss of a backend’s state is said once'), async () => {
    const notes = link({ hint: HINT });
    const known = notes.session;
    if (known === undefined) throw new Error('the hint is taken up');
    notes.lost(known, fault('session_lost'));
    notes.lost(known, fault('session_lost'));
    const again = outcome(notes.ensure(cast.owner));
    await settled();
    expect(notes.takeStateLoss()).to.equal(false);
    const made = await handshake(0).succeed();
    expect(await again).to.equal('made-1');
    expect([notes.takeStateLoss(), notes.takeStateLoss()]).to.deep.equal([true, false]);
    // The last one is that it was said.
    expect(events).to.deep.equal(['changed', 'prepared', 'opened', 'changed']);
    notes.lost(known, fault('session_lost'));
    expect(notes.session).to.equal(made);
    expect(closed).to.deep.equal([{ session: 'known', credential: undefined }]);
  });

  it(
    verifies('RST-5')('a backend session made afresh where there was one before has lost its state'),
    async () => {
      const rows: [had: boolean, lost: boolean][] = [
        [true, true],
        [false, false],
      ];
      for (const [had, lost] of rows) {
        handshakes = [];
        const notes = link({ had }, false);
        const opened = outcome(notes.ensure(cast.owner));
        await settled();
        await handshake(0).succeed();
        await opened;
        expect(notes.takeStateLoss()).to.equal(lost);
      }
    },
  );

  it(
    verifies('RST-5')('a loss that an earlier owner of the session had no time to say is still said'),
    () => {
      const notes = link({ hint: HINT, stateLost: true });
      expect([notes.stateLost, notes.takeStateLoss(), notes.takeStateLoss()]).to.deep.equal([
        true,
        true,
        false,
      ]);
    },
  );

  describe('when the session ends', () => {
    it(verifies('S10', 'RST-7')('disconnecting tells the backend nothing'), async () => {
      const notes = link({ hint: HINT });
      await notes.end({ kind: 'disconnect' });
      expect(closed).to.deep.equal([{ session: 'known', credential: undefined }]);
      expect(await outcome(notes.ensure(cast.owner))).to.equal('aborted');
    });

    it(
      verifies('BACK-7')('a terminal end deletes under the credential of the one who asked for it'),
      async () => {
        const notes = link({ hint: HINT });
        await notes.end({ kind: 'terminate', caller: cast.refreshed });
        expect(closed).to.deep.equal([
          { session: 'known', credential: { authorization: cast.refreshed.token } },
        ]);
      },
    );

    it(
      verifies('BACK-7')('without a live caller it takes a credential that is nobody’s, or tells nothing'),
      async () => {
        const service = { 'x-key': 'of the mesh' };
        const obtain = () => service;
        const own = link({ hint: HINT, strategy: { name: 'own', obtain } });
        await own.end({ kind: 'terminate', caller: undefined });
        const shared = link({ hint: HINT, strategy: { name: 'shared', obtain, unattended: () => service } });
        await shared.end({ kind: 'terminate', caller: undefined });
        expect(closed.map(({ credential }) => credential)).to.deep.equal([undefined, service]);
      },
    );

    it(
      verifies('RST-7', 'C3')('what is being opened is abandoned, and what comes of it released'),
      async () => {
        const notes = link();
        const waiting = ([cast.owner, cast.narrow] satisfies CallerIdentity[]).map((caller) =>
          outcome(notes.ensure(caller)),
        );
        await settled();
        const ended = notes.end({ kind: 'terminate', caller: cast.owner });
        expect(handshake(0).options.signal.aborted).to.equal(true);
        await handshake(0).succeed();
        await ended;
        expect(await Promise.all(waiting)).to.deep.equal(['aborted', 'aborted']);
        expect(closed).to.deep.equal([
          { session: 'made-1', credential: { authorization: cast.owner.token } },
        ]);
        expect(events).to.not.include('opened');
      },
    );

    it('a backend that fails at its end disturbs nobody', async () => {
      const notes = link({ hint: HINT });
      const known = notes.session;
      if (known === undefined) throw new Error('the hint is taken up');
      known.close = () => Promise.reject(fault('unreachable'));
      await notes.end({ kind: 'disconnect' });
    });
  });
});
