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
    company = await startCompany({ identity: { tokenGrace: `${GRACE_S}s` } });
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
    )('with other scopes sees lists of its own: what was granted before, and to others, is not shown again'),
    async () => {
      const { sidecar } = company.mesh;
      const [alice, bob] = [await company.join('alice'), await company.join('bob')];
      const wide = alice.client.alias({ token: company.token('alice', { scope: 'read write' }) });
      const narrow = alice.client.alias({ token: company.token('alice', { scope: 'read' }) });
      const same = alice.client.alias({ token: company.token('alice', { scope: 'write read' }) });
      const asked = () =>
        NAMES.map(
          (name) =>
            company.backend(name).view.requests({ rpc: 'tools/list', sessionId: alice.at(name) }).length,
        );
      const first = await wide.listen();
      await listeners(1);
      for (const client of [wide, bob.client])
        for (const method of LISTS) await granted(client, sidecar, method);
      const before = asked();
      // Fewer scopes: another authorization context, for which every backend is read anew.
      const step = await listsAdded(sidecar, () => narrow.request('tools/list'));
      expect(step).to.deep.equal({ local: 0, crossed: 1 });
      expect(asked()).to.deep.equal(before.map((count) => count + 1));
      // A refreshed token with the same scopes in another order is the same context: nobody is asked again.
      await granted(same, sidecar);
      expect(asked()).to.deep.equal(before.map((count) => count + 1));
      const second = await narrow.listen(first.lastEventId);
      await first.ended;
      await granted(narrow, sidecar);
      await company.loseOwner();
      const names = await namesIn(bob.client);
      for (const client of [wide, narrow, same]) expect(await namesIn(client)).to.deep.equal(names);
      await listeners(1);
      company.backend('beta').script({ tools: [] });
      company.backend('beta').push({ method: 'notifications/tools/list_changed' });
      await second.message('notifications/tools/list_changed');
      expect((await namesIn(narrow)).filter((name) => name.startsWith('beta__'))).to.deep.equal([]);
      for (const name of NAMES) expect(company.backend(name).view.initialises, name).to.equal(2);
    },
  );
});
