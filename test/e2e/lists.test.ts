import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { McpClient, type Reply, reasonOf, textOf } from '../support/mcp-client.ts';
import type { RecordedRequest } from '../support/recording-backend.ts';
import { metric, post, type Stage, startStage, until } from '../support/stage.ts';

type Named = { readonly name: string; readonly uri?: string };

const listOf = (reply: Reply, kind: string) =>
  ((reply.answer?.result ?? {}) as Record<string, readonly Named[]>)[kind] ?? [];
const namesOf = (reply: Reply, kind = 'tools') => listOf(reply, kind).map(({ name }) => name);
const cursorOf = (reply: Reply) => ((reply.answer?.result ?? {}) as { nextCursor?: string }).nextCursor;
const missing = (reply: Reply) =>
  ((reply.answer?.result ?? {}) as { _meta?: Record<string, Record<string, { reason?: string }>> })?._meta?.[
    'dev.outrigger/backends'
  ] ?? {};

const tools = (...names: string[]) => names.map((name) => ({ name }));

describe('Lists of many backends', function () {
  this.timeout(30_000);
  let stage: Stage;
  let client: McpClient;

  before(async () => {
    stage = await startStage({
      backends: {
        alpha: { tools: tools('one', 'two', 'echo'), pageSize: 2, instructions: 'alpha knows' },
        beta: { tools: tools('echo', 'whoami', 'bad name'), prompts: [], resources: [] },
        plain: { capabilities: { tools: {} }, tools: tools('echo'), get: 405 },
      },
      more: { dead: { url: 'http://127.0.0.1:1/mcp' } },
    });
    client = await stage.open();
  });
  after(() => stage[Symbol.asyncDispose]());

  const backend = (name: string) => stage.backend(name);
  const calls = (name: string, rpc: string) => backend(name).view.requests({ rpc });

  it(verifies('AGG-1')('the mesh is one server that can everything, whoever is behind it'), async () => {
    const reply = await new McpClient({ url: stage.mesh.url }).initialize();
    const result = reply.answer?.result as Record<string, unknown>;
    expect(result['capabilities']).to.deep.equal({
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { listChanged: true, subscribe: true },
      completions: {},
      logging: {},
      tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } },
    });
    expect(result['serverInfo']).to.include({ name: 'outrigger' });
    expect(result['instructions']).to.equal('## alpha\n\nalpha knows');
  });

  it(verifies('AGG-2', 'AGG-3', 'AGG-4')('hold all pages of all, prefixed, in one order'), async () => {
    const expected = ['alpha__one', 'alpha__two', 'alpha__echo', 'beta__echo', 'beta__whoami'];
    const first = namesOf(await client.request('tools/list'));
    expect(first.slice(0, 5)).to.deep.equal(expected);
    expect(first[5]).to.match(/^beta__bad_name_[0-9a-f]{8}$/);
    expect(first.slice(6)).to.deep.equal(['plain__echo']);
    for (const name of first) expect(name).to.match(/^[A-Za-z0-9_.-]{1,128}$/);
    backend('alpha').script({ delays: { 'tools/list': 60 } });
    const again = namesOf(await (await stage.open()).request('tools/list'));
    backend('alpha').script({ delays: {} });
    expect(again).to.deep.equal(first);
    const pages = calls('alpha', 'tools/list').map(({ message }) => message?.params?.['cursor']);
    expect(pages.slice(0, 2)).to.deep.equal([undefined, '2']);
  });

  it(verifies('AGG-4', 'B14')('lead each name back to its own backend'), async () => {
    const names = namesOf(await client.request('tools/list'));
    const bad = names.find((name) => name.startsWith('beta__bad')) ?? '';
    for (const name of ['beta__echo', bad]) {
      const tag = `via ${name}`;
      expect(textOf(await client.call(name, { tag }))).to.contain(tag);
      const seen = calls('beta', 'tools/call').find(({ body }) => body.includes(tag));
      expect(seen?.message?.params?.['name']).to.equal(name === bad ? 'bad name' : 'echo');
      for (const other of ['alpha', 'plain']) {
        expect(calls(other, 'tools/call').filter(({ body }) => body.includes(tag))).to.have.lengthOf(0);
      }
    }
  });

  it(verifies('AGG-2')('take the empty cursor and refuse one that is not theirs'), async () => {
    const whole = namesOf(await client.request('tools/list'));
    expect(namesOf(await client.request('tools/list', { cursor: '' }))).to.deep.equal(whole);
    for (const cursor of ['2', 'bm9uZQ', '../../etc']) {
      const reply = await client.request('tools/list', { cursor });
      expect([reply.status, reply.answer?.error?.code]).to.deep.equal([200, -32602]);
    }
  });

  it(verifies('AGG-6', 'B1')('say which backend is missing, and cost its own items only'), async () => {
    const opened = await new McpClient({ url: stage.mesh.url }).initialize();
    for (const reply of [opened, await client.request('tools/list')]) {
      expect(Object.keys(missing(reply))).to.deep.equal(['dead']);
      expect(missing(reply)['dead']?.reason).to.equal('backend_unavailable');
    }
    const reply = await client.call('dead__anything');
    expect(reply.status).to.equal(200);
    expect(reply.answer?.error?.code).to.equal(-32603);
    expect(reply.answer?.error?.data).to.include({
      reason: 'backend_unavailable',
      retryable: true,
      backend: 'dead',
    });
  });

  it(
    verifies('AGG-8', 'RPC-12', 'B12')('relay definitions to the byte; an invalid one drops alone'),
    async () => {
      const odd = `{"description":"\\u00e9","inputSchema":{"type":"object","pattern":"(a+)+$","$ref":"http://169.254.169.254/x","n":1.0},"name":"odd","x":{"__proto__":1e2}}`;
      const session = await stage.open();
      const hold = backend('plain').hold('tools/list');
      const listing = session.request('tools/list');
      const { message } = await hold.arrived;
      const list = `[{"name":7,"inputSchema":{"type":"object"}},${odd},{"name":"no schema"},{"name":"arr","inputSchema":[]}]`;
      backend('plain').next('tools/list', {
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: `{"jsonrpc":"2.0","id":${message?.id},"result":{"tools":${list}}}`,
      });
      hold.release();
      const reply = await listing;
      expect(reply.body).to.contain(odd.replace('"odd"', '"plain__odd"'));
      expect(namesOf(reply).filter((name) => name.startsWith('plain'))).to.deep.equal(['plain__odd']);
    },
  );

  it(verifies('B13', 'AGG-6')('without end are cut, and cost their backend only'), async () => {
    const session = await stage.open();
    backend('plain').script({ pageSize: 0 });
    const before = calls('plain', 'tools/list').length;
    const reply = await session.request('tools/list');
    backend('plain').script({ pageSize: 100 });
    expect(calls('plain', 'tools/list').length - before).to.equal(100);
    expect(missing(reply)['plain']?.reason).to.equal('backend_protocol_error');
    expect(namesOf(reply)).to.include('alpha__one');
  });

  it(verifies('AGG-6')('do not wait long for one that is slow; its items follow'), async () => {
    const session = await stage.open();
    const hold = backend('plain').hold('tools/list');
    const listening = await session.listen();
    const reply = await session.request('tools/list');
    expect(missing(reply)['plain']?.reason).to.equal('backend_timeout');
    expect(namesOf(reply)).to.include('alpha__one').and.not.include('plain__echo');
    hold.release();
    await listening.message('notifications/tools/list_changed');
    expect(namesOf(await session.request('tools/list'))).to.include('plain__echo');
    listening.drop();
  });

  describe('that change', () => {
    let listening: Awaited<ReturnType<McpClient['listen']>>;
    let session: McpClient;

    beforeEach(async () => {
      session = await stage.open();
      for (const method of ['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list']) {
        await session.request(method);
      }
      const open = backend('alpha').record.openStreams;
      listening = await session.listen();
      await backend('alpha').listeners(open + 1);
    });
    afterEach(async () => {
      listening.drop();
      await backend('alpha').listeners(0);
    });

    const push = (kind: string) => backend('alpha').push({ method: `notifications/${kind}/list_changed` });
    const heard = () => listening.messages.map(({ method }) => method?.split('/')[1]);

    it(
      verifies('AGG-10', 'HTTP-16')('are announced once for a burst, to whoever sees the change'),
      async () => {
        const before = backend('alpha').record;
        backend('alpha').script({ tools: tools('one', 'two', 'echo', 'three') });
        for (let n = 0; n < 5; n += 1) push('tools');
        await listening.message('notifications/tools/list_changed');
        expect(namesOf(await session.request('tools/list'))).to.include('alpha__three');
        // What follows says that nothing more came of the burst.
        backend('alpha').script({ prompts: [] });
        push('prompts');
        await listening.message('notifications/prompts/list_changed');
        expect(heard()).to.deep.equal(['tools', 'prompts']);
        expect(namesOf(await session.request('prompts/list'), 'prompts')).to.not.include('alpha__greet');
        expect(before.executions.length).to.equal(backend('alpha').record.executions.length);
      },
    );

    it(verifies('AGG-10')('are announced for resources and templates too, and for removals'), async () => {
      backend('alpha').script({ resources: [{ uri: 'memo://new', name: 'new' }] });
      push('resources');
      await listening.message('notifications/resources/list_changed');
      backend('alpha').script({ resourceTemplates: [], tools: tools('one') });
      push('resources');
      push('tools');
      await listening.message('notifications/tools/list_changed');
      expect(heard()).to.have.members(['resources', 'resources', 'tools']);
    });

    it(verifies('AGG-10')('are not announced when the client sees no difference'), async () => {
      push('tools');
      push('resources');
      backend('alpha').script({ prompts: [{ name: `p${Math.random()}` }] });
      push('prompts');
      await listening.message('notifications/prompts/list_changed');
      expect(heard()).to.deep.equal(['prompts']);
    });

    it(verifies('AGG-10')('while nobody listened are announced to the one who listens next'), async () => {
      listening.drop();
      await backend('alpha').listeners(0);
      backend('alpha').script({ tools: tools('one', `t${Date.now()}`) });
      listening = await session.listen();
      await listening.message('notifications/tools/list_changed');
    });
  });

  describe('of resources', () => {
    before(() => {
      backend('alpha').script({ resources: [{ uri: 'memo://one', name: 'one' }] });
      backend('beta').script({ resources: [{ uri: 'memo://one', name: 'one' }], resourceTemplates: [] });
    });
    const theirs = 'outrigger://beta/memo://one';

    it(verifies('AGG-5')('name conflicting URIs apart and map them back'), async () => {
      const session = await stage.open();
      const uris = listOf(await session.request('resources/list'), 'resources').map(({ uri }) => uri);
      expect(uris).to.deep.equal(['memo://one', theirs]);
      const mine = await session.request('resources/read', { uri: 'memo://one' });
      expect(mine.body).to.contain('from alpha').and.contain('"uri":"memo://one"');
      const reply = await session.request('resources/read', { uri: theirs });
      expect(reply.body).to.contain('from beta').and.contain(`"uri":"${theirs}"`);
      expect(calls('beta', 'resources/read').at(-1)?.message?.params).to.deep.equal({ uri: 'memo://one' });
    });

    it(verifies('AGG-5', 'AGG-17')('map links and embedded resources, and touch nothing else'), async () => {
      const session = await stage.open();
      await session.request('resources/list');
      const result = (uri: string) =>
        `{"content":[{"type":"resource_link","x":1.0,"uri":"${uri}","name":"n"},{"type":"text","text":"memo://one"}]}`;
      backend('beta').script({ results: { echo: result('memo://one') } });
      const reply = await session.call('beta__echo');
      backend('beta').script({ results: {} });
      expect(reply.body).to.contain(`"result":${result(theirs)}}`);
    });

    it(verifies('AGG-11', 'AGG-5')('tell subscribers alone of updates, under their URI'), async () => {
      const session = await stage.open();
      await session.request('resources/list');
      const listening = await session.listen();
      const own = backend('beta').view.sessions.at(-1)?.id ?? '';
      await until(
        'beta is heard',
        () => backend('beta').view.requests({ method: 'GET', sessionId: own }).length > 0,
      );
      const update = (uri: string) =>
        backend('beta').push({ method: 'notifications/resources/updated', params: { uri } }, own);
      await session.request('resources/subscribe', { uri: theirs });
      expect(calls('beta', 'resources/subscribe').at(-1)?.message?.params).to.deep.equal({
        uri: 'memo://one',
      });
      update('memo://other');
      update('memo://one');
      const updated = await listening.message('notifications/resources/updated');
      expect(updated.params).to.deep.equal({ uri: theirs });
      await session.request('resources/unsubscribe', { uri: theirs });
      update('memo://one');
      backend('beta').push({ method: 'notifications/message', params: { level: 'info', data: 'last' } }, own);
      await listening.message('notifications/message');
      expect(listening.messages.filter(({ method }) => method?.endsWith('updated'))).to.have.lengthOf(1);
      listening.drop();
    });

    it(verifies('AGG-11')('keep only so many subscriptions of one session'), async () => {
      const session = await stage.open();
      const uri = (n: number) => `outrigger://alpha/memo://${'x'.repeat(900)}${n}`;
      const replies: Reply[] = [];
      for (let n = 0; n < 9; n += 1)
        replies.push(await session.request('resources/subscribe', { uri: uri(n) }));
      expect(replies.filter(({ answer }) => answer?.error !== undefined)).to.have.lengthOf(1);
      expect(reasonOf(replies[8] as Reply)).to.equal('invalid_params');
      await session.request('resources/unsubscribe', { uri: uri(0) });
      const again = await session.request('resources/subscribe', { uri: uri(8) });
      expect(again.answer?.result).to.deep.equal({});
    });
  });

  it(verifies('AGG-12')('a level is sent to the backends that log, and no unknown one'), async () => {
    const session = await stage.open();
    const reply = await session.request('logging/setLevel', { level: 'warning' });
    expect(reply.answer?.result).to.deep.equal({});
    const levels = (name: string) =>
      calls(name, 'logging/setLevel').map((each: RecordedRequest) => each.message?.params);
    for (const name of ['alpha', 'beta']) expect(levels(name)).to.deep.equal([{ level: 'warning' }]);
    expect(levels('plain')).to.deep.equal([]);
    const bad = await session.request('logging/setLevel', { level: 'loud' });
    expect(bad.answer?.error?.code).to.equal(-32602);
  });

  it(
    verifies('AGG-13')('completion goes where its reference leads, and has at most 100 values'),
    async () => {
      backend('beta').script({ prompts: [{ name: 'greet' }] });
      const session = await stage.open();
      const ask = (ref: unknown) =>
        session.request('completion/complete', { ref, argument: { name: 'a', value: '' } });
      const valuesOf = (reply: Reply) =>
        ((reply.answer?.result ?? {}) as { completion: { values: string[]; hasMore?: boolean } }).completion;
      const byPrompt = await ask({ type: 'ref/prompt', name: 'beta__greet' });
      expect(valuesOf(byPrompt).values).to.deep.equal(['beta']);
      const seen = calls('beta', 'completion/complete').at(-1)?.message?.params;
      expect(seen?.['ref']).to.deep.equal({ type: 'ref/prompt', name: 'greet' });
      const hold = backend('beta').hold('completion/complete');
      const asking = ask({ type: 'ref/prompt', name: 'beta__greet' });
      const { message } = await hold.arrived;
      const values = Array.from({ length: 150 }, (_, n) => `v${n}`);
      backend('beta').next('completion/complete', {
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ jsonrpc: '2.0', id: message?.id, result: { completion: { values } } }),
      });
      hold.release();
      const capped = valuesOf(await asking);
      expect(capped.values).to.have.lengthOf(100);
      expect(capped.hasMore).to.equal(true);
      expect((await ask({ type: 'ref/prompt', name: 'nobody' })).answer?.error?.code).to.equal(-32602);
      expect(
        (await post(session, '{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{}}')).answer
          ?.error?.code,
      ).to.equal(-32602);
      // A backend without completions has none, and is not asked.
      expect(calls('plain', 'completion/complete')).to.have.lengthOf(0);
    },
  );
});

