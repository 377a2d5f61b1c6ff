import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import type { RecordedRequest } from '../support/recording-backend/record.ts';
import { type Stage, startStage } from '../support/stage.ts';
import {
  answered,
  type Incoming,
  McpClient,
  type Reply,
  type Setting,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';

type Params = Readonly<Record<string, unknown>>;

/** Everybody may read, whom `ops` has among its groups may do all, and nobody may touch /etc. */
const POLICIES = `
  permit(principal, action, resource) when { resource.annotations has readOnlyHint && resource.annotations.readOnlyHint };
  permit(principal in Outrigger::Group::"ops", action, resource);
  @id("not-etc") forbid(principal, action == Outrigger::Action::"call", resource)
    when { resource.name == "echo" && context.arguments has path && context.arguments.path like "/etc*" };
  permit(principal, action, resource is Outrigger::Resource) when { resource.name == "memo://one" };
`;

describe('What policies permit', function () {
  this.timeout(60_000);
  let folder: string;
  let file: string;
  let setting: Setting;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-policies-'));
    file = join(folder, 'mesh.cedar');
    await writeFile(file, POLICIES);
    setting = await startSetting({
      sidecars: 2,
      script: {
        tools: [
          { name: 'echo', behaviour: 'echo' },
          { name: 'count', behaviour: 'count' },
          { name: 'whoami', behaviour: 'whoami', definition: { annotations: { readOnlyHint: true } } },
        ],
      },
      config: { admission: { policies: [{ file }] } },
    });
    await setting.whole();
  });
  after(async () => {
    await setting[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function client(sub: string, groups: readonly string[] = []): Promise<McpClient> {
    return McpClient.open({ url: setting.mesh.url, token: setting.token({ sub, claims: { groups } }) });
  }

  it(
    verifies('AGG-7')('a list holds what its caller may use, and nothing else, whoever asks first'),
    async () => {
      const [ada, bob] = await Promise.all([client('ada', ['ops']), client('bob')]);
      expect(await toolsOf(ada)).to.deep.equal(['echo', 'count', 'whoami']);
      expect(await toolsOf(bob)).to.deep.equal(['whoami']);
      expect(await urisOf(bob)).to.deep.equal(['memo://one']);
      // Again, answered by the sidecar by itself, each from its own grant.
      expect([await toolsOf(ada), await toolsOf(bob)]).to.deep.equal([
        ['echo', 'count', 'whoami'],
        ['whoami'],
      ]);
    },
  );

  const REFUSED: readonly [what: string, method: string, denied: Params, unknown: Params][] = [
    ['a tool', 'tools/call', { name: 'count' }, { name: 'nothing' }],
    ['a prompt', 'prompts/get', { name: 'greet' }, { name: 'nothing' }],
    [
      'a resource that only a hidden template has',
      'resources/read',
      { uri: 'memo://two' },
      { uri: 'nothing://two' },
    ],
    ['a resource in disguise', 'resources/read', { uri: 'memo://x/../two' }, { uri: 'nothing://x/../two' }],
    ['a subscription', 'resources/subscribe', { uri: 'memo://two' }, { uri: 'nothing://two' }],
    ['a completion', 'completion/complete', completion('greet'), completion('nothing')],
    ['a method that no policy has a word for', 'vendor/method', {}, {}],
  ];
  for (const [what, method, denied, unknown] of REFUSED) {
    it(
      verifies('AGG-7')(`${what} that is denied is like one that does not exist, and no backend hears of it`),
      async () => {
        const bob = await client('bob');
        await toolsOf(bob);
        const before = heard(method);
        const [refused, nothing] = [await bob.request(method, denied), await bob.request(method, unknown)];
        expect(refused.status).to.equal(nothing.status);
        expect(refused.answer?.error).to.deep.equal(nothing.answer?.error);
        expect(refused.answer?.error).not.to.equal(undefined);
        expect(heard(method)).to.equal(before);
      },
    );
  }

  it(
    verifies('AGG-7')(
      'arguments are looked at where a policy does, and the call is answered as if there were no tool',
    ),
    async () => {
      const ada = await client('ada', ['ops']);
      expect((await ada.call('echo', { path: '/home' })).status).to.equal(200);
      const before = heard('tools/call');
      const refused = await ada.call('echo', { path: '/etc/passwd' });
      expect(refused.answer?.error).to.deep.equal((await ada.call('nothing')).answer?.error);
      expect(heard('tools/call')).to.equal(before);
    },
  );

  it(
    verifies(
      'RST-10',
      'AGG-7',
    )('a session whose next token brings other groups hears that its lists are others'),
    async () => {
      const bob = await client('bob');
      expect(await toolsOf(bob)).to.deep.equal(['whoami']);
      const stream = await bob.listen();
      const promoted = bob.alias({ token: setting.token({ sub: 'bob', claims: { groups: ['ops'] } }) });
      expect((await promoted.call('count')).status).to.equal(200);
      await until('it is told', () => told(stream) > 0);
      expect(await toolsOf(promoted)).to.deep.equal(['echo', 'count', 'whoami']);
      expect(await toolsOf(bob)).to.deep.equal(['whoami']);
    },
  );

  it(verifies('AGG-7', 'RST-10')('the replica that takes over decides alike'), async () => {
    const [ada, bob] = await Promise.all([client('ada', ['ops']), client('bob')]);
    await Promise.all([toolsOf(ada), toolsOf(bob)]);
    const { owner } = await setting.open();
    await setting.lose(owner);
    const refused = await answered(() => bob.call('count'));
    expect(refused.answer?.error).to.deep.equal((await bob.call('nothing')).answer?.error);
    expect(textOf(await answered(() => ada.call('count')))).to.match(/^\d+$/);
    expect(await toolsOf(bob)).to.deep.equal(['whoami']);
    await setting.whole();
  });

  it(
    verifies(
      'AGG-7',
      'AGG-10',
    )('other policies count from the next call on, and only those hear of it whose lists they change'),
    async () => {
      const [ada, bob] = await Promise.all([client('ada', ['ops']), client('bob')]);
      await Promise.all([toolsOf(ada), toolsOf(bob)]);
      const streams = { ada: await ada.listen(), bob: await bob.listen() };
      await settled(streams.ada, streams.bob);
      await writeFile(
        file,
        `${POLICIES}\n permit(principal, action, resource) when { resource.name == "count" };`,
      );
      await until('bob is told', () => told(streams.bob) === 1);
      expect(await toolsOf(bob)).to.deep.equal(['count', 'whoami']);
      expect((await bob.call('count')).status).to.equal(200);
      expect(told(streams.ada)).to.equal(0);

      await writeFile(file, 'permit(principal, action');
      await until(
        'it is refused',
        () => setting.mesh.log().filter((line) => line.includes('config_rejected')).length >= 2,
      );
      expect(await toolsOf(bob)).to.deep.equal(['count', 'whoami']);
      await writeFile(file, POLICIES);
      await until('bob is told again', () => told(streams.bob) === 2);
      expect(await toolsOf(bob)).to.deep.equal(['whoami']);
      expect((await bob.call('count')).answer?.error).to.deep.equal(
        (await bob.call('nothing')).answer?.error,
      );
    },
  );

  function heard(method: string): number {
    return setting.backend.view.record.requests.filter(({ rpc }: RecordedRequest) => rpc === method).length;
  }
});

function completion(name: string): Params {
  return { ref: { type: 'ref/prompt', name }, argument: { name: 'a', value: '' } };
}

function told(stream: Incoming): number {
  return stream.events.filter(({ message }) => message?.method === 'notifications/tools/list_changed').length;
}

/** What follows from listening anew is over: nobody is told anything any more. */
async function settled(...streams: readonly Incoming[]): Promise<void> {
  for (const stream of streams) await until('it listens', () => stream.status === 200);
  await new Promise((resolve) => setTimeout(resolve, 500));
  for (const stream of streams) expect(told(stream)).to.equal(0);
}

async function toolsOf(client: McpClient): Promise<string[]> {
  return namesOf(await answered(() => client.request('tools/list')), 'tools', 'name');
}

async function urisOf(client: McpClient): Promise<string[]> {
  return namesOf(await answered(() => client.request('resources/list')), 'resources', 'uri');
}

function namesOf(reply: Reply, list: string, key: string): string[] {
  const items = Reflect.get(Object(reply.answer?.result), list) as readonly Readonly<
    Record<string, string>
  >[];
  return items.map((item) => item[key] ?? '');
}

describe('A prefixed name that is denied', function () {
  this.timeout(30_000);

  it(verifies('AGG-7')('is as unknown as any other before anything has been listed'), async () => {
    await using stage = await startStage({
      backends: { first: { tools: [{ name: 'echo' }, { name: 'own' }] }, second: {} },
      config: {
        admission: {
          policies: [{ text: 'permit(principal, action, resource) unless { resource.name == "echo" };' }],
        },
      },
    });
    const client = await stage.open();
    const [refused, nothing] = [await client.call('first__echo'), await client.call('first__nothing')];
    expect(refused.answer?.error).to.deep.equal(nothing.answer?.error);
    expect(stage.backend('first').view.requests({ rpc: 'tools/call' })).to.deep.equal([]);
    expect((await client.call('first__own')).answer?.error).to.equal(undefined);
  });
});

describe('A name that is denied', function () {
  this.timeout(30_000);
  let stage: Stage;
  let client: McpClient;

  before(async () => {
    stage = await startStage({
      backends: {
        first: { tools: [{ name: 'echo' }, { name: 'own' }] },
        second: { tools: [{ name: 'echo' }] },
      },
      naming: { mode: 'priority' },
      config: {
        admission: {
          policies: [
            {
              text: 'permit(principal, action, resource) unless { resource.backend == "first" && resource.name == "echo" };',
            },
          ],
        },
      },
    });
    client = await stage.open();
  });
  after(() => stage[Symbol.asyncDispose]());

  it(
    verifies('AGG-7', 'M1')('stays with its backend: no other takes it over, in a list or for a call'),
    async () => {
      expect(await toolsOf(client)).to.deep.equal(['own']);
      const refused = await client.call('echo', { secret: 1 });
      expect(refused.answer?.error).to.deep.equal((await client.call('nothing')).answer?.error);
      for (const name of ['first', 'second'])
        expect(stage.backend(name).view.requests({ rpc: 'tools/call' })).to.deep.equal([]);
    },
  );

  it(verifies('AGG-7')('is as unknown as any other while a backend is silent'), async () => {
    const fresh = await stage.open();
    stage.backend('second').next('tools/list', { status: 500 });
    const [refused, nothing] = [await fresh.call('echo'), await fresh.call('nothing')];
    expect(refused.answer?.error).to.deep.equal(nothing.answer?.error);
  });
});
