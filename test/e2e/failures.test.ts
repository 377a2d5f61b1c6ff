import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import type { Replica } from '../support/mesh.ts';
import {
  BACKEND_CREDENTIAL,
  type Incoming,
  metric,
  type Reply,
  reasonOf,
  type Setting,
  type Story,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';

/** How a replica is lost, and how it comes back. */
interface Loss {
  readonly name: string;
  lose(setting: Setting, owner: Replica): Promise<void>;
  recover(setting: Setting, owner: Replica): Promise<void>;
}

const LOSSES: readonly Loss[] = [
  {
    name: 'is killed',
    lose: (_, owner) => owner.kill('SIGKILL'),
    recover: (_, owner) => owner.start(),
  },
  {
    name: 'is frozen',
    lose: (_, owner) => owner.kill('SIGSTOP'),
    recover: (_, owner) => owner.kill('SIGCONT'),
  },
  {
    name: 'is cut off',
    lose: async (setting, owner) => setting.path(owner).set({ swallow: true }),
    recover: async (setting, owner) => setting.path(owner).heal(),
  },
];

describe('A replica is lost', function () {
  this.timeout(30_000);
  let setting: Setting;

  before(async () => {
    setting = await startSetting({ limits: { streamAfter: '300ms' } });
  });
  after(() => setting[Symbol.asyncDispose]());

  const sessionsAt = (replica: Replica) => metric(replica, 'outrigger_sessions');
  const executions = (tag: string) =>
    setting.backend.view.record.executions.filter((each) => (each.arguments as { tag?: string }).tag === tag);

  for (const loss of LOSSES) {
    describe(`A replica ${loss.name}`, () => {
      let idle: Story;
      let listing: Story;
      let reading: Story;
      let acting: Story;
      let initialises: number;
      let deletes: number;
      let list: Reply;
      let read: Reply;
      let act: Reply;
      let acted: Incoming;

      before(async () => {
        const { backend } = setting;
        await setting.whole();
        [idle, listing, reading, acting] = [
          await setting.open(),
          await setting.open(),
          await setting.open(),
          await setting.open(),
        ];
        await idle.client.call('count');
        // The first list of prompts is the backend's to answer.
        const prompts = backend.hold('prompts/list');
        const pending = listing.client.begin('prompts/list');
        await prompts.arrived;
        const slow = reading.client.beginCall('lookup', { tag: `read ${loss.name}`, ms: 1_500 });
        acted = acting.client.beginCall('effect', { tag: `act ${loss.name}`, ms: 5_000 });
        await until(
          'both calls run and stream',
          () => slow.lastEventId !== undefined && acted.lastEventId !== undefined,
        );
        initialises = backend.view.initialises;
        deletes = backend.view.deletes.length;

        await loss.lose(setting, idle.owner);
        act = await acted.reply();
        // The other replica has the session before the lost one hears from the backend.
        await acting.client.call('whoami');
        [list, read] = await Promise.all([pending.reply(), slow.reply()]);
        prompts.release();
        await loss.recover(setting, acting.owner);
      });

      it(
        verifies('RST-1', 'RST-11', 'C1')('an idle session goes on with the same backend session'),
        async () => {
          const reply = await idle.client.call('count');
          expect(textOf(reply)).to.equal('2');
          expect(reply.body).not.to.contain('backendRestarted');
          expect(JSON.parse(textOf(await idle.client.call('whoami')))).to.deep.equal({
            authorization: BACKEND_CREDENTIAL,
            sessionId: idle.backendSession,
          });
        },
      );

      it(verifies('RST-11', 'C1')('a list that was asked for is answered, by asking again'), () => {
        expect(list.status).to.equal(200);
        expect(list.answer?.result).to.deep.equal({ prompts: [{ name: 'greet' }] });
      });

      it(
        verifies('RST-11', 'C1')('a call that configuration calls replay-safe is answered, by calling again'),
        () => {
          expect(textOf(read)).to.equal('slept');
          expect(executions(`read ${loss.name}`)).to.have.length(2);
        },
      );

      it(
        verifies('RST-11', 'C1')('a call with an effect runs once, and its outcome is said to be unknown'),
        () => {
          expect(reasonOf(act)).to.equal('outcome_unknown');
          expect(act.answer?.error?.data).to.include({ retryable: false });
          expect(act.events.filter(({ message }) => message !== undefined)).to.have.length(1);
          expect(executions(`act ${loss.name}`)).to.have.length(1);
        },
      );

      it(
        verifies(
          'RST-11',
          'RST-1',
        )('after its return it is fenced: its late answer reaches nobody, and it ends no backend session'),
        async () => {
          await setting.whole();
          await until(
            'the lost replica let go what it was busy with',
            async () => (await sessionsAt(acting.owner)) < 4,
          );
          const resumed = await (await acting.client.listen(acted.lastEventId)).reply();
          expect(resumed.body).not.to.contain('slept');
          expect(reasonOf(resumed)).to.equal('outcome_unknown');
          for (const { client, backendSession } of [idle, listing, reading, acting]) {
            const seen = JSON.parse(textOf(await client.call('whoami')));
            expect(seen).to.deep.equal({ authorization: BACKEND_CREDENTIAL, sessionId: backendSession });
          }
          expect(setting.backend.view.deletes).to.have.length(deletes);
        },
      );

      it(
        verifies('RST-2')('the backend saw its configured credential alone, and no session was made anew'),
        () => {
          expect(setting.backend.view.authorizations).to.deep.equal([BACKEND_CREDENTIAL]);
          expect(setting.backend.view.initialises).to.equal(initialises);
        },
      );

      it(verifies('BACK-7', 'HTTP-11')('the end of each session ends its backend session once'), async () => {
        for (const { client, backendSession } of [idle, listing, reading, acting]) {
          expect((await client.end()).status).to.equal(200);
          const ended = () =>
            setting.backend.view.deletes.filter((each) => each.sessionId === backendSession);
          await until('the DELETE at the backend', () => ended().length > 0);
          expect(ended()).to.have.length(1);
        }
      });
    });
  }
});
