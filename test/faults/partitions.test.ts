import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import type { Replica } from '../support/mesh.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import {
  answered,
  BACKEND_CREDENTIAL,
  McpClient,
  type Reply,
  reasonOf,
  type Setting,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';
import { startProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/** Two replicas with a path each to one Redis, and a sidecar at home on each. */
describe('A replica that is cut off from the store while the others are not', function () {
  this.timeout(60_000);
  let redis: RedisServer;
  let paths: Record<string, TcpProxy>;
  let setting: Setting;

  before(async () => {
    redis = await startRedis();
    const [a, b] = await Promise.all([startProxy(redis), startProxy(redis)]);
    paths = { a, b };
    const pathOf = ({ port }: TcpProxy) => ({ OUTRIGGER_TEST_STORE: `redis://127.0.0.1:${port}` });
    setting = await startSetting({
      sidecars: 2,
      spread: true,
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the configuration expands it
      store: { type: 'redis', url: '${OUTRIGGER_TEST_STORE}' },
      envs: { a: pathOf(a), b: pathOf(b) },
    });
  });
  beforeEach(() => setting.whole());
  afterEach(() => {
    for (const path of Object.values(paths)) path.heal();
  });
  after(async () => {
    await setting[Symbol.asyncDispose]();
    await Promise.all(Object.values(paths).map((each) => each[Symbol.asyncDispose]()));
    await redis[Symbol.asyncDispose]();
  });

  const pathTo = ({ name }: Replica) => paths[name] as TcpProxy;
  const counts = () => setting.backend.view.executionsOf('count');

  for (const [how, cut] of [
    ['by silence', (path: TcpProxy) => path.set({ swallow: true })],
    [
      'by resets',
      (path: TcpProxy) => {
        path.set({ refuse: true });
        path.reset();
      },
    ],
  ] as const) {
    it(
      verifies(
        'C4',
        'RST-7',
        'RST-10',
      )(`${how} says 503, never 404; who takes its session over is its only owner`),
      async () => {
        const { backend, mesh } = setting;
        const { client: here, owner, backendSession } = await setting.open();
        const there = here.alias({ url: mesh.urls[1] });
        await here.call('count');
        const before = counts();
        const { initialises } = backend.view;
        let served = 0;
        const count = async (client: McpClient): Promise<Reply> => {
          const reply = await client.call('count');
          if (reply.status === 200) served += 1;
          return reply;
        };

        cut(pathTo(owner));
        await until('its lease is over', async () => (await count(here)).status === 503);
        const refused = await count(here);
        expect(refused.status).to.equal(503);
        expect(refused.headers['retry-after']).not.to.equal(undefined);
        expect(reasonOf(refused)).to.equal('store_unavailable');
        expect((await new McpClient({ url: mesh.url, token: setting.token() }).initialize()).status).to.equal(
          503,
        );
        expect((await fetch(`${owner.ops}/readyz`)).status).to.equal(503);

        expect(textOf(await answered(() => count(there)))).to.equal(String(1 + served));
        expect((await there.request('logging/setLevel', { level: 'error' })).status).to.equal(200);
        expect((await count(here)).status).to.equal(503);

        pathTo(owner).heal();
        expect(textOf(await answered(() => count(here)))).to.equal(String(1 + served));
        expect(textOf(await answered(() => count(there)))).to.equal(String(1 + served));
        expect(JSON.parse(textOf(await answered(() => here.call('whoami'))))).to.deep.equal({
          authorization: BACKEND_CREDENTIAL,
          sessionId: backendSession,
        });
        expect(counts() - before).to.equal(served);
        expect(backend.view.initialises).to.equal(initialises);
        expect(backend.view.deletes).to.have.length(0);
      },
    );
  }
});
