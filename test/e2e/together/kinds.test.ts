import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { type Company, type Member, ODD, startCompany, until } from '../../support/company.ts';
import { LegacySseBackend } from '../../support/legacy-sse-backend.ts';
import { namesIn } from '../../support/lists.ts';
import { type Reply, textOf } from '../../support/mcp-client.ts';
import { post } from '../../support/stage.ts';
import { stdioBackendCommand } from '../../support/stdio-backend.ts';
import { answered } from '../../support/story.ts';

/** A call of a tool whose arguments are these very bytes. */
const echo = (id: string, backend: string, args: string) =>
  `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"${backend}__echo","arguments":${args}}}`;
const restarted = (reply: Reply) => reply.body.includes('dev.outrigger/backendRestarted');

describe('Backends of every kind, for two callers, at two replicas', function () {
  this.timeout(40_000);
  let company: Company;
  let old: LegacySseBackend;
  let members: Member[];

  before(async () => {
    old = await LegacySseBackend.start();
    const { command, args, env, cwd } = stdioBackendCommand();
    company = await startCompany({
      backends: {
        json: {},
        sse: { answers: 'sse', sessions: false, get: 405, protocolVersion: '2025-03-26' },
        polite: { answers: 'sse', lostStatus: 400 },
      },
      more: {
        old: { url: old.url, type: 'sse' },
        kid: { command, args, env, cwd },
        common: { command, args, env, cwd, shared: true },
      },
    });
    members = [await company.join('alice'), await company.join('bob')];
  });
  after(async () => {
    await company[Symbol.asyncDispose]();
    await old[Symbol.asyncDispose]();
  });

  const KINDS = ['json', 'sse', 'polite', 'old', 'kid', 'common'];
  const pid = async ({ client }: Member, backend: string) =>
    Number(textOf(await answered(() => client.call(`${backend}__pid`))));
  const count = async ({ client }: Member, backend: string) => textOf(await client.call(`${backend}__count`));

  it(
    verifies(
      'BACK-1',
      'BACK-9',
      'BACK-10',
      'RPC-1',
      'RPC-2',
      'RPC-12',
    )(
      'carry the calls of both, at once and under the same ids, to the byte; nobody gets the answer of the other',
    ),
    async () => {
      for (const { client } of members) {
        const prefixes = new Set((await namesIn(client)).map((name) => name.split('__')[0]));
        // The old server lists nothing, and is called by name.
        expect([...prefixes]).to.deep.equal(KINDS.filter((kind) => kind !== 'old'));
      }
      const calls = members.flatMap(({ client }, who) =>
        KINDS.map(async (kind, at) => {
          const args = `{"who":${who},"odd":${ODD}}`;
          const body = (await post(client, echo(`${at}`, kind, args))).body;
          return { kind, at, who, body };
        }),
      );
      for (const { kind, at, who, body } of await Promise.all(calls)) {
        expect(body, kind).to.match(new RegExp(`"jsonrpc":"2.0","id":${at},`));
        expect(body, kind).to.contain(`{\\"who\\":${who},`);
      }
      // What went to the backends is what the clients wrote.
      for (const kind of ['json', 'sse', 'polite']) {
        const seen = company.backend(kind).view.requests({ rpc: 'tools/call' });
        for (const who of [0, 1])
          expect(
            seen.filter(({ body }) => body.includes(`"arguments":{"who":${who},"odd":${ODD}}`)),
            kind,
          ).to.have.lengthOf(1);
        expect(company.backend(kind).view.authorizations).to.deep.equal([undefined]);
      }
      for (const who of [0, 1])
        expect(
          old
            .posts('tools/call')
            .filter(({ body }) => body.includes(`"arguments":{"who":${who},"odd":${ODD}}`)),
        ).to.have.lengthOf(1);
      // A process for each session, and one for all.
      const kids = await Promise.all(members.map((member) => pid(member, 'kid')));
      expect(new Set(kids).size).to.equal(2);
      const common = await Promise.all(members.map((member) => pid(member, 'common')));
      expect(new Set(common).size).to.equal(1);
      expect(old.openStreams).to.have.lengthOf(2);
    },
  );

  it(
    verifies(
      'RST-1',
      'RST-5',
      'BACK-2',
      'BACK-9',
      'BACK-10',
    )(
      'are taken up where they can be by the next replica; the others say, once to each, that they began anew',
    ),
    async () => {
      for (const member of members) {
        for (const kind of ['json', 'polite']) expect(await count(member, kind)).to.equal('1');
      }
      const kids = await Promise.all(members.map((member) => pid(member, 'kid')));
      const lost = await company.loseOwner();
      for (const member of members) {
        // Their own sessions live on in the backends that have sessions.
        for (const kind of ['json', 'polite']) expect(await count(member, kind)).to.equal('2');
        expect(await count(member, 'sse')).to.match(/^\d$/);
        for (const kind of ['old', 'kid', 'common']) {
          const first = await member.client.call(`${kind}__echo`, { kind });
          expect(textOf(first)).to.equal(`{"kind":"${kind}"}`);
          expect(restarted(first), kind).to.equal(true);
          expect(restarted(await member.client.call(`${kind}__echo`, { kind })), kind).to.equal(false);
        }
      }
      const fresh = await Promise.all(members.map((member) => pid(member, 'kid')));
      expect(new Set([...kids, ...fresh]).size).to.equal(4);
      // A server that forgets says so in its own way, and each caller's session is made anew once.
      for (const kind of ['json', 'polite']) company.backend(kind).loseSessions();
      for (const member of members) {
        for (const kind of ['json', 'polite']) {
          const first = await member.client.call(`${kind}__count`);
          expect(textOf(first)).to.equal('1');
          expect(restarted(first), kind).to.equal(true);
          expect(await count(member, kind)).to.equal('2');
        }
      }
      for (const kind of ['json', 'polite']) expect(company.backend(kind).view.initialises).to.equal(4);

      // The killed one, back again, sweeps up the children that it left; all end with their sessions.
      await company.bringBack(lost);
      await until('the children of the killed replica are gone', () => kids.every((each) => !isAlive(each)));
      for (const { client } of members) expect((await client.end()).status).to.equal(200);
      await until('the others are gone', () => fresh.every((each) => !isAlive(each)));
      await until('the old server has no stream', () => old.openStreams.length === 0);
      for (const kind of ['json', 'polite'])
        await until(`${kind} is told`, () => company.backend(kind).view.deletes.length === members.length);
      expect(company.backend('sse').view.deletes).to.deep.equal([]);
    },
  );
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
