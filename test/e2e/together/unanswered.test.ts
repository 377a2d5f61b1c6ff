import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { type Company, type Member, startCompany, until } from '../../support/company.ts';
import { reasonOf, textOf } from '../../support/mcp-client.ts';
import type { JsonRpc } from '../../support/recording-backend.ts';
import { answered, metric } from '../../support/story.ts';

const CAPABILITIES = { elicitation: { form: {} }, roots: {} };

describe('What backends asked when their replica was lost', function () {
  this.timeout(60_000);
  let company: Company;
  let alice: Member;
  let bob: Member;

  beforeEach(async () => {
    company = await startCompany({ limits: { streamAfter: '200ms' } });
    alice = await company.join('alice', { capabilities: CAPABILITIES });
    bob = await company.join('bob', { capabilities: CAPABILITIES });
  });
  afterEach(() => company[Symbol.asyncDispose]());

  const responses = (name: string, member: Member) =>
    company.backend(name).view.requests({ rpc: 'response', sessionId: member.at(name) });
  const dropped = async () => {
    const counts = company.mesh.replicas.map((each) =>
      each.alive ? metric(each, 'outrigger_late_frames_total') : 0,
    );
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  };
  const ask = async (member: Member, name: string, params: object = { message: 'your name?' }) => {
    const call = member.client.beginCall(`${name}__ask`, { params });
    return { call, question: await call.message('elicitation/create') };
  };
  const reply = (member: Member, { id }: JsonRpc, action: string) =>
    answered(() => member.client.send({ jsonrpc: '2.0', id, result: { action } }).reply());
  /** Listens, and waits until what this backend says unasked is heard. */
  const listen = async (member: Member, name: string) => {
    const stream = await member.client.listen();
    await heard(member, name, 1);
    return stream;
  };
  const heard = (member: Member, name: string, times: number) =>
    until('the backend is listened to', () => {
      const gets = company.backend(name).view.requests({ method: 'GET', sessionId: member.at(name) });
      return gets.length >= times;
    });

  it(
    verifies(
      'RPC-7',
      'RST-11',
      'RPC-3',
    )(
      'has one reply each: the client’s where it came, else an error; a backend that began anew gets nothing',
    ),
    async () => {
      const asked = {
        alpha: await ask(alice, 'alpha'),
        beta: await ask(alice, 'beta'),
        bobs: await ask(bob, 'beta'),
        gamma: await ask(alice, 'gamma'),
      };
      const owner = await company.loseOwner();
      company.backend('gamma').loseSessions();
      for (const { call } of Object.values(asked))
        expect(reasonOf(await call.reply())).to.equal('outcome_unknown');
      // Whatever brings the sessions back; gamma gets a new one.
      expect(textOf(await alice.client.call('gamma__echo', { n: 1 }))).to.equal('{"n":1}');
      expect(textOf(await bob.client.call('alpha__echo', {}))).to.equal('{}');

      expect((await reply(alice, asked.alpha.question, 'accept')).status).to.equal(202);
      await until('alpha has the reply', () => responses('alpha', alice).length === 1);
      // Nobody listens: the errors go out in the name of whoever comes next.
      await until('beta has an error for each', async () => {
        await Promise.all([alice.client.request('ping'), bob.client.request('ping')]);
        await alice.client.call('alpha__echo', {});
        await bob.client.call('alpha__echo', {});
        return responses('beta', alice).length === 1 && responses('beta', bob).length === 1;
      });
      for (const member of [alice, bob]) {
        const [error] = responses('beta', member);
        expect(error?.message?.id).to.match(/^ask-/);
        expect(error?.message?.error?.data).to.deep.include({ reason: 'cancelled' });
      }
      // Too late, or of a session that is gone: dropped, and counted.
      const before = await dropped();
      for (const { question } of [asked.alpha, asked.beta, asked.gamma])
        await reply(alice, question, 'decline');
      expect(await dropped()).to.equal(before + 3);
      expect(responses('alpha', alice).map(({ message }) => message?.result)).to.deep.equal([
        { action: 'accept' },
      ]);
      expect(responses('beta', alice)).to.have.lengthOf(1);
      expect(company.backend('gamma').view.requests({ rpc: 'response' })).to.deep.equal([]);

      // What was answered stays answered when the session moves once more.
      await company.bringBack(owner);
      await company.loseOwner();
      await answered(() => alice.client.call('beta__echo', {}));
      await new Promise((resolve) => setTimeout(resolve, 6_000));
      await alice.client.call('beta__echo', {});
      expect([responses('alpha', alice).length, responses('beta', alice).length]).to.deep.equal([1, 1]);
    },
  );

  it(
    verifies('RPC-7', 'HTTP-18')('is over when the client resumes its call and hears that it is lost'),
    async () => {
      const { call, question } = await ask(alice, 'beta');
      const place = call.lastEventId;
      await call.event(({ message }) => message?.id === question.id);
      call.drop();
      await company.loseOwner();
      const resumed = await answered(async () => (await alice.client.listen(place)).reply());
      expect(reasonOf(resumed)).to.equal('outcome_unknown');
      await until('beta has an error', async () => {
        await alice.client.call('alpha__echo', {});
        return responses('beta', alice).length === 1;
      });
      expect(responses('beta', alice)[0]?.message?.error).to.not.equal(undefined);
    },
  );

  it(
    verifies(
      'RPC-7',
      'RPC-4',
      'RST-5',
    )('on the listening stream goes on there: progress, the reply, and what the backend withdraws'),
    async () => {
      const alpha = company.backend('alpha');
      const session = alice.at('alpha');
      const stream = await listen(alice, 'alpha');
      const params = { _meta: { progressToken: 7 } };
      alpha.push({ id: 'r-1', method: 'roots/list', params }, session);
      alpha.push({ id: 2, method: 'roots/list', params: {} }, session);
      await until('both are asked', () => questions().length === 2);
      function questions() {
        return stream.messages.filter(({ method }) => method === 'roots/list');
      }
      const [first, second] = questions();
      if (first === undefined || second === undefined) throw new Error('two questions');
      const token = (first.params?.['_meta'] as { progressToken?: unknown } | undefined)?.progressToken;
      expect([token, first.id]).to.not.include.members([7]);

      await company.loseOwner();
      await heard(alice, 'alpha', 2);
      // Longer than the errors for lost calls wait.
      await new Promise((resolve) => setTimeout(resolve, 6_000));
      expect(responses('alpha', alice)).to.deep.equal([]);
      await alice.client.notify('notifications/progress', { progressToken: token, progress: 1 });
      const progress = await alpha.seen({ rpc: 'notifications/progress' });
      expect(progress.message?.params).to.deep.equal({ progressToken: 7, progress: 1 });
      // Of another caller it is nobody's.
      await bob.client.notify('notifications/progress', { progressToken: token, progress: 2 });

      alpha.push({ method: 'notifications/cancelled', params: { requestId: 2, reason: 'enough' } }, session);
      const withdrawn = await stream.message('notifications/cancelled');
      expect(withdrawn.params).to.deep.equal({ requestId: second.id, reason: 'enough' });
      await reply(alice, first, 'accept');
      await until('the reply', () => responses('alpha', alice).length === 1);
      expect(responses('alpha', alice)[0]?.message).to.deep.equal({
        jsonrpc: '2.0',
        id: 'r-1',
        result: { action: 'accept' },
      });
      expect(alpha.view.requests({ rpc: 'notifications/progress' })).to.have.lengthOf(1);
      stream.drop();
    },
  );

  it(
    verifies('RPC-7', 'RPC-8')('is refused at once where the client said that it cannot do this kind'),
    async () => {
      const url = { mode: 'url', url: 'https://login.example/', elicitationId: 'e', message: 'sign in' };
      expect(textOf(await alice.client.call('alpha__ask', { params: url }))).to.contain('-32602');
      const carol = await company.join('carol', { capabilities: { sampling: {} } });
      const tools = { messages: [], maxTokens: 1, tools: [] };
      const refused = await carol.client.call('alpha__ask', {
        request: 'sampling/createMessage',
        params: tools,
      });
      expect(textOf(refused)).to.contain('-32602');
      expect(refused.events.filter(({ message }) => message?.method !== undefined)).to.deep.equal([]);
    },
  );
});
