import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { type Company, type Member, startCompany, until } from '../../support/company.ts';
import { type Reply, reasonOf, textOf } from '../../support/mcp-client.ts';
import { answered } from '../../support/story.ts';

const NAMES = ['alpha', 'beta', 'gamma'] as const;
const RESTARTED = 'dev.outrigger/backendRestarted';

describe('What a session has set, after its replica was lost', function () {
  this.timeout(60_000);
  let company: Company;
  let alice: Member;
  let bob: Member;

  beforeEach(async () => {
    company = await startCompany({
      backends: {
        alpha: { resources: [{ uri: 'memo://a', name: 'a' }] },
        beta: { resources: [{ uri: 'memo://b', name: 'b' }] },
        gamma: { capabilities: { tools: {} } },
      },
      limits: { streamAfter: '200ms' },
    });
    alice = await company.join('alice');
    bob = await company.join('bob');
  });
  afterEach(() => company[Symbol.asyncDispose]());

  const seen = (name: string, rpc: string) =>
    company
      .backend(name)
      .view.requests({ rpc })
      .map(({ message }) => message?.params);
  const metaOf = (reply: Reply) => (reply.answer?.result as { _meta?: Record<string, unknown> })?._meta ?? {};

  it(
    verifies(
      'AGG-11',
      'AGG-12',
      'RST-5',
    )('its level and its subscriptions are what the client was last told, at backends that began anew too'),
    async () => {
      const { client } = alice;
      await client.request('resources/list');
      for (const uri of ['memo://a', 'memo://b']) await client.request('resources/subscribe', { uri });
      await client.request('resources/unsubscribe', { uri: 'memo://b' });
      await client.request('logging/setLevel', { level: 'error' });
      expect((await client.request('logging/setLevel', { level: 'debug' })).answer?.result).to.deep.equal({});
      await company.loseOwner();
      for (const name of NAMES) company.backend(name).loseSessions();
      const before = NAMES.map((name) => ({
        levels: seen(name, 'logging/setLevel').length,
        subscribed: seen(name, 'resources/subscribe').length,
      }));
      for (const name of NAMES) {
        await answered(() => client.call(`${name}__echo`));
        await bob.client.call(`${name}__echo`);
      }
      const after = NAMES.map((name, at) => ({
        levels: seen(name, 'logging/setLevel').slice(before[at]?.levels),
        subscribed: seen(name, 'resources/subscribe').slice(before[at]?.subscribed),
      }));
      expect(after).to.deep.equal([
        { levels: [{ level: 'debug' }], subscribed: [{ uri: 'memo://a' }] },
        { levels: [{ level: 'debug' }], subscribed: [] },
        // It neither logs nor has resources: it is asked for nothing that it has not.
        { levels: [], subscribed: [] },
      ]);
    },
  );

  it(
    verifies('AGG-11')('updates reach subscribers alone, and the end of the session ends the subscription'),
    async () => {
      await Promise.all([alice, bob].map(({ client }) => client.request('resources/list')));
      await alice.client.request('resources/subscribe', { uri: 'memo://a' });
      await company.loseOwner();
      const streams = [await alice.client.listen(), await bob.client.listen()];
      const alpha = company.backend('alpha');
      await alpha.listeners(2);
      const say = (method: string, params: Record<string, unknown>) => alpha.push({ method, params });
      say('notifications/resources/updated', { uri: 'memo://a' });
      say('notifications/resources/updated', { uri: 'memo://b' });
      say('notifications/message', { level: 'info', data: 'the last' });
      // Whose a URI is may have to be read first, right after a restore.
      await streams[0]?.message('notifications/resources/updated');
      for (const stream of streams) await stream.message('notifications/message');
      const updates = streams.map(({ messages }) =>
        messages.flatMap(({ method, params }) =>
          method === 'notifications/resources/updated' ? [params?.['uri']] : [],
        ),
      );
      expect(updates).to.deep.equal([['memo://a'], []]);
      expect((await alice.client.end()).status).to.equal(200);
      await until('alpha is told', () => alpha.view.deletes.length === 1);
      expect(alpha.view.deletes[0]?.sessionId).to.equal(alice.at('alpha'));
      for (const stream of streams) stream.drop();
    },
  );

  it(
    verifies(
      'RST-5',
      'BACK-2',
    )(
      'that a backend lost its state is still said when the replica that found out is lost before it said so',
    ),
    async () => {
      const { client } = alice;
      expect(textOf(await client.call('alpha__count'))).to.equal('1');
      const first = await company.loseOwner();
      company.backend('alpha').loseSessions();
      // A list makes the new session, and is no answer of the backend that could say so.
      await answered(() => client.request('resources/list'));
      await until('alpha began anew', () => company.backend('alpha').view.initialises === 3);
      await client.request('logging/setLevel', { level: 'info' });
      await company.bringBack(first);
      await company.loseOwner();
      const reply = await answered(() => client.call('alpha__count'));
      expect(textOf(reply)).to.equal('1');
      expect(metaOf(reply)).to.deep.equal({ [RESTARTED]: true });
      expect(metaOf(await client.call('alpha__count'))).to.deep.equal({});
      expect(metaOf(await client.call('beta__count'))).to.deep.equal({});
    },
  );

  it(
    verifies(
      'RST-11',
      'HTTP-6',
      'HTTP-18',
    )('each request of an array has one answer: its own, or that its outcome is unknown'),
    async () => {
      const call = (id: unknown, name: string) => ({
        jsonrpc: '2.0',
        id,
        method: 'tools/call',
        params: { name, arguments: {} },
      });
      const batch = [call(1, 'alpha__hang'), call('two', 'beta__echo'), call(3, 'gamma__hang')];
      const options = { protocolVersion: '2025-03-26' };
      const stays = await company.join('carol', options);
      const leaves = await company.join('dave', options);
      const [open, left] = [stays.client.send(batch), leaves.client.send(batch)];
      for (const each of [open, left]) await each.event(({ message }) => message?.id === 'two');
      await until('the rest runs', () =>
        ['alpha', 'gamma'].every((name) => company.backend(name).view.executionsOf('hang') === 2),
      );
      left.drop();
      await company.loseOwner();
      await open.ended;
      const resumed = await answered(async () => (await leaves.client.listen(left.lastEventId)).reply());
      const outcomes = (messages: readonly { id?: unknown; error?: unknown }[]) =>
        messages.map(({ id, error }) => [
          id,
          (error as { data?: { reason?: string } } | undefined)?.data?.reason,
        ]);
      expect(outcomes(open.messages)).to.deep.equal([
        ['two', undefined],
        [1, 'outcome_unknown'],
        [3, 'outcome_unknown'],
      ]);
      expect(outcomes(resumed.events.flatMap(({ message }) => message ?? []))).to.deep.equal([
        [1, 'outcome_unknown'],
        [3, 'outcome_unknown'],
      ]);
      expect(reasonOf(resumed)).to.equal('outcome_unknown');
      for (const name of ['alpha', 'gamma'])
        expect(company.backend(name).view.executionsOf('hang')).to.equal(2);
    },
  );

  it(
    verifies(
      'RPC-2',
      'CAP-2',
    )('an id in use is refused also where the sidecar could answer by itself, and the first is answered'),
    async () => {
      const { client } = alice;
      const list = (id: number) => client.send({ jsonrpc: '2.0', id, method: 'tools/list' }).reply();
      await list(9_000);
      const sidecar = company.mesh.sidecar;
      const granted = async () => {
        const text = await (await fetch(`${sidecar.ops}/metrics`)).text();
        return /outrigger_sidecar_lists_answered_total (\d+)/.exec(text)?.[1];
      };
      await until('the sidecar answers lists', async () => {
        await list(9_001);
        return (await granted()) !== '0';
      });
      const hold = company.backend('alpha').hold('tools/call');
      const params = { name: 'alpha__echo', arguments: { first: true } };
      const running = client.send({ jsonrpc: '2.0', id: 7, method: 'tools/call', params });
      await hold.arrived;
      const refused = await list(7);
      expect([refused.status, refused.answer?.error?.code]).to.deep.equal([400, -32600]);
      hold.release();
      expect(textOf(await running.reply())).to.equal('{"first":true}');
      expect((await list(7)).status).to.equal(200);
    },
  );
});
