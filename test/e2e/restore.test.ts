import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import type { JsonRpc } from '../support/recording-backend.ts';
import {
  BACKEND_CREDENTIAL,
  McpClient,
  type Reply,
  reasonOf,
  type Setting,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';

const LISTS = ['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list'];
const RESTARTED = 'dev.outrigger/backendRestarted';

describe('A session is restored', function () {
  this.timeout(30_000);

  describe('by a lone replica that was killed, from its embedded store', () => {
    let setting: Setting;
    before(async () => {
      setting = await startSetting({ replicas: 1, store: 'embedded', stdio: true });
    });
    after(() => setting[Symbol.asyncDispose]());

    it(
      verifies(
        'RST-1',
        'RST-5',
        'BACK-9',
      )('the same id works, one backend is resumed, the other says that it began anew'),
      async () => {
        const { backend } = setting;
        const { client, owner, backendSession } = await setting.open();
        await client.call('count');
        const child = Number(textOf(await client.call('pid')));
        const lists = await listsOf(client);

        await owner.restart();
        await setting.whole();
        const count = await client.call('count');
        expect(textOf(count)).to.equal('2');
        expect(metaOf(count)).to.deep.equal({});
        const pid = await client.call('pid');
        expect(Number(textOf(pid))).not.to.equal(child);
        expect(metaOf(pid)).to.deep.equal({ [RESTARTED]: true });
        expect(metaOf(await client.call('pid'))).to.deep.equal({});
        await until('the old child is gone', () => !isAlive(child));

        expect(await listsOf(client)).to.deep.equal(lists);
        expect(backend.view.initialises).to.equal(1);
        expect(backend.view.sessions).to.deep.equal([
          { id: backendSession, initializedBy: BACKEND_CREDENTIAL, usedBy: [BACKEND_CREDENTIAL] },
        ]);
        expect(backend.view.deletes).to.have.length(0);
      },
    );
  });

  describe('after a kill, from Redis', () => {
    let setting: Setting;
    before(async () => {
      setting = await startSetting();
    });
    beforeEach(() => setting.whole());
    after(() => setting[Symbol.asyncDispose]());

    const capabilities = { elicitation: {}, experimental: { strange: {} } };

    it(
      verifies(
        'RST-5',
        'RST-2',
      )('as it was: version, capabilities, names and their order, requests of the server'),
      async () => {
        const { backend } = setting;
        const story = await setting.open({ protocolVersion: '2025-06-18', capabilities });
        const { client, backendSession } = story;
        const lists = await listsOf(client);
        await client.request('resources/subscribe', { uri: 'memo://one' });
        const { initialises } = backend.view;

        await setting.lose(story.owner);
        expect(await listsOf(client)).to.deep.equal(lists);
        expect(await elicited(client)).to.deep.equal({ action: 'accept', content: { name: 'Ada' } });
        const stream = await client.listen();
        await until(
          'the backend is listened to',
          () => backend.view.requests({ method: 'GET', sessionId: backendSession }).length > 0,
        );
        backend.push(
          { method: 'notifications/resources/updated', params: { uri: 'memo://one' } },
          backendSession,
        );
        backend.push(
          { method: 'notifications/resources/updated', params: { uri: 'memo://other' } },
          backendSession,
        );
        backend.push(
          { method: 'notifications/message', params: { level: 'info', data: 'the last' } },
          backendSession,
        );
        await stream.message('notifications/message');
        expect(stream.messages.map(({ params }) => params)).to.deep.equal([
          { uri: 'memo://one' },
          { level: 'info', data: 'the last' },
        ]);
        // Before 2025-11-25 a stream begins without a priming event.
        expect(stream.events[0]?.message?.method).to.equal('notifications/resources/updated');
        stream.drop();
        expect(backend.view.initialises).to.equal(initialises);
      },
    );

    for (const status of [404, 400] as const) {
      it(
        verifies(
          'RST-5',
          'BACK-2',
        )(`at a backend that answers ${status} for its session: initialised once more, as the client is`),
        async () => {
          const { backend } = setting;
          backend.script({ lostStatus: status });
          const story = await setting.open({ capabilities });
          const { client } = story;
          await client.request('logging/setLevel', { level: 'warning' });
          await client.request('resources/subscribe', { uri: 'memo://one' });
          await client.call('count');
          const before = backend.view.record.requests.length;

          await setting.lose(story.owner);
          backend.loseSessions();
          const reply = await client.call('count');
          expect(textOf(reply)).to.equal('1');
          expect(metaOf(reply)).to.deep.equal({ [RESTARTED]: true });
          expect(metaOf(await client.call('count'))).to.deep.equal({});

          const seen = backend.view.record.requests.slice(before);
          const initialise = seen.filter(({ rpc }) => rpc === 'initialize');
          expect(initialise.map(({ message }) => message?.params)).to.deep.equal([
            {
              protocolVersion: '2025-11-25',
              capabilities: { elicitation: {} },
              clientInfo: { name: 'a raw client', version: '1' },
            },
          ]);
          const params = (rpc: string) =>
            seen.filter((each) => each.rpc === rpc).map(({ message }) => message?.params);
          expect(params('logging/setLevel')).to.deep.equal([{ level: 'warning' }]);
          expect(params('resources/subscribe')).to.deep.equal([{ uri: 'memo://one' }]);
          expect(new Set(seen.map(({ authorization }) => authorization))).to.deep.equal(
            new Set([BACKEND_CREDENTIAL]),
          );
          expect(seen.filter(({ method }) => method === 'DELETE')).to.have.length(0);
        },
      );
    }

    it(verifies('RST-4')('many calls at once bring it back once'), async () => {
      const { backend } = setting;
      const story = await setting.open();
      await setting.lose(story.owner);
      backend.loseSessions();
      const { initialises } = backend.view;
      const replies = await Promise.all(
        Array.from({ length: 64 }, (_, n) => story.client.call('echo', { at: n })),
      );
      expect(replies.map(textOf)).to.deep.equal(replies.map((_, n) => JSON.stringify({ at: n })));
      expect(backend.view.initialises).to.equal(initialises + 1);
    });
  });

  it(
    verifies('RST-5')('where configuration refuses a loss of state, the first call says so and does not run'),
    async () => {
      const setting = await startSetting({ entry: { onStateLoss: 'error' } });
      try {
        const { backend } = setting;
        const { client, owner } = await setting.open();
        await client.call('count');
        await setting.lose(owner);
        backend.loseSessions();
        expect(reasonOf(await client.call('count'))).to.equal('backend_restarted');
        expect(textOf(await client.call('count'))).to.equal('1');
        expect(backend.view.executionsOf('count')).to.equal(2);
      } finally {
        await setting[Symbol.asyncDispose]();
      }
    },
  );

  it(
    verifies('RST-13')('again and again, where a replica holds five of twelve: nobody notices'),
    async () => {
      const setting = await startSetting({ replicas: 1, limits: { liveSessions: 5 } });
      try {
        const { backend, mesh } = setting;
        const clients: McpClient[] = [];
        while (clients.length < 12)
          clients.push(await McpClient.open({ url: mesh.url, token: setting.token() }));
        const [busy] = clients;
        const call = busy?.beginCall('effect', { tag: 'busy', ms: 1_500 });
        await until('the call runs', () => backend.view.executionsOf('effect') === 1);
        for (const round of ['1', '2', '3']) {
          for (const client of clients) expect(textOf(await client.call('count'))).to.equal(round);
        }
        expect(call && textOf(await call.reply())).to.equal('slept');
        expect(backend.view.executionsOf('effect')).to.equal(1);
        expect(backend.view.initialises).to.equal(clients.length);
        expect(backend.view.deletes).to.have.length(0);
      } finally {
        await setting[Symbol.asyncDispose]();
      }
    },
  );
});

async function listsOf(client: McpClient): Promise<unknown[]> {
  const replies: Reply[] = [];
  for (const method of LISTS) replies.push(await client.request(method));
  return replies.map(({ answer }) => answer?.result);
}

/** Lets the backend ask the client during a call, and returns what the backend was answered. */
async function elicited(client: McpClient): Promise<unknown> {
  const call = client.beginCall('ask');
  const question = await call.message('elicitation/create');
  const result = { action: 'accept', content: { name: 'Ada' } };
  const reply: JsonRpc = { jsonrpc: '2.0', id: question.id ?? null, result };
  expect((await client.send(reply).reply()).status).to.equal(202);
  return JSON.parse(textOf(await call.reply()));
}

function metaOf({ answer }: Reply): unknown {
  return (answer?.result as { _meta?: unknown } | undefined)?._meta ?? {};
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
