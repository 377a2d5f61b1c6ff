import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { type McpClient, reasonOf, textOf } from '../support/mcp-client.ts';
import { metric, post, type Stage, startStage, until } from '../support/stage.ts';

const call = (id: string, name: string, args: unknown = {}) =>
  `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"${name}","arguments":${JSON.stringify(args)}}}`;

/** What nobody may touch: a number's spelling, an unsafe integer, the order of keys, escapes, unknown fields. */
const ODD = '{"z":1.0,"big":123456789012345678901,"a":"\\u00e9\\/","nested":{"__proto__":{"x":1},"e":1E+2}}';

describe('Messages of a client and its backends', function () {
  this.timeout(30_000);
  let stage: Stage;
  let client: McpClient;
  let tags = 0;

  before(async () => {
    stage = await startStage({
      backends: { alpha: {}, beta: {} },
      entries: { alpha: { timeouts: { request: '600ms', humanPaced: '4s' } } },
      limits: { streamAfter: '300ms' },
    });
    client = await open();
  });
  after(() => stage[Symbol.asyncDispose]());

  const open = () => stage.open({ capabilities: { elicitation: {}, roots: { listChanged: true } } });
  const alpha = () => stage.backend('alpha');
  const newTag = () => `tag-${++tags};`;
  const seenWith = (tag: string, rpc = 'tools/call') =>
    alpha()
      .view.requests({ rpc })
      .filter(({ body }) => body.includes(tag));
  const dropped = async () => {
    const [replica] = stage.mesh.replicas;
    return replica === undefined ? 0 : await metric(replica, 'outrigger_late_frames_total');
  };

  describe('ids', () => {
    for (const id of ['0', '""', '"0"', '-7', '9007199254740991', '"\\u00e9\\n"', `"${'x'.repeat(250)}"`]) {
      it(
        verifies('RPC-1')(`${id.slice(0, 20)} comes back with value and type, and is not the backend's`),
        async () => {
          const tag = newTag();
          const reply = await post(client, call(id, 'alpha__echo', { tag }));
          expect(reply.body).to.match(/^{"jsonrpc":"2.0","id":/);
          expect(reply.body.slice('{"jsonrpc":"2.0","id":'.length)).to.satisfy((rest: string) =>
            rest.startsWith(`${id},`),
          );
          const [seen] = seenWith(tag);
          expect(seen?.message?.id).to.be.a('number');
          expect(`${seen?.message?.id}`).not.to.equal(id);
        },
      );
    }

    it(
      verifies('RPC-2', 'J15')('of two sessions may be the same: neither gets the other answer'),
      async () => {
        const other = await open();
        const holds = [alpha().hold('tools/call'), alpha().hold('tools/call')];
        const first = post(client, call('5', 'alpha__echo', { who: 'first' }));
        await holds[0]?.arrived;
        const second = post(other, call('5', 'alpha__echo', { who: 'second' }));
        await holds[1]?.arrived;
        holds[1]?.release();
        expect(textOf(await second)).to.equal('{"who":"second"}');
        holds[0]?.release();
        expect(textOf(await first)).to.equal('{"who":"first"}');
      },
    );

    it(
      verifies('RPC-2', 'J15')('in use are refused in the same session, and the first is answered'),
      async () => {
        const tag = newTag();
        const hold = alpha().hold('tools/call');
        const first = post(client, call('"twice"', 'alpha__echo', { tag }));
        await hold.arrived;
        const second = await post(client, call('"twice"', 'alpha__echo', { tag }));
        expect(second.status).to.equal(400);
        expect(second.answer?.error?.code).to.equal(-32600);
        hold.release();
        expect(textOf(await first)).to.contain(tag);
        expect(seenWith(tag)).to.have.lengthOf(1);
        // Answered, the id is free again.
        expect(textOf(await post(client, call('"twice"', 'alpha__echo', { tag })))).to.contain(tag);
      },
    );
  });

  describe('progress', () => {
    it(
      verifies(
        'RPC-4',
        'HTTP-15',
        'RPC-15',
      )('comes under the token of the client, in order, before the answer'),
      async () => {
        const token = 'a "token"';
        const incoming = client.beginCall('alpha__progress', { steps: 20, ms: 1 }, { progressToken: token });
        const reply = await incoming.reply();
        const params = incoming.messages.map(({ params: each }) => each ?? {});
        const progress = params.filter((each) => 'progressToken' in each);
        expect(progress.map((each) => each['progress'])).to.deep.equal(
          Array.from({ length: 20 }, (_, i) => i + 1),
        );
        expect(new Set(progress.map((each) => each['progressToken']))).to.deep.equal(new Set([token]));
        expect(reply.events.at(-1)?.message).to.equal(reply.answer);
        const [seen] = alpha().view.requests({ rpc: 'tools/call' }).slice(-1);
        const meta = seen?.message?.params?.['_meta'] as { progressToken?: unknown };
        expect(meta.progressToken).to.equal(seen?.message?.id);
      },
    );

    it(
      verifies('RPC-4')('that goes back, has another token, or that nobody asked for is dropped'),
      async () => {
        const body = (id: number) =>
          [
            { progressToken: id, progress: 5 },
            { progressToken: id, progress: 5 },
            { progressToken: id, progress: 4 },
            { progressToken: id + 1, progress: 6 },
            { progressToken: id, progress: 'seven' },
            { progressToken: id, progress: 8 },
          ]
            .map((params) => ({ jsonrpc: '2.0', method: 'notifications/progress', params }))
            .concat({ jsonrpc: '2.0', id, result: { content: [] } } as never)
            .map((message) => `data: ${JSON.stringify(message)}\n\n`)
            .join('');
        for (const asked of [true, false]) {
          const before = await dropped();
          const hold = alpha().hold('tools/call');
          const meta = asked ? { progressToken: 1 } : {};
          const incoming = client.beginCall('alpha__echo', {}, meta);
          const { message } = await hold.arrived;
          alpha().next('tools/call', {
            status: 200,
            headers: { 'content-type': 'text/event-stream' },
            body: body(Number(message?.id)),
          });
          hold.release();
          await incoming.reply();
          const values = incoming.messages.flatMap(({ params }) => params?.['progress'] ?? []);
          expect(values).to.deep.equal(asked ? [5, 8] : []);
          expect(await dropped()).to.equal(before + (asked ? 4 : 6));
        }
      },
    );
  });

  describe('cancellation', () => {
    it(
      verifies('RPC-5')('reaches the backend under its id; no answer follows, both streams close'),
      async () => {
        const tag = newTag();
        const incoming = client.beginCall('alpha__hang', { tag });
        await until('the call is there', () => seenWith(tag).length === 1);
        const id = (await runningId(client)) ?? 0;
        const notified = await client.notify('notifications/cancelled', { requestId: id, reason: 'no more' });
        expect(notified.status).to.equal(202);
        const reply = await incoming.reply();
        expect(reply.status).to.equal(200);
        expect(reply.answer).to.equal(undefined);
        const cancelled = await alpha().seen({ rpc: 'notifications/cancelled' });
        expect(cancelled.message?.params).to.deep.equal({
          requestId: seenWith(tag)[0]?.message?.id,
          reason: 'no more',
        });
      },
    );

    it(
      verifies('RPC-5', 'J16')("of an unknown, finished or other session's request is ignored and counted"),
      async () => {
        const other = await open();
        const tag = newTag();
        const hold = alpha().hold('tools/call');
        const running = post(other, call('77', 'alpha__echo', { tag }));
        await hold.arrived;
        const cancelled = () => alpha().view.requests({ rpc: 'notifications/cancelled' }).length;
        const [before, count] = [cancelled(), await dropped()];
        for (const requestId of [77, 424242, 'x']) {
          expect((await client.notify('notifications/cancelled', { requestId })).status).to.equal(202);
        }
        hold.release();
        expect(textOf(await running)).to.contain(tag);
        expect(cancelled()).to.equal(before);
        expect(await dropped()).to.equal(count + 3);
      },
    );
  });

  describe('time', () => {
    it(
      verifies('RPC-6', 'RPC-14')('that is over cancels at the backend and is an error with its reason'),
      async () => {
        const tag = newTag();
        const reply = await client.call('alpha__hang', { tag });
        expect(reply.status).to.equal(200);
        expect(reply.answer?.error?.code).to.equal(-32603);
        expect(reply.answer?.error?.data).to.deep.equal({
          reason: 'backend_timeout',
          retryable: false,
          backend: 'alpha',
        });
        const id = seenWith(tag)[0]?.message?.id;
        const told = () =>
          alpha()
            .view.requests({ rpc: 'notifications/cancelled' })
            .filter(({ message }) => message?.params?.['requestId'] === id);
        await until('the backend is told', () => told().length > 0);
        expect(told()).to.have.lengthOf(1);
      },
    );

    it(verifies('RPC-6')('is extended by progress'), async () => {
      const incoming = client.beginCall('alpha__progress', { steps: 4, ms: 350 }, { progressToken: 1 });
      expect(textOf(await incoming.reply())).to.equal('done');
    });

    it(
      verifies('RPC-6', 'RPC-7')('that a person takes to answer is not the backend of a slow kind'),
      async () => {
        const incoming = client.beginCall('alpha__ask');
        const asked = await incoming.message('elicitation/create');
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        await client.send({ jsonrpc: '2.0', id: asked.id, result: { action: 'accept' } }).reply();
        expect(textOf(await incoming.reply())).to.equal('{"action":"accept"}');
      },
    );

    it(verifies('RPC-6')('of a person is bounded too, and a ping asks nobody'), async () => {
      const asking = client.beginCall('alpha__ask');
      await asking.message('elicitation/create');
      alpha().next('tools/call', {
        status: 200,
        headers: { 'content-type': 'text/event-stream' },
        body: 'data: {"jsonrpc":"2.0","id":"p","method":"ping"}\n\n',
        open: true,
      });
      expect(reasonOf(await client.call('alpha__echo'))).to.equal('backend_timeout');
      expect(asking.over).to.equal(false);
      expect(reasonOf(await asking.reply())).to.equal('backend_timeout');
    });
  });

  describe('requests of a backend', () => {
    it(
      verifies(
        'RPC-7',
        'B17',
        'RPC-12',
      )('come on the stream of their call; the reply reaches that backend session'),
      async () => {
        const other = await open();
        const tag = newTag();
        const mine = client.beginCall('alpha__ask', { params: { message: 'your name?', tag } });
        const theirs = other.beginCall('alpha__ask', { params: { message: 'your name?' } });
        const [asked, askedToo] = [
          await mine.message('elicitation/create'),
          await theirs.message('elicitation/create'),
        ];
        expect(asked.params).to.deep.equal({ message: 'your name?', tag });
        expect(asked.id).to.be.a('string').and.not.contain('ask');
        const reply = `{"jsonrpc":"2.0","id":${JSON.stringify(asked.id)},"result":${ODD}}`;
        // A reply in another session is nobody's.
        expect((await post(other, reply)).status).to.equal(202);
        expect((await post(client, reply)).status).to.equal(202);
        await mine.reply();
        const [seen] = seenWith(ODD, 'response');
        expect(seen?.body).to.match(/^{"jsonrpc":"2.0","id":"ask-[^"]+","result":{"z"/);
        expect(seen?.sessionId).to.equal(seenWith(tag)[0]?.sessionId);
        await other.send({ jsonrpc: '2.0', id: askedToo.id, error: { code: -1, message: 'no' } }).reply();
        expect(textOf(await theirs.reply())).to.equal('{"code":-1,"message":"no"}');
      },
    );

    it(
      verifies('RPC-3', 'J14')('have one reply: unknown, late and second ones are dropped and counted'),
      async () => {
        const incoming = client.beginCall('alpha__ask');
        const { id } = await incoming.message('elicitation/create');
        const responses = () => alpha().view.requests({ rpc: 'response' }).length;
        const [before, count] = [responses(), await dropped()];
        const reply = { jsonrpc: '2.0', id, result: { action: 'decline' } };
        await client.send(reply).reply();
        await incoming.reply();
        for (const each of [reply, { ...reply, id: 'never issued' }, { ...reply, id: 3 }]) {
          expect((await client.send(each).reply()).status).to.equal(202);
        }
        expect(responses()).to.equal(before + 1);
        expect(await dropped()).to.equal(count + 3);
      },
    );

    it(verifies('RPC-7', 'B17')('that the client cannot answer are refused at once'), async () => {
      for (const request of ['sampling/createMessage', 'tasks/list']) {
        const reply = await client.call('alpha__ask', { request });
        expect(textOf(reply)).to.contain('-32601');
        expect(reply.events.filter(({ message }) => message?.method === request)).to.have.lengthOf(0);
      }
    });

    it(verifies('RPC-10')('ping is answered by the mesh, in both directions'), async () => {
      const incoming = client.beginCall('alpha__ask', { request: 'ping' });
      expect(textOf(await incoming.reply())).to.equal('{}');
      expect(incoming.messages.filter(({ method }) => method === 'ping')).to.have.lengthOf(0);
      const pings = alpha().view.requests({ rpc: 'ping' }).length;
      expect((await client.request('ping')).answer?.result).to.deep.equal({});
      expect(alpha().view.requests({ rpc: 'ping' })).to.have.lengthOf(pings);
    });

    it(
      verifies('RPC-8')('stay within what the client can: its capabilities, cut to what is carried'),
      async () => {
        const capabilities = {
          experimental: { odd: {} },
          tasks: { list: {} },
          sampling: { tools: {}, odd: {} },
          elicitation: { url: {}, form: {} },
        };
        const before = alpha().view.initialises;
        await stage.open({ capabilities, protocolVersion: '2025-06-18' });
        const seen = alpha().view.requests({ rpc: 'initialize' })[before]?.message?.params;
        expect(seen).to.deep.equal({
          protocolVersion: '2025-06-18',
          capabilities: { sampling: { tools: {} }, elicitation: { url: {}, form: {} } },
          clientInfo: { name: 'a raw client', version: '1' },
        });
      },
    );
  });

  describe('what nobody knows', () => {
    it(verifies('RPC-9')('changed roots reach every backend'), async () => {
      const session = await open();
      await session.notify('notifications/roots/list_changed');
      for (const name of ['alpha', 'beta']) {
        const { sessionId } = await stage.backend(name).seen({ rpc: 'notifications/roots/list_changed' });
        expect(sessionId).to.equal(stage.backend(name).view.sessions.at(-1)?.id);
      }
    });

    it(
      verifies('RPC-11', 'J12', 'HTTP-14')('methods are not found among several; notifications pass'),
      async () => {
        const reply = await client.request('vendor/unknown');
        expect(reply.status).to.equal(200);
        expect(reply.answer?.error?.code).to.equal(-32601);
        expect(reasonOf(reply)).to.equal('method_not_found');
        const notified = await client.notify('notifications/vendor/unknown');
        expect([notified.status, notified.body]).to.deep.equal([202, '']);
      },
    );

    it(verifies('RPC-12', 'RPC-17', 'AGG-17')('bytes cross untouched both ways'), async () => {
      const result = `{"content":[{"type":"text","text":"\\u00e9","x":${ODD}}],"structuredContent":${ODD},"isError":true,"y":${ODD}}`;
      alpha().script({ results: { echo: result } });
      const params = `{"arguments":${ODD},"name":"alpha__echo","extra":${ODD}}`;
      const reply = await post(
        client,
        `{ "jsonrpc":"2.0", "id":1, "method":"tools/call", "params":${params} }`,
      );
      alpha().script({ results: {} });
      expect(reply.body).to.equal(`{"jsonrpc":"2.0","id":1,"result":${result}}`);
      const [seen] = alpha().view.requests({ rpc: 'tools/call' }).slice(-1);
      expect(seen?.body.replace(/"id":\d+/, '"id":0')).to.equal(
        `{"jsonrpc":"2.0","id":0,"method":"tools/call","params":${params.replace('alpha__echo', 'echo')}}`,
      );
    });

    it(
      verifies('RPC-13')('_meta keeps what belongs to the ends; reserved keys end at each hop'),
      async () => {
        const tag = newTag();
        const kept = `"traceparent":"00-x","vendor/key":1.0`;
        const meta = `{"io.modelcontextprotocol/a":{"b":1},${kept},"io.modelcontextprotocol\\/c":2}`;
        const args = JSON.stringify({ tag });
        const result = `{"content":[],"_meta":{"io.modelcontextprotocol/a":1,"k":1.0}}`;
        alpha().script({ results: { echo: result } });
        const reply = await post(
          client,
          `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"alpha__echo","arguments":${args},"_meta":${meta}}}`,
          { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'a=1' },
        );
        alpha().script({ results: {} });
        const [seen] = seenWith(tag);
        expect(seen?.body).to.contain(`"_meta":{${kept}}`);
        expect(seen?.headers['traceparent']).to.equal(
          '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        );
        expect(seen?.headers['tracestate']).to.equal('a=1');
        expect(reply.body).to.contain(`"_meta":{"k":1.0}`);
      },
    );

    it(verifies('RPC-14')("a backend's error is relayed with its data"), async () => {
      const reply = await client.call('alpha__error');
      expect(reply.status).to.equal(200);
      expect(reply.answer?.error).to.deep.equal({
        code: -32000,
        message: 'the backend says no',
        data: { why: 'because' },
      });
    });
  });
});

/** The id of the request that was begun last. */
async function runningId(client: McpClient): Promise<number | undefined> {
  const next = client.begin('ping');
  const { answer } = await next.reply();
  return typeof answer?.id === 'number' ? answer.id - 1 : undefined;
}

describe('Messages before a single backend', function () {
  this.timeout(30_000);
  let stage: Stage;
  let client: McpClient;

  before(async () => {
    stage = await startStage({ backends: { solo: {} }, naming: { mode: 'none' } });
    client = await stage.open();
  });
  after(() => stage[Symbol.asyncDispose]());

  it(verifies('RPC-11', 'RPC-12')('an unknown method is its to answer, with its bytes'), async () => {
    const reply = await post(client, `{"jsonrpc":"2.0","id":1,"method":"vendor/odd","params":${ODD}}`);
    expect(reply.answer?.error).to.deep.equal({ code: -32601, message: 'Method not found' });
    const seen = await stage.backend('solo').seen({ rpc: 'vendor/odd' });
    expect(seen.body).to.contain(`"params":${ODD}`);
    await client.notify('notifications/vendor/odd', { a: 1 });
    await stage.backend('solo').seen({ rpc: 'notifications/vendor/odd' });
  });

  it(verifies('AGG-17', 'RPC-12')('links and embedded resources are untouched'), async () => {
    const result = `{"content":[{"type":"resource_link","uri":"memo:\\/\\/one","name":"n"},{"type":"resource","resource":{"uri":"memo://x","text":""}}]}`;
    stage.backend('solo').script({ results: { echo: result } });
    const reply = await client.call('echo');
    expect(reply.body).to.contain(`"result":${result}}`);
  });
});
