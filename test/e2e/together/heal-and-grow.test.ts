import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { type Company, startCompany, until } from '../../support/company.ts';
import { namesIn } from '../../support/lists.ts';
import { type Incoming, McpClient, type Reply, reasonOf, textOf } from '../../support/mcp-client.ts';

type Missing = Readonly<Record<string, { status: string; reason: string }>>;

const missing = (reply: Reply) =>
  ((reply.answer?.result ?? {}) as { _meta?: Record<string, Missing> })._meta?.['dev.outrigger/backends'] ??
  {};

describe('Sessions of two callers of which one backend is late, and another is away', function () {
  this.timeout(60_000);
  let company: Company;

  before(async () => {
    company = await startCompany({
      limits: { initializeAnswer: '500ms' },
      // They are asked again as soon as they are there: how long one is left alone is another story.
      entries: { beta: { breaker: { open: '100ms' } }, gamma: { breaker: { open: '100ms' } } },
    });
  });
  after(() => company[Symbol.asyncDispose]());

  it(
    verifies(
      'RST-6',
      'M3',
      'AGG-1',
      'AGG-6',
      'B1',
      'B2',
      'B20',
    )('begin with who is there, say who is not, and have all in the end, whatever replica they are at'),
    async () => {
      const [alpha, beta, gamma] = ['alpha', 'beta', 'gamma'].map((name) => company.backend(name));
      if (alpha === undefined || beta === undefined || gamma === undefined) throw new Error('three backends');
      // Only the late one has prompts.
      for (const each of [alpha, beta]) each.script({ prompts: [] });
      await beta.stop();
      const late = [gamma.hold('initialize'), gamma.hold('initialize')];
      gamma.script({ refuse: { '': 503 } });
      const clients = ['alice', 'bob'].map(
        (sub) => new McpClient({ url: company.mesh.url, token: company.token(sub) }),
      );
      for (const client of clients) {
        const begun = missing(await client.initialize());
        expect(Object.keys(begun)).to.have.members(['beta', 'gamma']);
        expect(begun['beta']).to.include({ status: 'unavailable', reason: 'backend_unavailable' });
        expect(begun['gamma']).to.include({ status: 'connecting' });
      }
      for (const hold of late) hold.release();
      for (const client of clients) {
        const listed = await client.request('tools/list');
        expect(Object.keys(missing(listed))).to.have.members(['beta', 'gamma']);
        expect(listed.body).to.contain('"alpha__echo"').and.not.contain('gamma__').and.not.contain('beta__');
        expect(await namesIn(client, 'prompts/list')).to.deep.equal([]);
        expect(textOf(await client.call('alpha__echo', { n: 1 }))).to.equal('{"n":1}');
        expect(reasonOf(await client.call('beta__echo'))).to.equal('backend_unavailable');
      }

      // For somebody who listens, those who are missing are asked again.
      gamma.script({ refuse: {} });
      const streams: Incoming[] = [];
      for (const client of clients) streams.push(await client.listen());
      for (const [at, client] of clients.entries()) {
        await streams[at]?.message('notifications/tools/list_changed');
        await streams[at]?.message('notifications/prompts/list_changed');
        expect(await namesIn(client)).to.include('gamma__echo');
        expect(await namesIn(client, 'prompts/list')).to.deep.equal(['gamma__greet']);
      }

      // A replica that never met the absent backend restores the sessions without it, and still wants it.
      const lost = await company.loseOwner();
      for (const client of clients) {
        expect(textOf(await client.call('gamma__count'))).to.equal('1');
        expect(Object.keys(missing(await client.request('tools/list')))).to.deep.equal(['beta']);
        expect(reasonOf(await client.call('beta__echo'))).to.equal('backend_unavailable');
      }
      await beta.restart();
      await company.bringBack(lost);
      for (const [at, client] of clients.entries()) {
        const stream = streams[at];
        await until('the client is told', () => (stream?.messages.length ?? 0) >= 3);
        expect(await namesIn(client)).to.include('beta__echo');
        expect(stream?.over).to.equal(false);
      }
      // What a takeover made of it lasts.
      await company.loseOwner();
      for (const client of clients) {
        expect(missing(await client.request('tools/list'))).to.deep.equal({});
        expect(textOf(await client.call('gamma__count'))).to.equal('2');
        expect(textOf(await client.call('beta__echo', { n: 2 }))).to.equal('{"n":2}');
      }
      // One session for each caller at each backend: those that were there never noticed.
      for (const each of [alpha, beta, gamma]) expect(each.view.sessions, each.url).to.have.lengthOf(2);
    },
  );
});