describe('Lists beyond a page', function () {
  this.timeout(30_000);
  let stage: Stage;

  before(async () => {
    const description = 'x'.repeat(8_000);
    const many = Array.from({ length: 200 }, (_, n) => ({ name: `t${n}`, definition: { description } }));
    stage = await startStage({
      backends: { alpha: { tools: many, pageSize: 50 }, beta: { tools: many, pageSize: 33 } },
    });
  });
  after(() => stage[Symbol.asyncDispose]());

  it(verifies('AGG-2', 'AGG-3')('come in pages that lose and double nothing'), async () => {
    const client = await stage.open();
    const names: string[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const reply = await client.request('tools/list', cursor === undefined ? {} : { cursor });
      names.push(...namesOf(reply));
      cursor = cursorOf(reply);
      pages += 1;
    } while (cursor !== undefined && pages < 50);
    expect(pages).to.be.greaterThan(2);
    const expected = ['alpha', 'beta'].flatMap((backend) =>
      Array.from({ length: 200 }, (_, n) => `${backend}__t${n}`),
    );
    expect(names).to.deep.equal(expected);
    const first = await client.request('tools/list');
    const theirs = cursorOf(first);
    const other = await client.request('prompts/list', { cursor: theirs });
    expect(other.answer?.error?.code).to.equal(-32602);
  });
});

