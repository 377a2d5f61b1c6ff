import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { LOOKUP_MS } from '../../sidecar/mesh/addresses.ts';
import { verifies } from '../requirements.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { SteadyLoad } from '../support/steady-load.ts';
import { BACKEND_CREDENTIAL, metric, type Setting, startSetting } from '../support/story.ts';

const SESSIONS = 500;
const CLIENTS = 48;
const REST_MS = 150;
/** Where each replica comes back; undefined: where it was. */
const COMES_BACK_AT = [undefined, '127.0.0.12', '127.0.0.13'];

describe('A control plane is brought to another release', function () {
  this.timeout(180_000);
  let redis: RedisServer;
  let setting: Setting;

  before(async () => {
    redis = await startRedis();
    setting = await startSetting({
      // On a busy machine Redis is late as everything else, and this is no story of a store that is.
      store: { type: 'redis', url: redis.url, commandTimeout: '10s' },
      replicas: 3,
      sidecars: 3,
      headless: true,
      limits: { initializePerMinute: 100_000, initializeBurst: SESSIONS },
    });
    await setting.whole();
  });
  after(async () => {
    await setting[Symbol.asyncDispose]();
    await redis[Symbol.asyncDispose]();
  });

  it(
    verifies(
      'C5',
      'C2',
      'RST-12',
    )('one replica after the other, under 500 sessions: no call fails, none runs twice, no session is lost'),
    async () => {
      const { backend, mesh } = setting;
      const tokens = Array.from({ length: SESSIONS }, (_, at) => setting.token({ sub: `caller ${at}` }));
      const load = await SteadyLoad.open({ urls: mesh.urls, tokens, clients: CLIENTS, restMs: REST_MS });
      load.start();

      for (const [turn, replica] of mesh.replicas.entries()) {
        const before = load.calls;
        const others = mesh.replicas.filter((each) => each !== replica).map(({ host }) => host);
        mesh.service.has(others);
        await replica.kill('SIGTERM');
        expect(await replica.exited).to.deep.equal({ code: 0, signal: null });
        await replica.startAt(COMES_BACK_AT[turn] ?? replica.host);
        mesh.service.has([...others, replica.host]);
        await sleep(LOOKUP_MS + 500);
        await setting.whole();
        expect(load.calls - before).to.be.above(SESSIONS / 2);
      }
      await load.stop();
      const { calls, wrong } = await load.countAll();

      expect(wrong).to.deep.equal([]);
      expect(backend.record.executions).to.have.length(calls);
      expect(backend.view.initialises).to.equal(SESSIONS);
      expect(backend.view.deletes).to.have.length(0);
      expect(backend.view.authorizations).to.deep.equal([BACKEND_CREDENTIAL]);
    },
  );

  it(
    verifies(
      'C5',
      'RST-12',
    )('all that a sidecar knows are gone before it looks again: it finds the new one, and no call fails'),
    async () => {
      const { backend, mesh } = setting;
      const [first, second, third] = mesh.replicas;
      if (first === undefined || second === undefined || third === undefined) throw new Error('no replicas');
      mesh.service.has([first.host, second.host]);
      await third.kill('SIGTERM');
      const tokens = Array.from({ length: CLIENTS }, (_, at) => setting.token({ sub: `late ${at}` }));
      const load = await SteadyLoad.open({ urls: mesh.urls, tokens, clients: CLIENTS, restMs: REST_MS });
      const { initialises } = backend.view;
      load.start();
      await third.startAt('127.0.0.23');

      mesh.service.has([third.host]);
      await first.kill('SIGTERM');
      // A session is not taken over twice in a second.
      await sleep(1_100);
      await second.kill('SIGTERM');
      await load.stop();
      const { wrong } = await load.countAll();

      expect(wrong).to.deep.equal([]);
      expect(await metric(third, 'outrigger_sessions')).to.equal(CLIENTS);
      expect(backend.view.initialises).to.equal(initialises);
    },
  );
});
