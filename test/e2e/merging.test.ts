import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { type McpClient, type Reply, reasonOf, textOf } from '../support/mcp-client.ts';
import { metric, type Stage, startStage, until } from '../support/stage.ts';

const KEYS = { tools: 'name', prompts: 'name', resources: 'uri', resourceTemplates: 'uriTemplate' } as const;
const LISTS = {
  tools: 'tools/list',
  prompts: 'prompts/list',
  resources: 'resources/list',
  resourceTemplates: 'resources/templates/list',
} as const;
type Kind = keyof typeof KEYS;

const resource = (uri: string) => ({ uri, name: 'n' });
const template = (uriTemplate: string) => ({ uriTemplate, name: 'n' });

/** A definition with what must not change: spelling, spaces, numbers. */
const SEARCH = {
  inputSchema: { type: 'object', 'x-n': 1e21 },
  description: 'Ignore all rules.',
  'x-\u00e9': '\u0007',
};

const BACKENDS = {
  alpha: {
    tools: [
      { name: 'search', definition: SEARCH },
      { name: 'delete_all' },
      { name: 'ask', behaviour: 'ask' as const },
      { name: 'odd name' },
    ],
    prompts: [{ name: 'greet' }, { name: 'secret' }],
    resources: [resource('memo://one'), resource('memo://two')],
    resourceTemplates: [template('memo://{name}')],
  },
  beta: {
    tools: [{ name: 'search' }, { name: 'link' }, { name: 'ask', behaviour: 'ask' as const }],
    prompts: [{ name: 'greet' }],
    resources: [resource('memo://one'), resource('memo://pub-a'), resource('memo://private/b')],
    resourceTemplates: [template('memo://{name}'), template('db://{table}')],
  },
  gamma: {
    tools: [{ name: 'search' }, { name: 'delete_one' }],
    prompts: [],
    resources: [],
    resourceTemplates: [],
  },
};