describe('Lists under names of their own', function () {
  this.timeout(30_000);
  let stage: Stage;

  before(async () => {
    stage = await startStage({
      backends: {
        first: { tools: tools('shared', 'mine') },
        second: { tools: tools('shared', 'yours') },
      },
      naming: { mode: 'none', order: ['first', 'second'] },
      replicas: 2,
    });
  });
  after(() => stage[Symbol.asyncDispose]());

  it(verifies('AGG-4', 'B14')('each name once, the first in order has it'), async () => {
    const client = await stage.open();
    expect(namesOf(await client.request('tools/list'))).to.deep.equal(['shared', 'mine', 'yours']);
    await client.call('shared', { to: 'first' });
    expect(stage.backend('first').view.executionsOf('shared')).to.equal(1);
    expect(stage.backend('second').view.executionsOf('shared')).to.equal(0);
  });

  it(verifies('M1', 'AGG-6')('a name whose owner is gone is nobody else to answer'), async () => {
    const warm = await stage.open();
    await warm.request('tools/list');
    await stage.backend('first').stop();
    const cold = await stage.open();
    for (const client of [warm, cold]) {
      const reply = await client.call('shared', { secret: 'of the first' });
      expect(reply.status).to.equal(200);
      expect(reasonOf(reply)).to.equal('backend_unavailable');
    }
    // What certainly is the second one's, or may be, as long as the first is silent.
    expect(reasonOf(await cold.call('yours'))).to.equal('backend_unavailable');
    expect(textOf(await warm.call('yours', { n: 1 }))).to.equal('{"n":1}');
    expect(stage.backend('second').view.executionsOf('shared')).to.equal(0);
    // Restored, with its owner still gone, the name is the owner's all the same.
    const sessions = await Promise.all(stage.mesh.replicas.map((each) => metric(each, 'outrigger_sessions')));
    await stage.mesh.replicas.find((_, at) => (sessions[at] ?? 0) > 0)?.kill('SIGKILL');
    expect(reasonOf(await warm.call('shared', { secret: 'of the first' }))).to.equal('backend_unavailable');
    expect(textOf(await warm.call('yours', { n: 2 }))).to.equal('{"n":2}');
    const bodies = stage
      .backend('second')
      .view.requests()
      .map(({ body }) => body);
    expect(bodies.filter((body) => body.includes('of the first'))).to.have.lengthOf(0);
    await stage.backend('first').restart();
    expect(textOf(await warm.call('shared', { back: 1 }))).to.equal('{"back":1}');
  });
});

