import { expect } from 'chai';
import { verifies } from '../../requirements.ts';
import { Bridge, reason, resultText } from '../../support/bridge.ts';
import { type Company, ODD, startCompany, until } from '../../support/company.ts';

const NAMES = ['alpha', 'beta', 'gamma'];

describe('outrigger connect for two callers, in front of two replicas and three backends', function () {
  this.timeout(40_000);
  let company: Company;
  let bridges: Bridge[];

  before(async () => {
    company = await startCompany({ limits: { streamAfter: '200ms' } });
    bridges = ['alice', 'bob'].map(
      (sub) => new Bridge(['--url', company.mesh.url], { OUTRIGGER_TOKEN: company.token(sub) }),
    );
    for (const bridge of bridges) await bridge.initialize({ elicitation: {}, roots: {} });
  });
  after(async () => {
    await Promise.all((bridges ?? []).map((bridge) => bridge[Symbol.asyncDispose]()));
    await company[Symbol.asyncDispose]();
  });

  const runs = (backend: string, tag: string) =>
    company
      .backend(backend)
      .view.record.executions.filter((each) => (each.arguments as { tag?: string }).tag === tag);

  it(
    verifies(
      'RPC-1',
      'RPC-12',
      'RPC-7',
      'RST-2',
    )(
      'each is a session of its own: the same ids at once, every byte as it was, questions to whoever caused them',
    ),
    async () => {
      for (const [who, bridge] of bridges.entries()) {
        for (const name of NAMES)
          bridge.send(
            `{"jsonrpc":"2.0","id":"${name}","method":"tools/call","params":{"name":"${name}__echo","arguments":{"who":${who},"odd":${ODD}}}}`,
          );
      }
      for (const [who, bridge] of bridges.entries()) {
        for (const name of NAMES) {
          expect(resultText(await bridge.answer(name))).to.match(new RegExp(`^\\{"who":${who},`));
          const seen = company
            .backend(name)
            .view.requests({ rpc: 'tools/call' })
            .filter(({ body }) => body.includes(`"arguments":{"who":${who},"odd":${ODD}}`));
          expect(seen).to.have.lengthOf(1);
        }
      }
      const asking = bridges.map((bridge, who) =>
        bridge.beginCall('beta__ask', { params: { message: `${who}?` } }),
      );
      for (const [who, bridge] of bridges.entries()) {
        const question = await bridge.message(({ method }) => method === 'elicitation/create');
        expect(question.params).to.deep.equal({ message: `${who}?` });
        bridge.send(
          `{"jsonrpc":"2.0","id":${JSON.stringify(question.id)},"result":{"who":${who},"odd":${ODD}}}`,
        );
        expect(resultText(await bridge.answer(asking[who] ?? 0))).to.contain(`{"who":${who},`);
        const replies = company.backend('beta').view.requests({ rpc: 'response' });
        expect(replies.at(-1)?.body.endsWith(`"result":{"who":${who},"odd":${ODD}}}`)).to.equal(true);
      }
      // Neither token went further than the mesh.
      for (const name of NAMES) expect(company.backend(name).view.authorizations).to.deep.equal([undefined]);
    },
  );

  it(
    verifies(
      'RST-1',
      'RST-11',
      'AGG-10',
      'HTTP-11',
    )(
      'neither notices the end of a replica, but for the call whose outcome nobody knows; both end with their input',
    ),
    async () => {
      for (const bridge of bridges) {
        await bridge.request('tools/list');
        for (const name of NAMES) expect(resultText(await bridge.call(`${name}__count`))).to.equal('1');
      }
      const running = bridges.map((bridge, who) =>
        bridge.beginCall('alpha__slow', { ms: 60_000, tag: `${who}` }),
      );
      for (const who of bridges.keys()) await until('it runs', () => runs('alpha', `${who}`).length === 1);
      await company.loseOwner();
      for (const [who, bridge] of bridges.entries()) {
        expect(reason(await bridge.answer(running[who] ?? 0))).to.equal('outcome_unknown');
        for (const name of NAMES) expect(resultText(await bridge.call(`${name}__count`))).to.equal('2');
        expect(runs('alpha', `${who}`)).to.have.lengthOf(1);
        expect(bridge.answers(running[who] ?? 0)).to.have.lengthOf(1);
      }
      for (const name of NAMES) await company.backend(name).listeners(2);
      company.backend('gamma').script({ tools: [{ name: 'fresh' }] });
      company.backend('gamma').push({ method: 'notifications/tools/list_changed' });
      for (const bridge of bridges) {
        await bridge.message(({ method }) => method === 'notifications/tools/list_changed');
        expect(JSON.stringify(await bridge.request('tools/list'))).to.contain('gamma__fresh');
      }
      for (const bridge of bridges) expect(await bridge.end()).to.deep.equal({ code: 0, signal: null });
      for (const name of NAMES) {
        expect(company.backend(name).view.initialises).to.equal(2);
        await until('its sessions are ended', () => company.backend(name).view.deletes.length === 2);
      }
    },
  );
});
