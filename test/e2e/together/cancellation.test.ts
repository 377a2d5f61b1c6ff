import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { type Company, type Member, startCompany, until } from '../../support/company.ts';
import { type McpClient, textOf } from '../../support/mcp-client.ts';
import { answered, metric } from '../../support/story.ts';

const CAPABILITIES = { elicitation: { form: {} } };

/** A call under an id of our own. */
const begin = (client: McpClient, id: unknown, name: string) =>
  client.send({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: {} } });

describe('What a client says of its call at another replica than the call’s own', function () {
  this.timeout(60_000);

  describe('while the call’s replica is drained', () => {
    let company: Company;
    let alice: Member;
    let bob: Member;

    before(async () => {
      company = await startCompany({ limits: { streamAfter: '200ms' } });
      alice = await company.join('alice', { capabilities: CAPABILITIES });
      bob = await company.join('bob', { capabilities: CAPABILITIES });
    });
    after(() => company[Symbol.asyncDispose]());

    it(
      verifies(
        'RPC-7',
        'RPC-5',
        'RST-12',
      )('each question is answered where it was asked, and nobody else tells the backend that it is lost'),
      async () => {
        const { client } = alice;
        const [owner] = await owners(company);
        const old = client.beginCall('alpha__ask');
        const asked = await old.message('elicitation/create');
        const hanging = begin(bob.client, 'bobs', 'gamma__hang');
        await until('it runs', () => company.backend('gamma').view.executionsOf('hang') === 1);
        const gone = owner.kill('SIGTERM');
        expect(textOf(await answered(() => client.call('beta__echo', {})))).to.equal('{}');
        // The same session, at the next replica: another question, while the first call still streams.
        const next = client.beginCall('beta__ask');
        const askedNext = await next.message('elicitation/create');
        // Longer than the errors for lost calls wait.
        await new Promise((resolve) => setTimeout(resolve, 6_000));
        await client.call('beta__echo', {});
        expect(company.backend('alpha').view.requests({ rpc: 'response' })).to.deep.equal([]);

        for (const [{ id }, action] of [
          [askedNext, 'second'],
          [asked, 'first'],
        ] as const) {
          const reply = await client.send({ jsonrpc: '2.0', id, result: { action } }).reply();
          expect(reply.status).to.equal(202);
        }
        expect(textOf(await next.reply())).to.equal('{"action":"second"}');
        expect(textOf(await old.reply())).to.equal('{"action":"first"}');
        await bob.client.call('alpha__echo', {});
        await bob.client.notify('notifications/cancelled', { requestId: 'bobs', reason: 'no more' });
        await hanging.ended;
        expect(hanging.messages).to.deep.equal([]);
        await until('the backend is told', () => cancelledAt(company, 'gamma').length > 0);
        const [told] = cancelledAt(company, 'gamma');
        expect(told?.message?.params?.['reason']).to.equal('no more');
        await gone;
        expect(await owner.exited).to.deep.equal({ code: 0, signal: null });
        for (const name of ['alpha', 'beta']) {
          const responses = company.backend(name).view.requests({ rpc: 'response' });
          expect(responses.map(({ sessionId }) => sessionId)).to.deep.equal([alice.at(name)]);
        }
        expect(company.backend('alpha').view.deletes).to.deep.equal([]);
      },
    );
  });

  describe('through another sidecar, whose replica has taken the session over', () => {
    let company: Company;
    let urls: readonly [string, string];

    before(async () => {
      // Which replica is whose home follows from their addresses: now and then all have the same.
      for (let attempt = 1; ; attempt += 1) {
        company = await startCompany({ sidecars: 4, limits: { streamAfter: '200ms' } });
        const pair = await apart(company);
        if (pair !== undefined) {
          urls = pair;
          return;
        }
        await company[Symbol.asyncDispose]();
        if (attempt === 8) throw new Error('all sidecars have one home');
      }
    });
    after(() => company[Symbol.asyncDispose]());

    it(
      verifies(
        'RPC-5',
        'S3',
      )('a cancellation reaches the backend, once, under its id; the call’s client hears no more of it'),
      async () => {
        const alice = await company.join('alice');
        alice.client.url = urls[0];
        const elsewhere = alice.client.alias({ url: urls[1] });
        const calls = ['alpha', 'beta', 'gamma'].map((name) => ({
          name,
          call: begin(alice.client, name, `${name}__hang`),
        }));
        for (const { name } of calls)
          await until('it runs', () => company.backend(name).view.executionsOf('hang') === 1);
        expect(textOf(await answered(() => elsewhere.call('alpha__whoami')))).to.contain(alice.at('alpha'));

        const cancel = (requestId: string) =>
          elsewhere.notify('notifications/cancelled', { requestId, reason: `no ${requestId}` });
        for (const requestId of ['never begun', 'alpha', 'beta'])
          expect((await cancel(requestId)).status).to.equal(202);
        for (const { name, call } of calls.slice(0, 2)) {
          await call.ended;
          expect([call.status, call.messages]).to.deep.equal([200, []]);
          const told = cancelledAt(company, name);
          const [ran] = company.backend(name).view.requests({ rpc: 'tools/call', sessionId: alice.at(name) });
          expect(told.map(({ message }) => message?.params)).to.deep.equal([
            { requestId: ran?.message?.id, reason: `no ${name}` },
          ]);
          expect(told[0]?.sessionId).to.equal(alice.at(name));
        }
        expect(calls[2]?.call.over).to.equal(false);
        expect(cancelledAt(company, 'gamma')).to.deep.equal([]);
        // An id that is used again at the new owner is the new call's.
        const again = begin(elsewhere, 'alpha', 'alpha__echo');
        expect(textOf(await again.reply())).to.equal('{}');
      },
    );
  });
});

const cancelledAt = (company: Company, name: string) =>
  company.backend(name).view.requests({ rpc: 'notifications/cancelled' });

/** The replicas that have sessions, and then the others. */
async function owners({ mesh }: Company) {
  const counted = await Promise.all(
    mesh.replicas.map(async (replica) => ({ replica, count: await metric(replica, 'outrigger_sessions') })),
  );
  const [first, ...rest] = counted.toSorted((a, b) => b.count - a.count).map(({ replica }) => replica);
  if (first === undefined) throw new Error('no replica');
  return [first, ...rest] as const;
}

/** Two sidecars whose homes are two replicas. */
async function apart(company: Company): Promise<readonly [string, string] | undefined> {
  const homes = new Map<string, string>();
  for (const url of company.mesh.urls) {
    const count = () => Promise.all(company.mesh.replicas.map((each) => metric(each, 'outrigger_sessions')));
    const before = await count();
    await company.join('scout', { url });
    const after = await count();
    homes.set(company.mesh.replicas.find((_, at) => after[at] !== before[at])?.name ?? '', url);
  }
  const [one, other] = homes.values();
  return one === undefined || other === undefined ? undefined : [one, other];
}