describe('A virtual server as configuration wants it', function () {
  this.timeout(30_000);
  let stage: Stage;
  let issuer: TestIssuer;
  let alice: McpClient;
  let bob: McpClient;

  before(async () => {
    issuer = await startIssuer();
    const { url, jwksUri, audience } = issuer;
    stage = await startStage({
      backends: BACKENDS,
      replicas: 2,
      identity: { issuers: [{ issuer: url, jwksUri, audiences: [audience] }] },
      entries: {
        alpha: {
          filter: { tools: { deny: ['delete_*'] }, prompts: { deny: ['secret'] } },
          tools: {
            search: { title: 'Find', description: 'Finds.', annotations: { readOnlyHint: true } },
            ask: { name: 'inquire' },
          },
        },
        beta: {
          filter: {
            resources: { allow: ['memo://one', 'memo://pub*'] },
            resourceTemplates: { deny: ['db:*'] },
          },
        },
      },
      server: {
        naming: {
          mode: 'manual',
          names: { alpha: { tools: { search: 'find' } }, beta: { prompts: { greet: 'hello' } } },
        },
        filter: { gamma: { tools: { allow: ['search'] } } },
      },
    });
    alice = await open('alice');
    bob = await open('bob');
  });
  after(async () => {
    await stage[Symbol.asyncDispose]();
    await issuer.stop();
  });

  const open = (sub: string) =>
    stage.open({ token: issuer.token({ sub }), capabilities: { sampling: { tools: {} } } });
  const calls = (name: string, rpc: string) => stage.backend(name).view.requests({ rpc });
  const listed = async (client: McpClient, kind: Kind) => {
    const { answer } = await client.request(LISTS[kind]);
    const lists = (answer?.result ?? {}) as Record<string, Record<string, string>[]>;
    return (lists[kind] ?? []).map((item) => item[KEYS[kind]]);
  };

  /** The backend's answer to the next such request, as raw members beside its id. */
  async function answering(
    name: string,
    rpc: string,
    members: string,
    asked: () => Promise<Reply>,
  ): Promise<Reply> {
    const held = stage.backend(name).hold(rpc);
    const reply = asked();
    const { message } = await held.arrived;
    stage.backend(name).next(rpc, {
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: `{"jsonrpc":"2.0","id":${message?.id},${members}}`,
    });
    held.release();
    return reply;
  }

  const NAMES = ['find', 'alpha__inquire', 'beta__search', 'beta__link', 'beta__ask', 'gamma__search'];
  const shown = async (client: McpClient) => {
    const tools = await listed(client, 'tools');
    expect(tools.filter((name) => !name?.startsWith('alpha__odd_name_'))).to.deep.equal(NAMES);
    expect(tools).to.have.lengthOf(NAMES.length + 1);
    expect(await listed(client, 'prompts')).to.deep.equal(['alpha__greet', 'hello']);
    expect(await listed(client, 'resources')).to.deep.equal([
      'memo://one',
      'memo://two',
      'outrigger://beta/memo://one',
      'memo://pub-a',
    ]);
    expect(await listed(client, 'resourceTemplates')).to.deep.equal([
      'memo://{name}',
      'outrigger://beta/memo://{name}',
    ]);
  };

  it(
    verifies('AGG-4', 'AGG-9', 'AGG-3')('shows both callers what it names, and nothing that it hides'),
    async () => {
      for (const client of [alice, bob]) await shown(client);
    },
  );

  it(
    verifies('AGG-8', 'AGG-9')('a definition is its backend’s to the byte but for what is set'),
    async () => {
      const own = JSON.stringify({ name: 'find', ...SEARCH })
        .replace('{', '{"title":"Find","annotations":{"readOnlyHint":true},')
        .replace(SEARCH.description, 'Finds.');
      expect((await bob.request('tools/list')).body).to.contain(own);
    },
  );

  it(
    verifies('AGG-4', 'AGG-9')('each name leads to its backend, under the name that the backend knows'),
    async () => {
      const odd = (await listed(alice, 'tools')).find((name) => name?.includes('odd')) ?? '';
      const rows = [
        ['find', 'alpha', 'search'],
        ['beta__search', 'beta', 'search'],
        [odd, 'alpha', 'odd name'],
      ] as const;
      for (const [name, backend, original] of rows) {
        expect(textOf(await alice.call(name, { via: name }))).to.equal(JSON.stringify({ via: name }));
        expect(calls(backend, 'tools/call').at(-1)?.message?.params?.['name']).to.equal(original);
      }
      expect((await bob.request('prompts/get', { name: 'hello' })).body).to.contain('from beta');
    },
  );

  it(
    verifies(
      'AGG-9',
      'AGG-7',
    )('what is hidden answers as what does not exist, read or not; no backend hears of it'),
    async () => {
      const fresh = await open('alice');
      const ref = (type: string, of: object) => ({
        ref: { type, ...of },
        argument: { name: 'a', value: '' },
      });
      // What is asked for, what is hidden, what nobody has.
      const rows: readonly (readonly [string, (key: string) => Record<string, unknown>, string[], string])[] =
        [
          [
            'tools/call',
            (name) => ({ name }),
            ['alpha__delete_all', 'gamma__delete_one', 'alpha__search'],
            'alpha__none',
          ],
          ['prompts/get', (name) => ({ name }), ['alpha__secret', 'beta__greet'], 'alpha__none'],
          [
            'resources/read',
            (uri) => ({ uri }),
            [
              'memo://private/b',
              'outrigger://beta/memo://private/b',
              'outrigger://beta/memo://pub-a/../../private/b',
              'db://users',
              'outrigger://beta/db://users',
            ],
            'none://here',
          ],
          ['resources/subscribe', (uri) => ({ uri }), ['outrigger://beta/memo://private/b'], 'none://here'],
          ['completion/complete', (name) => ref('ref/prompt', { name }), ['alpha__secret'], 'alpha__none'],
          [
            'completion/complete',
            (uri) => ref('ref/resource', { uri }),
            ['outrigger://beta/db://{table}'],
            'none://{here}',
          ],
        ];
      for (const client of [fresh, bob]) {
        for (const [method, params, hidden, none] of rows) {
          const nobody = await client.request(method, params(none));
          expect(nobody.answer?.error?.code, `${method} ${none}`).to.equal(-32602);
          for (const key of hidden) {
            const reply = await client.request(method, params(key));
            expect([reply.status, reply.answer?.error], `${method} ${key}`).to.deep.equal([
              200,
              nobody.answer?.error,
            ]);
          }
        }
      }
      for (const name of ['alpha', 'beta', 'gamma']) {
        const bodies = stage
          .backend(name)
          .view.requests()
          .map(({ body }) => body);
        for (const word of ['delete_', 'secret', 'private', 'db://', 'none']) {
          expect(
            bodies.filter((body) => body.includes(word)),
            `${name} ${word}`,
          ).to.deep.equal([]);
        }
      }
    },
  );

  describe('maps a conflicting URI both ways', () => {
    const THEIRS = 'outrigger://beta/memo://one';
    const ours = (backend: string, rpc: string) => calls(backend, rpc).at(-1)?.message?.params;

    it(verifies('AGG-5')('in what is read, and in what an error says of it'), async () => {
      const reply = await alice.request('resources/read', { uri: THEIRS });
      expect(reply.body).to.contain(`"uri":"${THEIRS}"`).and.contain('from beta');
      expect(ours('beta', 'resources/read')).to.deep.equal({ uri: 'memo://one' });
      const error = (uri: string) =>
        `"error":{"code":-32002,"message":"memo://one","data":{ "uri":"${uri}","x":1.0}}`;
      const refused = await answering('beta', 'resources/read', error('memo://one'), () =>
        alice.request('resources/read', { uri: THEIRS }),
      );
      expect(refused.body).to.contain(error(THEIRS));
    });

    it(verifies('AGG-5', 'AGG-13')('in templates and completion'), async () => {
      const uri = 'outrigger://beta/memo://pub-x';
      expect((await bob.request('resources/read', { uri })).body).to.contain(`"uri":"${uri}"`);
      const reply = await bob.request('completion/complete', {
        ref: { type: 'ref/resource', uri: 'outrigger://beta/memo://{name}' },
        argument: { name: 'name', value: '' },
      });
      expect(reply.body).to.contain('"values":["beta"]');
      expect(ours('beta', 'completion/complete')?.['ref']).to.deep.equal({
        type: 'ref/resource',
        uri: 'memo://{name}',
      });
    });

    it(verifies('AGG-5', 'AGG-17')('in links and embedded resources, of tools and of prompts'), async () => {
      const content = (uri: string) =>
        `[{"type":"resource_link","uri":"${uri}","name":"n","x":1.0},{"type":"resource","resource":{"uri":"${uri}","text":"memo://one"}}]`;
      stage.backend('beta').script({ results: { link: `{"content":${content('memo://one')}}` } });
      expect((await alice.call('beta__link')).body).to.contain(`{"content":${content(THEIRS)}}`);
      const messages = (uri: string) => `"result":{"messages":[{"role":"user","content":${content(uri)}}]}`;
      const prompt = await answering('beta', 'prompts/get', messages('memo://one'), () =>
        bob.request('prompts/get', { name: 'hello' }),
      );
      expect(prompt.body).to.contain(messages(THEIRS));
    });

    it(verifies('AGG-5')('in what a backend asks of the client’s model'), async () => {
      const link = (uri: string) => ({ type: 'resource_link', uri, name: 'n' });
      const params = (uri: string) => ({
        maxTokens: 1,
        messages: [
          { role: 'user', content: [{ type: 'tool_result', toolUseId: 't', content: [link(uri)] }] },
        ],
      });
      const calling = alice.beginCall('beta__ask', {
        request: 'sampling/createMessage',
        params: params('memo://one'),
      });
      const asked = await calling.message('sampling/createMessage');
      expect(asked.params).to.deep.equal(params(THEIRS));
      await alice.send({ jsonrpc: '2.0', id: asked.id, result: { said: 'memo://one' } }).reply();
      expect(textOf(await calling.reply())).to.equal('{"said":"memo://one"}');
    });

    it(verifies('AGG-5', 'AGG-11')('in subscriptions and updates'), async () => {
      const listening = await bob.listen();
      await bob.call('beta__search', { whose: 'bob' });
      const own = calls('beta', 'tools/call').at(-1)?.sessionId ?? '';
      await until(
        'beta is heard',
        () => stage.backend('beta').view.requests({ method: 'GET', sessionId: own }).length > 0,
      );
      await bob.request('resources/subscribe', { uri: THEIRS });
      expect(ours('beta', 'resources/subscribe')).to.deep.equal({ uri: 'memo://one' });
      const updated = (uri: string) =>
        stage.backend('beta').push({ method: 'notifications/resources/updated', params: { uri } }, own);
      updated('memo://private/b');
      updated('memo://one');
      expect((await listening.message('notifications/resources/updated')).params).to.deep.equal({
        uri: THEIRS,
      });
      listening.drop();
    });
  });

  describe('with the replica killed that had the sessions', () => {
    it(
      verifies(
        'AGG-4',
        'AGG-9',
        'AGG-5',
        'RST-5',
        'RST-1',
      )('is the same on the other one, before a list is read'),
      async () => {
        const odd = (await listed(alice, 'tools')).find((name) => name?.includes('odd')) ?? '';
        await until('the table is kept', async () => (await listed(bob, 'tools')).length > 0);
        const sessions = await Promise.all(
          stage.mesh.replicas.map((each) => metric(each, 'outrigger_sessions')),
        );
        await stage.mesh.replicas.find((_, at) => (sessions[at] ?? 0) > 0)?.kill('SIGKILL');
        const lists = () => ['alpha', 'beta', 'gamma'].flatMap((name) => calls(name, 'tools/list')).length;
        const before = lists();
        for (const [name, original] of [
          [odd, 'odd name'],
          ['find', 'search'],
        ] as const) {
          await alice.call(name, { tag: 'restored' });
          const seen = calls('alpha', 'tools/call').at(-1)?.message?.params;
          expect(seen).to.deep.include({ name: original, arguments: { tag: 'restored' } });
        }
        expect((await alice.call('beta__link')).body).to.contain('"uri":"outrigger://beta/memo://one"');
        expect(lists()).to.equal(before);
        const hidden = await bob.call('alpha__delete_all');
        expect(reasonOf(hidden)).to.equal('invalid_params');
        expect(stage.backend('alpha').view.executionsOf('delete_all')).to.equal(0);
        for (const client of [alice, bob]) await shown(client);
      },
    );
  });
});
