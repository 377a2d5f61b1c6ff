import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { type Company, type Member, ODD, startCompany } from '../../support/company.ts';
import { type Incoming, type Reply, reasonOf, textOf } from '../../support/mcp-client.ts';
import { answered } from '../../support/story.ts';

/** What a stream keeps beside its answer. */
const KEPT = 256;
const RESULT = `{"content":[{"type":"text","text":"kept"}],"odd":${ODD}}`;

describe('Streams of two callers to three backends, resumed at any replica', function () {
  this.timeout(40_000);
  let company: Company;
  let members: Member[];

  before(async () => {
    company = await startCompany({ limits: { streamAfter: '200ms' } });
    company.backend('beta').script({ results: { slow: RESULT } });
    members = [await company.join('alice'), await company.join('bob')];
  });
  after(() => company[Symbol.asyncDispose]());

  const resume = ({ client }: Member, id: string | undefined) =>
    answered(async () => (await client.listen(id)).reply());
  /** Ids and bytes of what came. */
  const said = ({ events }: Pick<Reply, 'events'>) => events.map(({ id, data }) => ({ id, data }));
  /** A call that streams, and whose client is gone before the answer. */
  const leave = async ({ client }: Member, backend: string, tool: string) => {
    const held = company.backend(backend).hold('tools/call');
    const call = client.beginCall(`${backend}__${tool}`);
    await call.event(({ id }) => id !== undefined);
    call.drop();
    return { call, held };
  };

  it(
    verifies(
      'HTTP-17',
      'HTTP-18',
      'HTTP-19',
      'RST-5',
      'RPC-4',
      'RPC-12',
    )('give every later event again, to the byte and under its id, and keep the answer for who left'),
    async () => {
      const stories: { member: Member; read: Incoming; left: Incoming; lost: Incoming; answer: Reply }[] = [];
      for (const member of members) {
        const read = member.client.beginCall('alpha__progress', { steps: 5 }, { progressToken: 'p' });
        await read.ended;
        const { call: left, held } = await leave(member, 'beta', 'slow');
        held.release();
        const answer = await resume(member, left.lastEventId);
        const { call: lost } = await leave(member, 'gamma', 'hang');
        stories.push({ member, read, left, lost, answer });
      }
      await company.loseOwner();
      for (const { member, read, left, lost, answer } of stories) {
        for (const from of [0, 3]) {
          const again = await resume(member, read.events[from]?.id);
          expect(said(again)).to.deep.equal(said(read).slice(from + 1));
        }
        expect(answer.body).to.contain(`"result":${RESULT}`);
        expect(said(await resume(member, left.lastEventId))).to.deep.equal(said(answer));
        const unknown = await resume(member, lost.lastEventId);
        expect(reasonOf(unknown)).to.equal('outcome_unknown');
        expect(unknown.events.filter(({ data }) => data !== '')).to.have.lengthOf(1);
        const [thief] = members.filter((each) => each !== member);
        const stolen = member.client.alias({ token: thief?.client.token });
        for (const id of [read.lastEventId, left.lastEventId])
          expect((await stolen.listen(id)).status).to.equal(404);
      }
      // Nothing ran again for any of it, and nobody was told of a cancellation.
      for (const [name, tool] of [
        ['alpha', 'progress'],
        ['beta', 'slow'],
      ] as const) {
        expect(company.backend(name).view.executionsOf(tool)).to.equal(members.length);
        expect(company.backend(name).view.requests({ rpc: 'notifications/cancelled' })).to.deep.equal([]);
      }
    },
  );

  it(
    verifies('HTTP-18', 'HTTP-19', 'RPC-15')('say what they could not keep, and keep the answer'),
    async () => {
      const steps = KEPT + 44;
      const reads = await Promise.all(
        members.map(async ({ client }) => {
          const call = client.beginCall('gamma__progress', { steps, ms: 0 }, { progressToken: 1 });
          await call.ended;
          return call;
        }),
      );
      for (const [at, member] of members.entries()) {
        const read = reads[at];
        if (read === undefined) throw new Error('each reads');
        expect(read.messages).to.have.lengthOf(steps + 2);
        const whole = said(read);
        const again = await resume(member, whole[0]?.id);
        const [notice, ...rest] = said(again);
        expect(notice?.id).to.equal(undefined);
        expect(notice?.data).to.match(/"level":"warning".*\d+ earlier message\(s\)/);
        expect(rest).to.deep.equal(whole.slice(-rest.length));
        expect(rest.length).to.be.within(KEPT - 2, KEPT + 2);
        expect(textOf(again)).to.equal('done');
      }
    },
  );
});
