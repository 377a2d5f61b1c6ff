import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { type Company, startCompany } from '../../support/company.ts';
import { granted, LISTS, listsAdded, namesIn } from '../../support/lists.ts';
import type { McpClient } from '../../support/mcp-client.ts';

const tools = (name: string) => [
  { name: `${name}-own`, definition: { 'x-odd': { b: [null, '\u2028'], a: -0.5e-7 } } },
  { name: 'whoami', behaviour: 'whoami' as const },
];

describe('Lists at the sidecar of two callers, from two replicas, of three backends', function () {
  this.timeout(40_000);
  let company: Company;

  before(async () => {
    company = await startCompany({
      backends: {
        alpha: { tools: tools('alpha') },
        beta: { tools: tools('beta'), pageSize: 1 },
        gamma: { tools: tools('gamma'), answers: 'sse' },
      },
    });
  });
  after(() => company[Symbol.asyncDispose]());

  const bodies = async (client: McpClient) => {
    const texts: string[] = [];
    for (const method of LISTS)
      texts.push((await client.send({ jsonrpc: '2.0', id: 'same', method }).reply()).body);
    return texts;
  };
  const asked = () =>
    ['alpha', 'beta', 'gamma'].map(
      (name) => company.backend(name).view.requests({ rpc: 'tools/list' }).length,
    );

  it(
    verifies(
      'CAP-1',
      'CAP-2',
      'X9b',
      'AGG-3',
      'RST-1',
    )(
      'are the same bytes from the replica, from the sidecar, without a replica, and after the next one took over',
    ),
    async () => {
      const { sidecar } = company.mesh;
      const [alice, bob] = [await company.join('alice'), await company.join('bob')];
      const first = await bodies(alice.client);
      expect(await bodies(bob.client)).to.deep.equal(first);
      expect(first[0])
        .to.contain('"x-odd":{"b":[null,"\u2028"],"a":-5e-8}')
        .and.contain('"alpha__alpha-own"');
      for (const method of LISTS) {
        await granted(alice.client, sidecar, method);
        await granted(bob.client, sidecar, method);
      }
      // Each session has its own backend sessions, and each of those was asked for its pages once.
      expect(asked()).to.deep.equal([2, 4, 2]);
      for (const { client } of [alice, bob]) {
        const local = await listsAdded(sidecar, async () =>
          expect(await bodies(client)).to.deep.equal(first),
        );
        expect(local).to.deep.equal({ local: 4, crossed: 0 });
      }
      // What is granted to the one session and credential is granted to no other.
      const thief = alice.client.alias({ token: bob.client.token });
      const theft = await listsAdded(sidecar, async () =>
        expect((await thief.request('tools/list')).status).to.equal(404),
      );
      expect(theft).to.deep.equal({ local: 0, crossed: 1 });

      await company.loseOwner();
      for (const { client } of [alice, bob]) expect(await bodies(client)).to.deep.equal(first);
      for (const { client } of [alice, bob]) {
        expect((await client.call('alpha__whoami')).status).to.equal(200);
        await granted(client, sidecar);
        expect(await bodies(client)).to.deep.equal(first);
      }
      expect(await namesIn(bob.client)).to.deep.equal(
        ['alpha', 'beta', 'gamma'].flatMap((name) => [`${name}__${name}-own`, `${name}__whoami`]),
      );
      // Their backend sessions were taken up as they were, and nobody's token reached a backend.
      for (const name of ['alpha', 'beta', 'gamma']) {
        expect(company.backend(name).view.initialises, name).to.equal(2);
        expect(company.backend(name).view.authorizations, name).to.deep.equal([undefined]);
      }
    },
  );
});
