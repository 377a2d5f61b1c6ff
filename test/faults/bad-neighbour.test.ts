import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { type Incoming, type McpClient, type Reply, reasonOf, textOf } from '../support/mcp-client.ts';
import type { Reaction } from '../support/recording-backend.ts';
import { type Stage, startStage, until } from '../support/stage.ts';

const SESSIONS = 10;
const GOOD = ['alpha', 'beta'];
const JSON_TYPE = { 'content-type': 'application/json' };
const CHANGED = 'notifications/tools/list_changed';
/** What a client may be told of a backend that is in trouble. */
const TROUBLES = ['backend_unavailable', 'backend_timeout', 'backend_protocol_error', 'backend_busy'];
const UNSURE = 'outcome_unknown';

/** Ten sessions that listen and call all the time, and three backends, one of which is in trouble. */
describe('ten sessions with a backend in trouble', function () {
  this.timeout(60_000);
  let stage: Stage;
  let clients: McpClient[];
  let streams: Incoming[];

  beforeEach(async () => {
    stage = await startStage({
      backends: { alpha: {}, beta: { answers: 'sse' }, bad: {} },
      entries: { bad: { timeouts: { request: '500ms' }, breaker: { open: '300ms' } } },
    });
    clients = await Promise.all(Array.from({ length: SESSIONS }, () => stage.open()));
    await Promise.all(clients.map((client) => client.request('tools/list')));
    streams = await Promise.all(clients.map((client) => client.listen()));
    for (const name of [...GOOD, 'bad']) await stage.backend(name).listeners(SESSIONS);
  });
  afterEach(async () => {
    for (const stream of streams) stream.drop();
    await stage[Symbol.asyncDispose]();
  });

  const bad = () => stage.backend('bad');

  /** Every session calls both good backends, again and again, until the trouble is over; how many calls that were. */
  async function calling(trouble: () => Promise<void>): Promise<number> {
    let over = false;
    let calls = 0;
    const callers = clients.map(async (client, session) => {
      for (let round = 0; round < 3 || !over; round += 1) {
        for (const name of GOOD) {
          const tag = `${session}.${round}`;
          expect(textOf(await client.call(`${name}__echo`, { tag }))).to.equal(JSON.stringify({ tag }));
          calls += 1;
        }
      }
    });
    await Promise.all([
      ...callers,
      trouble().finally(() => {
        over = true;
      }),
    ]);
    return calls;
  }

  /** Nothing was lost, doubled or made anew at the good ones, and the other one serves everybody again. */
  async function unnoticed(calls: number): Promise<void> {
    const ran = GOOD.map((name) => stage.backend(name).view.executionsOf('echo'));
    expect(ran.reduce((sum, count) => sum + count, 0)).to.equal(calls);
    for (const name of GOOD) {
      expect(stage.backend(name).view.initialises).to.equal(SESSIONS);
      expect(stage.backend(name).record.openStreams).to.equal(SESSIONS);
    }
    await Promise.all(clients.map((client) => recovered(client)));
  }

  async function recovered(client: McpClient): Promise<void> {
    await until('the backend serves this session', async () => {
      const reply = await client.call('bad__echo', { back: true });
      if (reply.answer?.result !== undefined) return textOf(reply) === '{"back":true}';
      expect([...TROUBLES, UNSURE]).to.include(reasonOf(reply));
      return false;
    });
  }

  /** Every session asks the one in trouble, and hears what became of it, in time and as an answer. */
  async function askBad(tool = 'echo'): Promise<Reply[]> {
    const replies = await Promise.all(clients.map((client) => client.call(`bad__${tool}`, {})));
    expect(replies.map(({ status }) => status)).to.deep.equal(replies.map(() => 200));
    return replies;
  }

  const reasons = (replies: readonly Reply[]) => [...new Set(replies.map(reasonOf))];
  const forAll = (reaction: Reaction) => {
    for (let n = 0; n < SESSIONS; n += 1) bad().next('tools/call', reaction);
  };

  it(verifies('BACK-2', 'B5')('that restarts under their calls'), async () => {
    const calls = await calling(async () => {
      for (let n = 0; n < 3; n += 1) {
        const asked = askBad();
        await bad().restart();
        await asked;
      }
    });
    await unnoticed(calls);
  });

  it(verifies('BACK-2', 'B4')('that loses their sessions: the calls are finished at new ones'), async () => {
    const calls = await calling(async () => {
      for (let n = 0; n < 3; n += 1) {
        bad().loseSessions();
        expect(reasons(await askBad())).to.deep.equal([undefined]);
      }
    });
    await unnoticed(calls);
    // The first ones, and one a session for each loss.
    expect(bad().view.initialises).to.be.within(SESSIONS, 4 * SESSIONS);
  });

  it(verifies('B6', 'BACK-8')('that hangs: each call is over when its time is'), async () => {
    const calls = await calling(async () => {
      forAll({ hang: true });
      expect(reasons(await askBad())).to.deep.equal(['backend_timeout']);
    });
    await unnoticed(calls);
  });

  it(verifies('B7', 'HTTP-16')('that floods their streams'), async () => {
    const data = 'x'.repeat(1_000);
    const calls = await calling(async () => {
      for (let n = 0; n < 300; n += 1) {
        bad().push({ method: 'notifications/message', params: { level: 'debug', data: `${n} ${data}` } });
        if (n % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      }
    });
    await unnoticed(calls);
  });

  it(verifies('B6', 'BACK-8')('that sends garbage'), async () => {
    const calls = await calling(async () => {
      for (const body of ['<html>busy</html>', '{"jsonrpc":"2.0","id":-7,"result":{}}', '[', '{"a":']) {
        forAll({ status: 200, headers: JSON_TYPE, body });
        expect(reasons(await askBad())).to.deep.equal(['backend_protocol_error']);
      }
    });
    await unnoticed(calls);
  });

  it(verifies('B15', 'AGG-10')('that changes its tools all the time'), async () => {
    const before = GOOD.map((name) => stage.backend(name).view.requests({ rpc: 'tools/list' }).length);
    const calls = await calling(async () => {
      for (let n = 0; n < 10; n += 1) {
        bad().script({ tools: [{ name: 'echo' }, { name: `tool-${n}` }] });
        bad().push({ method: CHANGED });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await Promise.all(streams.map((stream) => stream.message(CHANGED)));
    });
    await unnoticed(calls);
    for (const client of clients) expect((await client.request('tools/list')).body).to.contain('bad__tool-9');
    // Each was read when its session began to listen to it, and not for the changes of another.
    for (const [at, name] of GOOD.entries()) {
      const after = stage.backend(name).view.requests({ rpc: 'tools/list' }).length;
      expect(after - (before[at] ?? 0)).to.be.at.most(SESSIONS);
    }
  });

  it(verifies('B1', 'RST-6')('that is away for long, and comes back'), async () => {
    const calls = await calling(async () => {
      await bad().stop();
      for (let n = 0; n < 5; n += 1) {
        for (const reason of reasons(await askBad())) expect(TROUBLES).to.include(reason);
      }
      await bad().restart();
    });
    await unnoticed(calls);
    await bad().listeners(SESSIONS);
  });
});
