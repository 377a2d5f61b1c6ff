import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { type Company, type Member, startCompany, until } from '../../support/company.ts';
import { granted, LISTS, listsAdded, namesIn } from '../../support/lists.ts';

const NAMES = ['alpha', 'beta', 'gamma'];
/** How long an open stream outlives its token. */
const GRACE_S = 1;

const now = () => Math.floor(Date.now() / 1_000);

describe('Listening of two callers to three backends, at two replicas', function () {
  this.timeout(40_000);
  let company: Company;

  beforeEach(async () => {
    company = await startCompany({
      identity: { tokenGrace: `${GRACE_S}s` },
      entries: { beta: { tools: { count: { requiredScopes: ['write'] } } } },
      config: { admission: { onMissingScope: 'hide' } },
    });
  });
  afterEach(() => company[Symbol.asyncDispose]());

  const listens = (member: Member, name: string) =>
    company.backend(name).view.requests({ method: 'GET', sessionId: member.at(name) });
  const say = (member: Member, name: string, data: string) =>
    company
      .backend(name)
      .push({ method: 'notifications/message', params: { level: 'info', data } }, member.at(name));
  const listeners = async (count: number) => {
    for (const name of NAMES) await company.backend(name).listeners(count);
  };

  it(
    verifies(
      'I12',
      'HTTP-16',
      'HTTP-25',
      'BACK-3',
      'RST-10',
    )('ends with the token, at the backends too, and goes on where it stopped under a fresh one'),
    async () => {
      const [alice, bob] = [await company.join('alice'), await company.join('bob')];
      for (const { client } of [alice, bob]) await client.request('tools/list');
      const exp = now() + 3;
      const [brief, renewed] = [alice, bob].map(({ client }, at) =>
        client.alias({ token: company.token(at === 0 ? 'alice' : 'bob', { exp }) }),
      );
      if (brief === undefined || renewed === undefined) throw new Error('two callers');
      const [ending, older] = [await brief.listen(), await renewed.listen()];
      await listeners(2);
      // The next replica takes the streams over, and the expiry with them.
      await company.loseOwner();
      for (const { client } of [alice, bob]) expect((await client.request('ping')).status).to.equal(200);
      await listeners(2);
      for (const [member, stream] of [
        [alice, ending],
        [bob, older],
      ] as const) {
        for (const name of NAMES) say(member, name, `${name} at first`);
        await until('it is heard', () => stream.messages.length === NAMES.length);
      }

      // One caller has a fresh token in time, and its stream goes on under that.
      const newer = await renewed.alias({ token: bob.client.token }).listen(older.lastEventId);
      await older.ended;
      await listeners(2);
      await ending.ended;
      expect(now()).to.be.at.least(exp + GRACE_S);
      await listeners(1);
      expect(newer.over).to.equal(false);
      for (const name of NAMES) say(bob, name, `${name} for bob`);
      await until('bob hears', () => newer.messages.length === NAMES.length);

      // What is said while nobody may listen is asked for by whoever may again.
      const asked = NAMES.map((name) => listens(alice, name).length);
      for (const name of NAMES) say(alice, name, `${name} unheard`);
      company.backend('alpha').script({ tools: [{ name: 'new' }] });
      await sleep(200);
      expect(NAMES.map((name) => listens(alice, name).length)).to.deep.equal(asked);
      const again = await alice.client.listen(ending.lastEventId);
      await again.message('notifications/tools/list_changed');
      await until('it catches up', () => again.messages.length === NAMES.length + 1);
      const data = again.messages.flatMap(({ params }) => params?.['data'] ?? []);
      expect(data).to.have.members(NAMES.map((name) => `${name} unheard`));
      for (const name of NAMES) {
        expect(listens(alice, name).at(-1)?.headers['last-event-id'], name).to.be.a('string');
        expect(company.backend(name).view.initialises, name).to.equal(2);
      }
      expect(await namesIn(alice.client)).to.include('alpha__new');
      // Each caller heard its own alone.
      for (const stream of [ending, older, newer, again])
        expect(stream.messages.length).to.be.at.most(NAMES.length + 1);
      expect(newer.messages.map(({ params }) => params?.['data'])).to.have.members(
        NAMES.map((name) => `${name} for bob`),
      );
    },
  );

  it(
    verifies(
      'RST-10',
      'CAP-2',
      'X9b',
      'AGG-7',
      'AGG-10',
    )(
      'with other scopes sees lists of its own, and is told so: nothing that was granted before, or to others, is shown',
    ),
    async () => {
      const { sidecar } = company.mesh;
      const [alice, bob] = [await company.join('alice'), await company.join('bob')];
      const as = (scope: string) => alice.client.alias({ token: company.token('alice', { scope }) });
      const [wide, narrow] = [as('read write'), as('read')];
      const first = await wide.listen();
      await listeners(1);
      for (const client of [wide, bob.client])
        for (const method of LISTS) await granted(client, sidecar, method);
      expect(await namesIn(wide)).to.include('beta__count');
      expect(await namesIn(bob.client))
        .to.include('beta__echo')
        .and.not.include('beta__count');

      // The stream goes on under a token with fewer scopes.
      const second = await narrow.listen(first.lastEventId);
      await first.ended;
      await second.message('notifications/tools/list_changed');
      const step = await listsAdded(sidecar, async () =>
        expect(await namesIn(narrow))
          .to.include('beta__echo')
          .and.not.include('beta__count'),
      );
      expect(step.local + step.crossed).to.equal(1);
      const runs = () => company.backend('beta').view.executionsOf('count');
      const hidden = await narrow.call('beta__count');
      const unknown = await narrow.call('beta__nothing');
      expect(hidden.answer?.error?.code).to.equal(unknown.answer?.error?.code).and.to.equal(-32602);
      expect(runs()).to.equal(0);
      await granted(narrow, sidecar);
      // The same at the next replica, for each of the tokens and for the other caller.
      await company.loseOwner();
      for (const [client, sees] of [
        [narrow, false],
        [bob.client, false],
        [wide, true],
        [as('write read'), true],
      ] as const) {
        expect((await namesIn(client)).includes('beta__count')).to.equal(sees);
        expect((await client.call('beta__count')).answer?.error === undefined).to.equal(sees);
      }
      expect(runs()).to.equal(2);
      expect(second.over).to.equal(false);
      for (const name of NAMES) expect(company.backend(name).view.initialises, name).to.equal(2);
    },
  );
});
