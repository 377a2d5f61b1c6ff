import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { type Company, type Member, startCompany, until } from '../../support/company.ts';
import { LISTS, namesIn } from '../../support/lists.ts';
import type { Incoming } from '../../support/mcp-client.ts';

describe('Changed lists of three backends, for two callers, at two replicas', function () {
  this.timeout(40_000);
  let company: Company;
  let members: Member[];
  let streams: Incoming[];

  before(async () => {
    company = await startCompany();
    members = [await company.join('alice'), await company.join('bob')];
    for (const { client } of members) for (const method of LISTS) await client.request(method);
    streams = await Promise.all(members.map(({ client }) => client.listen()));
    await heardAgain();
  });
  after(() => company[Symbol.asyncDispose]());

  const NAMES = ['alpha', 'beta', 'gamma'];
  const heardAgain = async () => {
    for (const name of NAMES) await company.backend(name).listeners(2);
  };
  const push = (name: string, kind: string, session?: string) =>
    company.backend(name).push({ method: `notifications/${kind}/list_changed` }, session);
  const heard = () => streams.map(({ messages }) => messages.map(({ method }) => method?.split('/')[1]));
  const bothHear = (count: number) =>
    until(`${count} changes are told`, () => streams.every(({ messages }) => messages.length >= count));

  it(
    verifies(
      'AGG-10',
      'HTTP-16',
    )('are told to each whose list changed, once a burst, and the list is new by then'),
    async () => {
      const fresh = [{ name: 'fresh' }];
      company.backend('alpha').script({ tools: fresh });
      for (let burst = 0; burst < 5; burst += 1) push('alpha', 'tools');
      await bothHear(1);
      for (const { client } of members) {
        const names = await namesIn(client);
        expect(names.filter((name) => name.startsWith('alpha__'))).to.deep.equal(['alpha__fresh']);
        expect(names).to.include('beta__echo').and.include('gamma__echo');
      }
      // Emptied lists, of another backend, in one burst.
      company.backend('beta').script({ prompts: [], resources: [], resourceTemplates: [] });
      for (const kind of ['prompts', 'resources', 'prompts']) push('beta', kind);
      await bothHear(3);
      for (const { client } of members) {
        expect(await namesIn(client, 'prompts/list')).to.deep.equal(['alpha__greet', 'gamma__greet']);
      }
      expect(heard().map((kinds) => kinds.toSorted())).to.deep.equal(
        Array(2).fill(['prompts', 'resources', 'tools']),
      );
      // Where nothing is different nobody is told: what follows shows that nothing came between.
      push('gamma', 'tools');
      push('gamma', 'resources');
      company.backend('gamma').script({ prompts: [{ name: 'ask' }] });
      push('gamma', 'prompts');
      await bothHear(4);
      for (const kinds of heard()) expect(kinds.slice(3)).to.deep.equal(['prompts']);
    },
  );

  it(
    verifies(
      'AGG-10',
      'S12',
      'RST-5',
      'CAP-1',
    )('also while a replica takes over from a killed one, and afterwards'),
    async () => {
      const before = heard().map(({ length }) => length);
      // The change is made while nobody can hear of it.
      company.backend('gamma').script({ tools: [{ name: 'meanwhile' }] });
      const lost = await company.loseOwner();
      for (const { client } of members) expect((await client.request('ping')).status).to.equal(200);
      await heardAgain();
      await until('both are told', () => heard().every((kinds, at) => kinds.length > (before[at] ?? 0)));
      for (const { client } of members) expect(await namesIn(client)).to.include('gamma__meanwhile');
      company.backend('alpha').script({ tools: [] });
      push('alpha', 'tools');
      await until('both are told again', () =>
        heard().every((kinds, at) => kinds.length > (before[at] ?? 0) + 1),
      );
      await company.bringBack(lost);
      company.backend('alpha').script({ resources: [{ uri: 'memo://last', name: 'last' }] });
      push('alpha', 'resources');
      await until('and again', () => heard().every((kinds, at) => kinds.length > (before[at] ?? 0) + 2));
      for (const [at, kinds] of heard().entries()) {
        expect(kinds.slice(before[at])).to.deep.equal(['tools', 'tools', 'resources']);
        expect(streams[at]?.over).to.equal(false);
      }
      for (const { client } of members)
        expect((await namesIn(client)).filter((name) => name.startsWith('alpha__'))).to.deep.equal([]);
      // No session was made anew for any of it.
      for (const name of NAMES) expect(company.backend(name).view.initialises, name).to.equal(2);
    },
  );
});
