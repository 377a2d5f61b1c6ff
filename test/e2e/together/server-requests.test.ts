import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { type Company, type Member, ODD, startCompany, until } from '../../support/company.ts';
import { type Incoming, reasonOf, textOf } from '../../support/mcp-client.ts';
import { post } from '../../support/stage.ts';
import { answered } from '../../support/story.ts';

const CAPABILITIES = { sampling: { tools: {} }, elicitation: { form: {}, url: {} }, roots: {} };

/** What each backend asks the client while its tool runs. */
const QUESTIONS = {
  alpha: {
    request: 'sampling/createMessage',
    params: { messages: [], maxTokens: 5, tools: [{ name: 'add', inputSchema: { type: 'object' } }] },
  },
  beta: {
    request: 'elicitation/create',
    params: {
      mode: 'url',
      url: 'https://login.example/?a=%2F&b=1#c',
      elicitationId: 'e',
      message: 'sign in',
    },
  },
  gamma: { request: 'roots/list', params: {} },
} as const;
const NAMES = ['alpha', 'beta', 'gamma'] as const;

describe('Requests of three backends to two callers, at two replicas', function () {
  this.timeout(40_000);
  let company: Company;
  let members: Member[];

  before(async () => {
    company = await startCompany({ limits: { streamAfter: '200ms' } });
    members = [
      await company.join('alice', { capabilities: CAPABILITIES }),
      await company.join('bob', { capabilities: CAPABILITIES }),
    ];
  });
  after(() => company[Symbol.asyncDispose]());

  /** Every caller has a call at every backend, and each backend asks. */
  const ask = async (who: readonly Member[]) => {
    const asking = who.flatMap((member) =>
      NAMES.map((name) => ({ member, name, call: member.client.beginCall(`${name}__ask`, QUESTIONS[name]) })),
    );
    return Promise.all(
      asking.map(async (each) => ({
        ...each,
        question: await each.call.message(QUESTIONS[each.name].request),
      })),
    );
  };
  /** What a client says, so that one can tell who said it to whom. */
  const replyTo = (id: unknown, tag: string) =>
    `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"tag":"${tag}","odd":${ODD}}}`;
  const repliesWith = (name: string, tag: string) =>
    company
      .backend(name)
      .view.requests({ rpc: 'response' })
      .filter(({ body }) => body.includes(`"tag":"${tag}"`));
  const others = (call: Incoming) => call.messages.filter(({ method }) => method !== undefined).length;

  it(
    verifies(
      'RPC-7',
      'B17',
      'RPC-12',
      'RST-2',
      'AGG-16',
    )(
      'come on the stream of their call alone, and each reply, to the byte, to the backend session that asked',
    ),
    async () => {
      const asked = await ask(members);
      for (const { name, call, question } of asked) {
        expect(question.params).to.deep.equal(QUESTIONS[name].params);
        expect(others(call)).to.equal(1);
      }
      expect(new Set(asked.map(({ question }) => question.id)).size).to.equal(6);
      // The other caller's reply is nobody's, and none of these is answered in the order of the questions.
      for (const [at, { member, name, question }] of [...asked.entries()].reverse()) {
        const [other] = members.filter((each) => each !== member);
        if (other === undefined) throw new Error('two callers');
        expect((await post(other.client, replyTo(question.id, `stolen-${at}`))).status).to.equal(202);
        expect((await post(member.client, replyTo(question.id, `own-${at}`))).status).to.equal(202);
        await until('the backend has it', () => repliesWith(name, `own-${at}`).length === 1);
      }
      for (const [at, { member, name, call }] of asked.entries()) {
        const [seen] = repliesWith(name, `own-${at}`);
        expect(seen?.sessionId).to.equal(member.at(name));
        expect(seen?.body).to.match(/^\{"jsonrpc":"2.0","id":"ask-[^"]+","result":\{"tag"/);
        expect(seen?.body.endsWith(`"odd":${ODD}}}`)).to.equal(true);
        expect(repliesWith(name, `stolen-${at}`)).to.deep.equal([]);
        expect(JSON.parse(textOf(await call.reply())).tag).to.equal(`own-${at}`);
      }
    },
  );

  it(
    verifies(
      'RPC-7',
      'RST-5',
      'RST-11',
    )(
      'that were open when their replica was killed can be answered at the next one, once, by their own caller',
    ),
    async () => {
      const asked = await ask(members);
      await company.loseOwner();
      for (const { call } of asked) expect(reasonOf(await call.reply())).to.equal('outcome_unknown');
      for (const [at, { member, name, question }] of asked.entries()) {
        const [other] = members.filter((each) => each !== member);
        if (other === undefined) throw new Error('two callers');
        const say = (who: Member, tag: string) => answered(() => post(who.client, replyTo(question.id, tag)));
        expect((await say(other, `thief-${at}`)).status).to.equal(202);
        for (const tag of [`late-${at}`, `twice-${at}`])
          expect((await say(member, tag)).status).to.equal(202);
        await until('the backend has it', () => repliesWith(name, `late-${at}`).length === 1);
        expect(repliesWith(name, `late-${at}`)[0]?.sessionId).to.equal(member.at(name));
        for (const tag of [`thief-${at}`, `twice-${at}`]) expect(repliesWith(name, tag)).to.deep.equal([]);
      }
      // The sessions are as they were: the same conversation works at the replica that is left.
      const again = await ask(members);
      for (const [at, { member, name, question, call }] of again.entries()) {
        await post(member.client, replyTo(question.id, `again-${at}`));
        expect(JSON.parse(textOf(await call.reply())).tag).to.equal(`again-${at}`);
        expect(repliesWith(name, `again-${at}`)[0]?.sessionId).to.equal(member.at(name));
      }
    },
  );

  it(
    verifies('RPC-7', 'RPC-10', 'RPC-8')('that nobody can answer fail at once, and a ping asks no client'),
    async () => {
      const plain = await company.join('carol', { capabilities: { roots: {} } });
      for (const name of NAMES) {
        const refused = await plain.client.call(`${name}__ask`, QUESTIONS.beta);
        expect(textOf(refused)).to.contain('-32601');
        expect(refused.events.filter(({ message }) => message?.method !== undefined)).to.deep.equal([]);
        expect(textOf(await plain.client.call(`${name}__ask`, { request: 'ping' }))).to.equal('{}');
        const told = company.backend(name).view.requests({ rpc: 'initialize' }).at(-1);
        expect(told?.message?.params?.['capabilities']).to.deep.equal({ roots: {} });
      }
    },
  );
});
