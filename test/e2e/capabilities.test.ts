import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { granted, LISTS, listsAdded, namesIn } from '../support/lists.ts';
import type { McpClient } from '../support/mcp-client.ts';
import { answered, type Setting, startSetting, until } from '../support/story.ts';

const METHOD = 'notifications/tools/list_changed';

describe('lists that the sidecar answers by itself', () => {
  let setting: Setting;

  beforeEach(async () => {
    setting = await startSetting({ store: 'embedded', sidecars: 2 });
  });
  afterEach(() => setting[Symbol.asyncDispose]());

  it(verifies('CAP-1')('are the ones that the replica answers, to the byte, and cross nothing'), async () => {
    const { client } = await setting.open();
    const { sidecar } = setting.mesh;
    for (const method of LISTS) {
      const first = await client.send({ jsonrpc: '2.0', id: 'same', method }).reply();
      await granted(client, sidecar, method);
      const seen = setting.backend.view.requests({ rpc: method }).length;
      let own = '';
      const added_ = await listsAdded(sidecar, async () => {
        own = (await client.send({ jsonrpc: '2.0', id: 'same', method }).reply()).body;
      });
      expect(added_).to.deep.equal({ local: 1, crossed: 0 });
      expect(own).to.equal(first.body);
      expect(setting.backend.view.requests({ rpc: method }).length).to.equal(seen);
    }
    const cursor = await listsAdded(sidecar, () => client.request('tools/list', { cursor: '' }));
    expect(cursor).to.deep.equal({ local: 0, crossed: 1 });
  });

  it('are events for whoever names event streams first', async () => {
    const { client } = await setting.open();
    await granted(client, setting.mesh.sidecar);
    const message = { jsonrpc: '2.0', id: 5, method: 'tools/list' };
    const accept = { accept: 'text/event-stream, application/json' };
    const reply = await client.send(message, accept).reply();
    expect(reply.headers['content-type']).to.match(/^text\/event-stream/);
    expect(reply.answer?.id).to.equal(5);
  });

  it(
    verifies('CAP-2', 'X9b', 'HTTP-10')('belong to one session and one credential, to the byte'),
    async () => {
      const { sidecar } = setting.mesh;
      const alice = (await setting.open()).client;
      const other = (await setting.open()).client;
      await granted(alice, sidecar);
      const stranger = alice.alias({ token: setting.token({ sub: 'bob' }) });
      const refreshed = alice.alias({ token: setting.token({ claims: { jti: 'refreshed' } }) });
      const statuses = async (client: McpClient) => (await client.request('tools/list')).status;
      const without = new Map([
        ['another principal', [stranger, 404]],
        ['no token', [alice.alias({ token: undefined }), 401]],
        ['another session id', [alice.alias({ sessionId: otherId(alice.sessionId ?? '') }), 404]],
        ['a refreshed token', [refreshed, 200]],
        ['another session of the same token', [other, 200]],
      ] as const);
      for (const [who, [client, status]] of without) {
        const sum = await listsAdded(sidecar, async () =>
          expect(await statuses(client), who).to.equal(status),
        );
        expect(sum, who).to.deep.equal({ local: 0, crossed: status === 401 ? 0 : 1 });
      }
      expect(await listsAdded(sidecar, () => alice.request('tools/list'))).to.deep.equal({
        local: 1,
        crossed: 0,
      });
    },
  );

  it(verifies('X9b', 'HTTP-11')('end with the session, whoever ended it and wherever'), async () => {
    const [first, second] = setting.mesh.sidecars;
    if (first === undefined || second === undefined) throw new Error('two sidecars are needed');
    const here = (await setting.open()).client;
    await granted(here, first);
    expect((await here.end()).status).to.equal(200);
    expect((await here.request('tools/list')).status).to.equal(404);

    const there = (await setting.open()).client;
    await granted(there, first);
    const elsewhere = await there.alias({ url: second.url }).end();
    expect(elsewhere.status).to.equal(200);
    await until(
      'the session is gone here too',
      async () => (await there.request('tools/list')).status === 404,
      1_000,
    );
  });

  it(verifies('X9b', 'CAP-2')('end with the token'), async () => {
    const { sidecar } = setting.mesh;
    const token = setting.token({ exp: Math.floor(Date.now() / 1_000) + 4 });
    const { client } = await setting.open({ token });
    await granted(client, sidecar);
    await sleep(4_000);
    const late = await listsAdded(sidecar, () => client.request('tools/list'));
    expect(late).to.deep.equal({ local: 0, crossed: 1 });
  });

  it(
    verifies('CAP-2')('go on without a control plane, calls fail at once, all is well again soon'),
    async () => {
      const { sidecar, replicas } = setting.mesh;
      const { client } = await setting.open();
      await granted(client, sidecar);
      const before = await client.send({ jsonrpc: '2.0', id: 1, method: 'tools/list' }).reply();
      await Promise.all(replicas.map((replica) => replica.kill('SIGKILL')));
      await until('calls fail', async () => (await client.call('echo')).status === 503);
      const started = performance.now();
      expect((await client.call('echo')).status).to.equal(503);
      expect(performance.now() - started).to.be.lessThan(1_500);
      const away = await client.send({ jsonrpc: '2.0', id: 1, method: 'tools/list' }).reply();
      expect(away.body).to.equal(before.body);
      const stranger = client.alias({ token: setting.token({ sub: 'bob' }) });
      expect((await stranger.request('tools/list')).status).to.equal(503);
      expect((await client.alias({ sessionId: 'another' }).request('tools/list')).status).to.equal(503);

      await Promise.all(replicas.map((replica) => replica.start()));
      expect((await answered(() => client.call('echo', { n: 1 }))).status).to.equal(200);
      await granted(client, sidecar);
    },
  );

  it(
    verifies('AGG-10', 'CAP-1', 'S12')('are new when their change is announced, to that session alone, once'),
    async () => {
      const { backend } = setting;
      const { sidecar } = setting.mesh;
      const alice = await setting.open();
      const bob = await setting.open({ token: setting.token({ sub: 'bob' }) });
      const [hears, other] = [await alice.client.listen(), await bob.client.listen()];
      await backend.listeners(2);
      await Promise.all([granted(alice.client, sidecar), granted(bob.client, sidecar)]);

      for (const tools of [[{ name: 'fresh' }], [], [{ name: 'fresh' }, { name: 'more' }]]) {
        const heard = hears.messages.length;
        backend.script({ tools });
        for (let burst = 0; burst < 5; burst += 1) backend.push({ method: METHOD }, alice.backendSession);
        await until('the change is announced', () => hears.messages.length > heard);
        expect(await namesIn(alice.client)).to.deep.equal(tools.map(({ name }) => name));
        await sleep(300);
        expect(hears.messages.length).to.equal(heard + 1);
        await granted(alice.client, sidecar);
        expect(await namesIn(alice.client)).to.deep.equal(tools.map(({ name }) => name));
      }
      // Nothing was said to bob's session, and what is said to both without a change is said to nobody.
      expect(other.messages).to.deep.equal([]);
      backend.push({ method: METHOD }, alice.backendSession);
      await sleep(400);
      expect(hears.messages.length).to.equal(3);
    },
  );

  it(
    verifies('AGG-10')('follow prompts, resources and templates, and a session that was restored'),
    async () => {
      const { backend } = setting;
      const { sidecar } = setting.mesh;
      const story = await setting.open();
      await story.owner.kill('SIGKILL');
      const { client } = story;
      expect((await answered(() => client.request('prompts/list'))).status).to.equal(200);
      let stream = await client.listen();
      await until('it listens', async () => {
        if (stream.status !== 200) stream = await client.listen();
        return stream.status === 200;
      });
      await backend.listeners(1);
      await Promise.all(LISTS.map((method) => granted(client, sidecar, method)));
      backend.script({
        prompts: [],
        resources: [{ uri: 'memo://two', name: 'two' }],
        resourceTemplates: [{ uriTemplate: 'note://{name}', name: 'note' }],
      });
      backend.push({ method: 'notifications/prompts/list_changed' });
      backend.push({ method: 'notifications/resources/list_changed' });
      await stream.message('notifications/prompts/list_changed');
      await stream.message('notifications/resources/list_changed');
      const bodies = await Promise.all(
        LISTS.slice(1).map(async (method) => (await client.request(method)).body),
      );
      expect(bodies[0]).to.include('"prompts":[]');
      expect(bodies[1]).to.include('memo://two');
      expect(bodies[2]).to.include('note://{name}');
      expect(new Set(stream.messages.map(({ method }) => method)).size).to.equal(stream.messages.length);
    },
  );
});

/** The same but for its last character. */
function otherId(id: string): string {
  return `${id.slice(0, -1)}${id.endsWith('x') ? 'y' : 'x'}`;
}
