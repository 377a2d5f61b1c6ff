import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  InMemoryTaskMessageQueue,
  InMemoryTaskStore,
} from '@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js';
import { CallToolResultSchema, CreateMessageRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { McpClient, type Reply, reasonOf, textOf } from '../support/mcp-client.ts';
import { defaultScript } from '../support/recording-backend/script.ts';
import { metric, post, type Stage, startStage } from '../support/stage.ts';
import { startTaskBackend, type TaskBackend } from '../support/task-backend.ts';

const RELATED_TASK = 'io.modelcontextprotocol/related-task';
const TASKS = { list: {}, cancel: {}, requests: { tools: { call: {} } } };
const CLIENT_TASKS = { list: {}, cancel: {}, requests: { sampling: { createMessage: {} } } };

interface State {
  readonly taskId: string;
  readonly status: string;
}

describe('Tasks', function () {
  this.timeout(40_000);
  let issuer: TestIssuer;
  let sdk: TaskBackend;
  let stage: Stage;
  let alice: McpClient;
  let bob: McpClient;

  before(async () => {
    issuer = await startIssuer();
    sdk = await startTaskBackend();
    const { url, jwksUri, audience } = issuer;
    const { capabilities } = defaultScript();
    stage = await startStage({
      backends: {
        rec: { capabilities: { ...capabilities, tasks: TASKS }, pageSize: 2 },
        plain: {},
        guarded: { capabilities: { ...capabilities, tasks: TASKS } },
      },
      entries: { guarded: { requiredScopes: ['guarded:use'] } },
      more: { sdk: { url: sdk.url } },
      identity: { issuers: [{ issuer: url, jwksUri, audiences: [audience] }] },
      limits: { streamAfter: '300ms' },
      replicas: 2,
    });
    alice = await open('alice');
    bob = await open('bob');
  });
  after(async () => {
    await stage[Symbol.asyncDispose]();
    await sdk[Symbol.asyncDispose]();
    await issuer.stop();
  });

  const rec = () => stage.backend('rec');
  const open = (sub: string, more = {}) =>
    stage.open({
      token: issuer.token({ sub }),
      capabilities: { sampling: {}, elicitation: {}, tasks: CLIENT_TASKS },
      ...more,
    });
  const create = (client: McpClient, name: string, more = {}) =>
    client.request('tools/call', { name, arguments: {}, task: { ttl: 60_000 }, ...more });
  const created = (reply: Reply) => (JSON.parse(reply.body) as { result: { task: State } }).result.task;
  const make = async (client: McpClient, name: string) => created(await create(client, name)).taskId;
  const stateOf = (reply: Reply) => reply.answer?.result as State;
  const errorOf = (reply: Reply) => [reply.answer?.error?.code, reply.answer?.error?.message];
  const list = async (client: McpClient, cursor?: string) => {
    const reply = await client.request('tasks/list', cursor === undefined ? {} : { cursor });
    return reply.answer?.result as {
      readonly tasks: readonly State[];
      readonly nextCursor?: string;
      readonly _meta?: Readonly<Record<string, Record<string, unknown>>>;
    };
  };
  const listAll = async (client: McpClient) => {
    const ids: string[] = [];
    for (let page = await list(client); ; page = await list(client, page.nextCursor)) {
      ids.push(...page.tasks.map(({ taskId }) => taskId));
      if (page.nextCursor === undefined) return ids;
    }
  };
  /** What the recording backend was asked about tasks since then. */
  const asked = (rpc: string, since = 0) =>
    rec()
      .view.requests({ rpc })
      .filter(({ order }) => order >= since);
  const now = () => rec().record.requests.length;

  describe('of a backend', () => {
    it(verifies('AGG-15', 'AGG-1')('are offered always, to those who can know of them'), async () => {
      const claimed = async (protocolVersion: string) => {
        const client = new McpClient({ url: stage.mesh.url, token: issuer.token(), protocolVersion });
        const { result } = (await client.initialize()).answer ?? {};
        return (result as { capabilities: Record<string, unknown> }).capabilities['tasks'];
      };
      expect(await claimed('2025-11-25')).to.deep.equal(TASKS);
      expect(await claimed('2025-06-18')).to.equal(undefined);
      const older = await open('alice', { protocolVersion: '2025-06-18' });
      expect(reasonOf(await older.request('tasks/list'))).to.equal('method_not_found');
    });

    it(verifies('AGG-15')('say in their tools’ definitions what can run as one, untouched'), async () => {
      const { result } = (await alice.request('tools/list')).answer ?? {};
      const { tools } = result as { tools: readonly { name: string; execution?: unknown }[] };
      const execution = (name: string) => tools.find((tool) => tool.name === name)?.execution;
      expect(execution('sdk__work')).to.deep.equal({ taskSupport: 'optional' });
      expect(execution('sdk__confirm')).to.deep.equal({ taskSupport: 'required' });
      expect(execution('plain__echo')).to.equal(undefined);
    });

    it(
      verifies('AGG-15', 'RPC-12', 'RPC-13')('have another id for the client; all else is untouched'),
      async () => {
        const since = now();
        const reply = await create(alice, 'rec__echo', { arguments: { n: 1 } });
        const { taskId } = created(reply);
        expect(taskId).to.be.a('string').and.not.contain('task-');
        const [call] = asked('tools/call', since);
        expect(call?.message?.params).to.deep.equal({
          name: 'echo',
          arguments: { n: 1 },
          task: { ttl: 60_000 },
        });
        expect(reply.body).to.contain(`{"task":{"z":1.0,"taskId":"${taskId}","status":"working",`);
        expect(reply.body).to.contain(
          '"_meta":{"io.modelcontextprotocol/model-immediate-response":"It runs.","odd":1}',
        );

        const got = await alice.request('tasks/get', { taskId });
        expect(got.body).to.contain(`"result":{"z":1.0,"taskId":"${taskId}","status":"working",`);
        const [seen] = asked('tasks/get', since);
        expect(seen?.message?.params)
          .to.have.property('taskId')
          .that.matches(/^task-\d+$/);
        expect(seen?.sessionId).to.equal(call?.sessionId);
        expect(stage.backend('plain').view.requests({ rpc: 'tasks/get' })).to.deep.equal([]);

        rec().tasks.finish(String(seen?.message?.params?.['taskId']));
        const result = (await alice.request('tasks/result', { taskId })).answer?.result;
        expect(result)
          .to.have.property('_meta')
          .that.deep.equals({ [RELATED_TASK]: { taskId } });
        expect(stateOf(await alice.request('tasks/get', { taskId }))).to.include({
          taskId,
          status: 'completed',
        });
      },
    );

    it(verifies('AGG-15')('are cancelled there, once, and at no other'), async () => {
      const [mine, other] = [await make(alice, 'rec__echo'), await make(alice, 'sdk__work')];
      const since = now();
      expect(stateOf(await alice.request('tasks/cancel', { taskId: mine }))).to.include({
        taskId: mine,
        status: 'cancelled',
      });
      expect(asked('tasks/cancel', since)).to.have.lengthOf(1);
      expect(stateOf(await alice.request('tasks/get', { taskId: other })).status).to.equal('working');
      // The backend's own refusal, as it is.
      expect(errorOf(await alice.request('tasks/cancel', { taskId: mine }))).to.deep.equal([
        -32602,
        'Cannot cancel: cancelled',
      ]);
      await alice.request('tasks/cancel', { taskId: other });
      expect(sdk.told.filter(({ message }) => message.method === 'tasks/cancel')).to.have.lengthOf(1);
    });

    it(verifies('AGG-15')('are nobody’s in another session, whoever’s it is'), async () => {
      const taskId = await make(alice, 'rec__echo');
      const since = now();
      const second = await open('alice');
      for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel']) {
        for (const client of [bob, second]) {
          const unknown = await client.request(method, { taskId: 'never-was' });
          const foreign = await client.request(method, { taskId });
          expect(foreign.status).to.equal(unknown.status);
          expect(foreign.answer?.error).to.deep.equal(unknown.answer?.error);
          expect(errorOf(foreign)).to.deep.equal([-32602, 'Unknown task.']);
        }
        // The backend's own id is no better, and neither is another spelling of ours.
        for (const guess of ['task-1', `${taskId}=`, `${taskId} `, '']) {
          expect(errorOf(await alice.request(method, { taskId: guess }))[0]).to.equal(-32602);
        }
        expect(reasonOf(await alice.request(method))).to.equal('invalid_params');
        expect(asked(method, since)).to.deep.equal([]);
      }
      expect(stateOf(await alice.request('tasks/get', { taskId })).status).to.equal('working');
    });

    it(verifies('AGG-15')('are not made where the backend has none'), async () => {
      const reply = await create(alice, 'plain__echo');
      expect(errorOf(reply)[0]).to.equal(-32601);
      expect(reply.answer?.error?.data).to.deep.equal({
        reason: 'method_not_found',
        retryable: false,
        backend: 'plain',
      });
      expect(stage.backend('plain').view.executionsOf('echo')).to.equal(0);
      // A tool that runs as a task alone says so itself.
      expect(textOf(await alice.call('sdk__confirm'))).to.contain('requires task augmentation');
    });

    it(verifies('AGG-15', 'HTTP-23')('are asked for with the scopes of their backend alone'), async () => {
      const client = await stage.open({ token: issuer.token({ sub: 'peggy', scope: 'guarded:use' }) });
      const taskId = await make(client, 'guarded__echo');
      const lesser = client.alias({ token: issuer.token({ sub: 'peggy' }) });
      const { requests } = stage.backend('guarded').record;
      for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel']) {
        const reply = await lesser.request(method, { taskId });
        expect(reply.status).to.equal(403);
        expect(reply.headers['www-authenticate']).to.contain('scope="guarded:use"');
      }
      expect(await listAll(lesser)).to.deep.equal([]);
      expect(stage.backend('guarded').record.requests).to.have.lengthOf(requests.length);
      expect(await listAll(client)).to.deep.equal([taskId]);
      expect(stateOf(await client.request('tasks/get', { taskId })).status).to.equal('working');
    });

    it(verifies('AGG-15')('end with the backend session that held them, and that is said'), async () => {
      const client = await open('alice');
      const taskId = await make(client, 'rec__echo');
      rec().loseSessions();
      const since = now();
      const reply = await client.request('tasks/result', { taskId });
      expect(reply.answer?.error?.code).to.equal(-32602);
      expect(reply.answer?.error?.data).to.deep.equal({
        reason: 'backend_restarted',
        retryable: false,
        backend: 'rec',
      });
      expect(errorOf(await client.request('tasks/cancel', { taskId }))[0]).to.equal(-32602);
      // A task of the same id in the new session is another one.
      expect(asked('tasks/cancel', since)).to.deep.equal([]);
    });
  });

  describe('in a list', () => {
    it(
      verifies('AGG-15', 'AGG-3')('are those of all backends, each page in the configured order'),
      async () => {
        const client = await open('carol');
        const made: string[] = [];
        for (const name of ['rec__echo', 'sdk__work', 'rec__echo', 'rec__echo'])
          made.push(await make(client, name));
        const [first, work, second, third] = made;
        expect(await listAll(client)).to.deep.equal([first, second, third, work]);
        expect(await listAll(client)).to.deep.equal([first, second, third, work]);
      },
    );

    it(verifies('AGG-15')('are the session’s own, also of a backend that shows everybody all'), async () => {
      const taskId = await make(alice, 'rec__echo');
      expect(await listAll(alice)).to.include(taskId);
      const dave = await open('dave');
      expect(await listAll(dave)).to.deep.equal([]);
      expect((await list(dave)).tasks).to.deep.equal([]);
    });

    it(verifies('AGG-15')('go on at a cursor of this session only'), async () => {
      const client = await open('erin');
      for (let n = 0; n < 3; n += 1) await make(client, 'rec__echo');
      const { nextCursor } = await list(client);
      expect(nextCursor).to.be.a('string');
      const other = await open('erin');
      for (const [who, cursor] of [
        [other, nextCursor],
        [client, '2'],
        [client, `${nextCursor}x`],
      ] as const) {
        expect(errorOf(await who.request('tasks/list', { cursor }))[0]).to.equal(-32602);
      }
      expect(errorOf(await client.request('tasks/get', { taskId: nextCursor }))[0]).to.equal(-32602);
    });

    it(verifies('AGG-15')('miss only those of a backend that does not answer, which is named'), async () => {
      const client = await open('frank');
      const made = [await make(client, 'rec__echo'), await make(client, 'sdk__work')];
      for (let n = 0; n < 2; n += 1) rec().next('tasks/list', { status: 503 });
      const page = await list(client);
      expect(page.tasks.map(({ taskId }) => taskId)).to.deep.equal(made.slice(1));
      expect(Object.keys(page._meta?.['dev.outrigger/backends'] ?? {})).to.deep.equal(['rec']);
      expect(await listAll(client)).to.deep.equal(made);
    });
  });

  describe('while they run', () => {
    it(verifies('AGG-15')('tell their status under the client’s id, and nobody else’s'), async () => {
      const client = await open('grace');
      const taskId = await make(client, 'rec__echo');
      const [session] = asked('tools/call').slice(-1);
      const streams = rec().record.openStreams;
      const listening = await client.listen();
      await rec().listeners(streams + 1);
      const own = `task-${rec().tasks.count}`;
      const push = (id: unknown, status: string) =>
        rec().push(
          { method: 'notifications/tasks/status', params: { taskId: id, status } },
          session?.sessionId,
        );
      push('task-1', 'failed');
      push(5, 'failed');
      push(own, 'completed');
      const told = await listening.message('notifications/tasks/status');
      expect(told.params).to.deep.equal({ taskId, status: 'completed' });
      listening.drop();
      await rec().listeners(streams);
    });

    it(
      verifies('AGG-15', 'RPC-4')('report progress under the client’s token, after the call is over'),
      async () => {
        const client = await open('heidi');
        const reply = await create(client, 'sdk__work', { _meta: { progressToken: 'mine' } });
        const { taskId } = created(reply);
        const token = sdk.told.findLast(({ message }) => message.method === 'tools/call')?.message.params?.[
          '_meta'
        ];
        expect(token).to.have.property('progressToken').that.is.a('string').and.not.equals('mine');
        const waiting = client.begin('tasks/result', { taskId });
        await sdk.report(1);
        await sdk.report(1);
        await sdk.report(2);
        await waiting.event(({ message }) => message?.params?.['progress'] === 2);
        await sdk.finish();
        expect(textOf(await waiting.reply())).to.equal('worked');
        const told = waiting.messages.filter(({ method }) => method === 'notifications/progress');
        expect(told.map(({ params }) => params)).to.deep.equal(
          [1, 2].map((progress) => ({
            progressToken: 'mine',
            progress,
            _meta: { [RELATED_TASK]: { taskId } },
          })),
        );
      },
    );

    it(
      verifies('AGG-15', 'RPC-7')('ask the client on the stream of tasks/result, each for its own'),
      async () => {
        const [mine, theirs] = [await make(alice, 'sdk__confirm'), await make(bob, 'sdk__confirm')];
        expect(stateOf(await alice.request('tasks/get', { taskId: mine })).status).to.equal('input_required');
        const [waiting, other] = [
          alice.begin('tasks/result', { taskId: mine }),
          bob.begin('tasks/result', { taskId: theirs }),
        ];
        const request = await waiting.message('elicitation/create');
        const others = await other.message('elicitation/create');
        expect(request.params?.['_meta']).to.deep.equal({ [RELATED_TASK]: { taskId: mine } });
        expect(others.params?.['_meta']).to.deep.equal({ [RELATED_TASK]: { taskId: theirs } });
        const answer = (id: unknown, action: string, taskId: string) => ({
          jsonrpc: '2.0',
          id,
          result: { action, content: {}, _meta: { [RELATED_TASK]: { taskId } } },
        });
        await alice.send(answer(request.id, 'accept', mine)).reply();
        await bob.send(answer(others.id, 'decline', theirs)).reply();
        expect(textOf(await waiting.reply())).to.equal('accept');
        expect(textOf(await other.reply())).to.equal('decline');
        // What the backend was told names the task as it knows it.
        const replies = sdk.told.flatMap(
          ({ message }) => (message.result as { _meta?: object })?._meta ?? [],
        );
        const known = sdk.told.filter(({ message }) => message.method === 'tasks/result').slice(-2);
        expect(replies.slice(-2)).to.have.deep.members(
          known.map(({ message }) => ({ [RELATED_TASK]: { taskId: message.params?.['taskId'] } })),
        );
      },
    );
  });

  describe('of a client', () => {
    it(verifies('AGG-15', 'RPC-7')('of the public SDK run for the backend that asked'), async () => {
      const taskStore = new InMemoryTaskStore();
      const client = new Client(
        { name: 'sdk-v1', version: '1' },
        {
          capabilities: {
            sampling: {},
            tasks: { list: {}, cancel: {}, requests: { sampling: { createMessage: {} } } },
          },
          taskStore,
          taskMessageQueue: new InMemoryTaskMessageQueue(),
        },
      );
      const before = sdk.told.length;
      client.setRequestHandler(CreateMessageRequestSchema, async (_request, extra) => {
        const task = await extra.taskStore?.createTask({ ttl: 60_000, pollInterval: 50 });
        if (task === undefined) throw new Error('no task was asked for');
        await extra.taskStore?.storeTaskResult(task.taskId, 'completed', {
          model: 'm',
          role: 'assistant',
          content: { type: 'text', text: 'drafted' },
        });
        return { task } as never;
      });
      const headers = { authorization: `Bearer ${issuer.token({ sub: 'ivan' })}` };
      const transport = new StreamableHTTPClientTransport(new URL(stage.mesh.url), {
        requestInit: { headers },
      });
      try {
        await client.connect(transport);
        const result = await client.callTool({ name: 'sdk__draft', arguments: {} });
        expect(result.content).to.deep.equal([
          { type: 'text', text: 'taskCreated taskStatus {"type":"text","text":"drafted"}' },
        ]);
        const [held] = taskStore.getAllTasks();
        const told = JSON.stringify(sdk.told.slice(before));
        expect(held?.taskId).to.be.a('string');
        expect(told).to.contain('"taskId"').and.not.contain(held?.taskId);
        await transport.terminateSession();
      } finally {
        await client.close();
        taskStore.cleanup();
      }
    });

    it(verifies('AGG-15')('are asked for by nobody but the backend that had them made'), async () => {
      const client = await open('judy');
      const params = { messages: [], maxTokens: 1, task: { ttl: 1_000 } };
      const asking = client.beginCall('rec__ask', { request: 'sampling/createMessage', params });
      const request = await asking.message('sampling/createMessage');
      expect(request.params).to.deep.equal(params);
      const task = { taskId: 'of-the-client', status: 'working' };
      await client.send({ jsonrpc: '2.0', id: request.id, result: { task } }).reply();
      const { taskId } = (JSON.parse(textOf(await asking.reply())) as { task: State }).task;
      expect(taskId).not.to.equal('of-the-client');

      const getting = client.beginCall('rec__ask', { request: 'tasks/get', params: { taskId } });
      const get = await getting.message('tasks/get');
      expect(get.params).to.deep.equal({ taskId: 'of-the-client' });
      await client.send({ jsonrpc: '2.0', id: get.id, result: task }).reply();
      expect(JSON.parse(textOf(await getting.reply()))).to.deep.equal({ ...task, taskId });

      await client.notify('notifications/tasks/status', { taskId: 'of-the-client', status: 'completed' });
      const told = await rec().seen({ rpc: 'notifications/tasks/status' });
      expect(told.message?.params).to.deep.equal({ taskId, status: 'completed' });

      for (const [tool, id] of [
        ['plain__ask', taskId],
        ['rec__ask', 'of-the-client'],
      ] as const) {
        const refused = client.beginCall(tool, { request: 'tasks/get', params: { taskId: id } });
        const reply = await refused.reply();
        expect(textOf(reply)).to.contain('-32602');
        expect(refused.messages.filter(({ method }) => method === 'tasks/get')).to.deep.equal([]);
      }
      const twice = client.beginCall('rec__ask', { request: 'tasks/get', params: { taskId } });
      const asked = await twice.message('tasks/get');
      const result = '{"taskId":"of-the-client","TASKID":"other"}';
      await post(client, `{"jsonrpc":"2.0","id":${JSON.stringify(asked.id)},"result":${result}}`);
      expect(textOf(await twice.reply())).to.equal(result);
      const listing = await client.call('rec__ask', { request: 'tasks/list', params: {} });
      expect(textOf(listing)).to.contain('-32601');
    });

    it(verifies('AGG-15', 'RPC-8')('are told to backends as far as they are carried'), async () => {
      const before = rec().view.initialises;
      await open('alice');
      const seen = rec().view.requests({ rpc: 'initialize' })[before]?.message?.params;
      expect(seen?.['capabilities'])
        .to.have.property('tasks')
        .that.deep.equals({
          cancel: {},
          requests: { sampling: { createMessage: {} } },
        });
    });
  });

  describe('and a replica that is lost', () => {
    it(verifies('AGG-15', 'RST-11')('between a task and its result, the other answers for it'), async () => {
      const callers = [await open('mallory'), await open('niaj')] as const;
      const [client] = callers;
      const tasks = await Promise.all(callers.map((each) => make(each, 'sdk__work')));
      const recorded = await make(client, 'rec__echo');
      const confirmed = await make(client, 'sdk__confirm');
      const waiting = client.begin('tasks/result', { taskId: tasks[0] });
      const asking = client.begin('tasks/result', { taskId: confirmed });
      const { id } = await asking.message('elicitation/create');
      await waiting.begun;

      const { replicas } = stage.mesh;
      const sessions = await Promise.all(replicas.map((each) => metric(each, 'outrigger_sessions')));
      await replicas.find((_, at) => (sessions[at] ?? 0) > 0)?.kill('SIGKILL');

      await client.send({ jsonrpc: '2.0', id, result: { action: 'accept', content: {} } }).reply();
      expect(stateOf(await client.request('tasks/get', { taskId: tasks[0] }))).to.include({
        taskId: tasks[0],
        status: 'working',
      });
      expect(await listAll(client)).to.have.members([tasks[0], recorded, confirmed]);
      expect(stateOf(await client.request('tasks/cancel', { taskId: recorded })).status).to.equal(
        'cancelled',
      );
      await sdk.finish();
      expect(textOf(await waiting.reply())).to.equal('worked');
      expect(textOf(await asking.reply())).to.equal('accept');
      for (const [at, each] of callers.entries()) {
        expect(textOf(await each.request('tasks/result', { taskId: tasks[at] }))).to.equal('worked');
        const stranger = callers[1 - at] ?? client;
        expect(errorOf(await stranger.request('tasks/get', { taskId: tasks[at] }))).to.deep.equal([
          -32602,
          'Unknown task.',
        ]);
      }
      // Nothing ran twice, and the backend sessions are those that made the tasks.
      const toldOf = (method: string) =>
        sdk.told.filter(({ message }) => message.method === method).slice(-2);
      const made = sdk.told.filter(({ message }) => message.method === 'tools/call').slice(-3);
      expect(toldOf('tasks/result').map(({ session }) => session)).to.have.members([
        ...new Set(made.map(({ session }) => session)),
      ]);
    });
  });

  it(verifies('AGG-15')('of the public SDK’s client run from end to end'), async () => {
    const client = new Client({ name: 'sdk-v1', version: '1' });
    const headers = { authorization: `Bearer ${issuer.token({ sub: 'olivia' })}` };
    const transport = new StreamableHTTPClientTransport(new URL(stage.mesh.url), {
      requestInit: { headers },
    });
    try {
      await client.connect(transport);
      await client.listTools();
      const steps: string[] = [];
      const { tasks } = client.experimental;
      for await (const step of tasks.callToolStream(
        { name: 'sdk__work', arguments: {} },
        CallToolResultSchema,
        { task: { ttl: 60_000 } },
      )) {
        steps.push(step.type);
        if (step.type === 'taskCreated') await sdk.finish();
        if (step.type === 'result')
          expect(step.result.content).to.deep.equal([{ type: 'text', text: 'worked' }]);
      }
      expect([steps.at(0), steps.at(-1)]).to.deep.equal(['taskCreated', 'result']);
      const listed = await tasks.listTasks();
      expect(listed.tasks).to.have.lengthOf(1);
      await transport.terminateSession();
    } finally {
      await client.close();
    }
  });
});
