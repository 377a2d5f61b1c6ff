import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { type Incoming, McpClient, reasonOf, textOf } from '../support/mcp-client.ts';
import { defaultScript } from '../support/recording-backend/script.ts';
import { metric, post, type Stage, startStage, until } from '../support/stage.ts';
import { stdioBackendCommand } from '../support/stdio-backend.ts';

const alphaTools = defaultScript().tools.filter(({ name }) => name !== 'echo');

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('Streams to a client', function () {
  this.timeout(30_000);
  let stage: Stage;

  before(async () => {
    const { command, args, env, cwd } = stdioBackendCommand();
    stage = await startStage({
      backends: { alpha: {}, beta: {} },
      more: { kid: { command, args, env, cwd, shared: true } },
      limits: { streamAfter: '250ms' },
      replicas: 2,
    });
  });
  after(() => stage[Symbol.asyncDispose]());

  const alpha = () => stage.backend('alpha');
  const log = (data: string) => ({ method: 'notifications/message', params: { level: 'info', data } });
  const data = (incoming: Incoming) =>
    incoming.messages.flatMap(({ method, params }) =>
      method === 'notifications/message' ? [params?.['data']] : [],
    );
  /** Until the stream gave this text. */
  const heard = (incoming: Incoming, text: string) =>
    incoming.event(({ message }) => message?.params?.['data'] === text);
  /** Listens, and waits until what alpha pushes to this session is heard. */
  const listen = async (client: McpClient, lastEventId?: string) => {
    const open = alpha().record.openStreams;
    const incoming = await client.listen(lastEventId);
    await alpha().listeners(open + 1);
    return incoming;
  };
  /** The backend session of the client that was opened last. */
  const sessionAt = (name: string) => stage.backend(name).view.sessions.at(-1)?.id ?? '';

  describe('the answer to a request', () => {
    it(verifies('HTTP-15')('is JSON when nothing precedes it, and events when something does'), async () => {
      const client = await stage.open();
      const plain = client.beginCall('alpha__echo', {});
      await plain.ended;
      expect(plain.headers['content-type']).to.equal('application/json');
      const streamed = client.beginCall('alpha__progress', { steps: 1 }, { progressToken: 'p' });
      await streamed.ended;
      expect(streamed.headers['content-type']).to.contain('text/event-stream');
      expect(streamed.messages.map(({ method }) => method)).to.deep.equal([
        'notifications/progress',
        'notifications/message',
        undefined,
      ]);
    });

    it(
      verifies('HTTP-15', 'HTTP-16')('and what belongs to it comes on its stream, and on no other'),
      async () => {
        const client = await stage.open();
        const listening = await listen(client);
        const calls = [1, 2].map((n) =>
          client.beginCall('alpha__progress', { steps: n }, { progressToken: n }),
        );
        await Promise.all(calls.map((each) => each.ended));
        calls.forEach((each, at) => {
          const tokens = each.messages.flatMap(({ params }) => params?.['progressToken'] ?? []);
          expect(tokens).to.deep.equal(Array.from({ length: at + 1 }, () => at + 1));
          expect(data(each)).to.deep.equal(['done']);
        });
        expect(data(listening)).to.deep.equal([]);
        listening.drop();
        await alpha().listeners(0);
      },
    );

    it(
      verifies('HTTP-17')('begins with an id and no data; ids are of their stream, and there is one time'),
      async () => {
        const client = await stage.open();
        const listening = await listen(client);
        const incomings = [1, 2].map((n) =>
          client.beginCall('alpha__progress', { steps: 2 }, { progressToken: n }),
        );
        await Promise.all(incomings.map((each) => each.ended));
        const streams = [listening, ...incomings].map(({ events }) => events.map(({ id }) => id ?? 'none'));
        for (const { events, body } of [...incomings, listening]) {
          expect(events[0]?.data).to.equal('');
          expect(body).to.match(/retry: ?\d+/);
        }
        const ids = streams.flat();
        expect(new Set(ids).size).to.equal(ids.length);
        for (const own of streams) expect(new Set(own.map((id) => id.split('.')[0])).size).to.equal(1);
        listening.drop();
        await alpha().listeners(0);
      },
    );

    it(verifies('HTTP-17')('of an older version begins with its first message'), async () => {
      const client = await stage.open({ protocolVersion: '2025-06-18' });
      const incoming = client.beginCall('alpha__progress', { steps: 1 }, { progressToken: 'p' });
      await incoming.ended;
      expect(incoming.events[0]?.message?.method).to.equal('notifications/progress');
    });

    it(verifies('HTTP-19', 'HTTP-18')('is kept for a client that lost its connection'), async () => {
      const client = await stage.open();
      const cancelled = alpha().view.requests({ rpc: 'notifications/cancelled' }).length;
      const hold = alpha().hold('tools/call');
      const lost = client.beginCall('alpha__echo', { kept: true });
      await hold.arrived;
      await lost.event(({ id }) => id !== undefined);
      lost.drop();
      await later(50);
      hold.release();
      const reply = await (await client.listen(lost.lastEventId)).reply();
      expect(textOf(reply)).to.equal('{"kept":true}');
      expect(alpha().view.requests({ rpc: 'notifications/cancelled' })).to.have.lengthOf(cancelled);
      // Once more: the answer of that stream, and nothing of another.
      await client.beginCall('alpha__progress', { steps: 3 }, { progressToken: 'other' }).ended;
      const again = await (await client.listen(lost.lastEventId)).reply();
      expect(textOf(again)).to.equal('{"kept":true}');
      expect(again.events.filter(({ message }) => message !== undefined)).to.have.lengthOf(1);
    });

    it(verifies('HTTP-18')('resumed in its middle goes on where it stopped'), async () => {
      const client = await stage.open();
      const first = client.beginCall('alpha__progress', { steps: 8, ms: 60 }, { progressToken: 'p' });
      await first.event(({ message }) => message?.params?.['progress'] === 3);
      first.drop();
      const rest = await (await client.listen(first.lastEventId)).reply();
      const steps = rest.events.flatMap(({ message }) => message?.params?.['progress'] ?? []);
      const last = first.messages.at(-1)?.params?.['progress'] as number;
      expect(steps).to.deep.equal(Array.from({ length: 8 - last }, (_, at) => last + 1 + at));
      expect(textOf(rest)).to.equal('done');
    });

    it(
      verifies('HTTP-18', 'H29')('is for its own session, and ids that were never given are refused'),
      async () => {
        const [client, other] = [await stage.open(), await stage.open()];
        const lost = client.beginCall('alpha__progress', { steps: 2 }, { progressToken: 'p' });
        await lost.ended;
        for (const id of [
          lost.lastEventId ?? '',
          'c1-99.1.1',
          'c9-1.9.1',
          'x',
          '../1',
          `c1-1.1.${'9'.repeat(400)}`,
        ]) {
          const reply = await (await other.listen(id)).reply();
          expect(reply.status, id).to.be.oneOf([400, 404]);
          expect(reply.body).to.not.contain('progress');
        }
      },
    );
  });

  describe('the listening stream', () => {
    afterEach(() => alpha().listeners(0));

    it(verifies('HTTP-16', 'S9')('goes to the one who asks last; nothing comes twice'), async () => {
      const client = await stage.open();
      const session = sessionAt('alpha');
      const first = await listen(client);
      alpha().push(log('to the first'), session);
      await heard(first, 'to the first');
      const second = await client.listen();
      await first.ended;
      await until('alpha is heard anew', () => alpha().record.openStreams === 1);
      alpha().push(log('to the second'), session);
      await heard(second, 'to the second');
      expect(data(first)).to.deep.equal(['to the first']);
      expect(data(second)).to.deep.equal(['to the second']);
      second.drop();
    });

    it(
      verifies('HTTP-18', 'HTTP-16')('resumed goes on listening: what came meanwhile, and what comes then'),
      async () => {
        const client = await stage.open();
        const session = sessionAt('alpha');
        const first = await listen(client);
        alpha().push(log('before'), session);
        await heard(first, 'before');
        first.drop();
        await alpha().listeners(0);
        alpha().push(log('meanwhile'), session);
        const second = await listen(client, first.lastEventId);
        await heard(second, 'meanwhile');
        alpha().push(log('after'), session);
        await heard(second, 'after');
        expect(data(second)).to.deep.equal(['meanwhile', 'after']);
        const third = await client.listen(second.events[0]?.id);
        await heard(third, 'after');
        await second.ended;
        expect(data(third)).to.deep.equal(['after']);
        third.drop();
      },
    );

    it(
      verifies('B17', 'RPC-7')('carries what a backend asks outside of calls; without it nobody is asked'),
      async () => {
        const client = await stage.open({ capabilities: { roots: {} } });
        const session = sessionAt('alpha');
        const listening = await listen(client);
        alpha().push({ id: 'r-1', method: 'roots/list' }, session);
        const asked = await listening.message('roots/list');
        await client.send({ jsonrpc: '2.0', id: asked.id, result: { roots: [] } }).reply();
        const reply = await alpha().seen({ rpc: 'response', sessionId: session });
        expect(reply.body).to.equal('{"jsonrpc":"2.0","id":"r-1","result":{"roots":[]}}');
        listening.drop();
      },
    );
  });

  describe('versions', () => {
    for (const [asked, given] of [
      ['2024-11-05', '2024-11-05'],
      ['2025-03-26', '2025-03-26'],
      ['2025-11-25', '2025-11-25'],
      ['2031-01-01', '2025-11-25'],
      ['latest', '2025-11-25'],
    ]) {
      it(verifies('HTTP-8')(`${asked} is answered with ${given}`), async () => {
        const client = new McpClient({ url: stage.mesh.url, protocolVersion: asked ?? '' });
        const { answer } = await client.initialize();
        const result = (answer?.result ?? {}) as { protocolVersion?: string };
        expect(result.protocolVersion).to.equal(given);
      });
    }

    it(
      verifies('HTTP-13', 'S11')('in the header: unknown ones are refused, others mean the negotiated one'),
      async () => {
        const client = await stage.open({ protocolVersion: '2025-03-26' });
        const ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
        for (const version of ['2031-01-01', 'latest', '2025-3-26']) {
          const reply = await post(client, ping, { 'mcp-protocol-version': version });
          expect([reply.status, reply.answer?.error?.code]).to.deep.equal([400, -32000]);
        }
        expect((await post(client, ping)).status).to.equal(200);
        const counted = async () => {
          const counts = stage.mesh.replicas.map((each) =>
            metric(each, 'outrigger_protocol_version_mismatches_total'),
          );
          return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
        };
        const before = await counted();
        expect((await post(client, ping, { 'mcp-protocol-version': '2025-06-18' })).status).to.equal(200);
        expect((await post(client, ping, { 'mcp-protocol-version': '2025-03-26' })).status).to.equal(200);
        expect(await counted()).to.equal(before + 1);
        // The negotiated one decides: it has arrays.
        const batch = await post(client, `[${ping}]`);
        expect(batch.answer?.result).to.deep.equal({});
      },
    );
  });

  describe('a child that sessions share', () => {
    it(verifies('BACK-9', 'RPC-4')('answers each its own, with its own progress'), async () => {
      const clients = [await stage.open(), await stage.open()];
      const calls = clients.map((each, at) =>
        each.beginCall('kid__progress', {}, { progressToken: `t${at}` }),
      );
      await Promise.all(calls.map((each) => each.ended));
      calls.forEach((each, at) => {
        const tokens = each.messages.flatMap(({ params }) => params?.['progressToken'] ?? []);
        expect(tokens).to.deep.equal([`t${at}`]);
      });
      const pids = await Promise.all(clients.map((each) => each.call('kid__pid')));
      expect(new Set(pids.map(textOf)).size).to.equal(1);
      const echoes = await Promise.all(
        Array.from({ length: 20 }, (_, n) => (clients[n % 2] ?? clients[0])?.call('kid__echo', { n })),
      );
      expect(echoes.map((reply) => reply && textOf(reply))).to.deep.equal(
        Array.from({ length: 20 }, (_, n) => `{"n":${n}}`),
      );
    });

    it(verifies('BACK-9', 'HTTP-15')('tells no session what may be of another'), async () => {
      const [client, other] = [await stage.open(), await stage.open()];
      await other.call('kid__pid');
      const listening = await other.listen();
      const calling = client.beginCall('kid__log', { data: 'a secret' });
      expect(textOf(await calling.reply())).to.equal('logged');
      await other.call('kid__progress', {});
      expect(data(listening)).to.deep.equal([]);
      expect(data(calling)).to.deep.equal([]);
      listening.drop();
    });

    it(verifies('B17', 'BACK-9')('can ask no client'), async () => {
      const client = await stage.open({ capabilities: { elicitation: {} } });
      const asking = client.beginCall('kid__ask');
      expect(textOf(await asking.reply())).to.contain('-32601');
      expect(asking.messages.filter(({ method }) => method === 'elicitation/create')).to.have.lengthOf(0);
    });
  });

  describe('after the replica that sent them is gone', () => {
    it(
      verifies('HTTP-18', 'S12', 'AGG-10', 'RST-5')('go on at the other one, with what was kept'),
      async () => {
        const client = await stage.open();
        const session = sessionAt('alpha');
        await client.request('tools/list');
        await client.request('prompts/list');
        const listening = await listen(client);
        alpha().push(log('kept'), session);
        await heard(listening, 'kept');
        const done = client.beginCall('alpha__progress', { steps: 3 }, { progressToken: 'p' });
        await done.ended;
        const hold = alpha().hold('tools/call');
        const running = client.beginCall('alpha__echo', { effect: true });
        await hold.arrived;
        await running.event(({ id }) => id !== undefined);
        running.drop();
        // All sessions of a sidecar live at its home replica.
        const sessions = await Promise.all(
          stage.mesh.replicas.map((each) => metric(each, 'outrigger_sessions')),
        );
        await stage.mesh.replicas.find((_, at) => (sessions[at] ?? 0) > 0)?.kill('SIGKILL');
        hold.release();

        // Wherever the session lives now, its streams are there.
        const answer = await (await client.listen(done.events[0]?.id)).reply();
        expect(textOf(answer)).to.equal('done');
        const steps = answer.events.flatMap(({ message }) => message?.params?.['progress'] ?? []);
        expect(steps).to.deep.equal([1, 2, 3]);
        const outcome = await (await client.listen(running.lastEventId)).reply();
        expect(reasonOf(outcome) ?? textOf(outcome)).to.be.oneOf(['outcome_unknown', '{"effect":true}']);
        // The client that listens has not even noticed.
        await until('alpha is heard anew', () => alpha().record.openStreams === 1);
        alpha().push(log('and on'), session);
        await heard(listening, 'and on');
        expect(data(listening)).to.deep.equal(['kept', 'and on']);
        const definition = { description: 'another' };
        alpha().script({ tools: [{ name: 'echo', definition }, ...alphaTools] });
        alpha().push({ method: 'notifications/tools/list_changed' }, session);
        await listening.message('notifications/tools/list_changed');
        alpha().script({ prompts: [] });
        alpha().push({ method: 'notifications/prompts/list_changed' }, session);
        await listening.message('notifications/prompts/list_changed');
        const changes = listening.messages.filter(({ method }) => method?.endsWith('list_changed'));
        expect(changes).to.have.lengthOf(2);
        const again = await client.listen(listening.events[0]?.id);
        await listening.ended;
        await heard(again, 'kept');
        await until(
          'alpha is heard again',
          () => alpha().view.requests({ method: 'GET', sessionId: session }).length >= 3,
        );
        again.drop();
      },
    );
  });
});