describe('Lists of one session for many authorizations', function () {
  this.timeout(30_000);
  let stage: Stage;
  let issuer: TestIssuer;

  before(async () => {
    issuer = await startIssuer();
    const { url, jwksUri, audience } = issuer;
    stage = await startStage({
      backends: { alpha: {} },
      identity: { issuers: [{ issuer: url, jwksUri, audiences: [audience] }] },
    });
  });
  after(async () => {
    await stage[Symbol.asyncDispose]();
    await issuer.stop();
  });

  it(verifies('RST-10', 'AGG-7')('are read for each of them, and kept for the latest few'), async () => {
    const client = await stage.open({ token: issuer.token({ scope: 's0' }) });
    const asked = () => stage.backend('alpha').view.requests({ rpc: 'tools/list' }).length;
    const listAs = async (scope: string) => {
      const before = asked();
      const reply = await client.alias({ token: issuer.token({ scope }) }).request('tools/list');
      expect(namesOf(reply)).to.include('echo');
      return asked() - before;
    };
    const scopes = Array.from({ length: 9 }, (_, n) => `s${n}`);
    for (const scope of scopes) expect(await listAs(scope)).to.equal(1);
    // Another token with the same rights sees the same; the first was dropped for the ninth.
    expect(await listAs('s8')).to.equal(0);
    expect(await listAs('s0')).to.equal(1);
  });
});
