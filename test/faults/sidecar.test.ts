import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import {
  answered,
  BACKEND_CREDENTIAL,
  McpClient,
  metric,
  type Reply,
  reasonOf,
  type Setting,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';

describe('Faults around a sidecar', function () {
  this.timeout(40_000);
  let setting: Setting;

  before(async () => {
    setting = await startSetting({ limits: { streamAfter: '200ms' } });
  });
  beforeEach(() => setting.whole());
  afterEach(() => {
    for (const replica of setting.mesh.replicas) setting.path(replica).heal();
  });
  after(() => setting[Symbol.asyncDispose]());

  it(verifies('RST-14', 'X2')('killed and started again, it serves the same sessions, warm'), async () => {
    const { backend, mesh } = setting;
    const { client, backendSession } = await setting.open();
    await client.call('count');
    const stream = await client.listen();
    const call = client.beginCall('effect', { tag: 'over the kill', ms: 1_500 });
    await until('the call streams', () => call.lastEventId !== undefined);
    const { initialises } = backend.view;

    await mesh.sidecar.restart();
    await Promise.all([stream.ended, call.ended]);
    expect(textOf(await client.call('count'))).to.equal('2');
    const resumed = await (await client.listen(call.lastEventId)).reply();
    expect(textOf(resumed)).to.equal('slept');
    expect(backend.view.executionsOf('effect')).to.equal(1);

    const again = await client.listen();
    expect(again.status).to.equal(200);
    await backend.listeners(1);
    backend.push({ method: 'notifications/message', params: { level: 'info', data: 'hello' } });
    await again.message('notifications/message');
    again.drop();
    expect(JSON.parse(textOf(await client.call('whoami')))).to.deep.equal({
      authorization: BACKEND_CREDENTIAL,
      sessionId: backendSession,
    });
    expect(backend.view.initialises).to.equal(initialises);
    expect(backend.view.deletes).to.have.length(0);
  });

  it(
    verifies('X3')(
      'told to end before its agent, it answers what is under way first, takes no more, and leaves with 0',
    ),
    async () => {
      const { backend, mesh } = setting;
      const { client, owner } = await setting.open();
      const stream = await client.listen();
      const call = client.beginCall('effect', { tag: 'at the end', ms: 2_000 });
      const kept = client.beginCall('lookup', { tag: 'at the end', ms: 1_000 });
      await until(
        'both run',
        () => backend.view.executionsOf('lookup') === 1 && executions(setting, 'at the end') === 2,
      );

      const gone = mesh.sidecar.kill('SIGTERM');
      await stream.ended;
      expect(textOf(await kept.reply())).to.equal('slept');
      expect((await fetch(`${mesh.sidecar.ops}/readyz`)).status).to.equal(503);
      expect((await fetch(`${mesh.sidecar.ops}/livez`)).status).to.equal(200);
      expect((await client.call('whoami')).status).to.be.oneOf([0, 503]);
      expect(textOf(await call.reply())).to.equal('slept');
      await gone;
      expect(await mesh.sidecar.exited).to.deep.equal({ code: 0, signal: null });
      expect(executions(setting, 'at the end')).to.equal(2);

      await mesh.sidecar.start();
      expect((await client.call('whoami')).status).to.equal(200);
      expect(await metric(owner, 'outrigger_sessions')).to.be.above(0);
    },
  );

  it(
    verifies('X1')('started before the control plane it listens, is not ready, and says when to come back'),
    async () => {
      const { mesh } = setting;
      const { client } = await setting.open();
      await Promise.all(mesh.replicas.map((replica) => replica.kill('SIGKILL')));
      await mesh.sidecar.restart({ awaitReady: false });
      await until('it listens', async () => (await client.call('whoami')).status !== 0);

      expect((await fetch(`${mesh.sidecar.ops}/livez`)).status).to.equal(200);
      expect((await fetch(`${mesh.sidecar.ops}/readyz`)).status).to.equal(503);
      expectComesBackLater(await client.call('whoami'));
      expectComesBackLater(await client.alias({ token: undefined }).call('whoami'));
      expectComesBackLater(await new McpClient({ url: mesh.url, token: setting.token() }).initialize());

      await Promise.all(mesh.replicas.map((replica) => replica.start()));
      await mesh.sidecar.ready();
      expect((await answered(() => client.call('whoami'))).status).to.equal(200);
    },
  );

  for (const [name, faults] of [
    ['that swallows everything', { swallow: true }],
    ['that refuses connections', { refuse: true }],
  ] as const) {
    it(
      verifies('C4', 'RST-11')(`a path to all replicas ${name}: typed answers, and all goes on afterwards`),
      async () => {
        const { backend, mesh } = setting;
        const { client } = await setting.open();
        await client.call('count');
        const { initialises } = backend.view;
        const effect = client.beginCall('effect', { tag: name, ms: 60_000 });
        await until('the call runs', () => executions(setting, name) === 1);
        const paths = mesh.replicas.map((replica) => setting.path(replica));
        for (const path of paths) {
          path.set(faults);
          if ('refuse' in faults) path.reset();
        }

        expect(reasonOf(await effect.reply())).to.equal('outcome_unknown');
        expectComesBackLater(await client.request('tools/list'));
        expectComesBackLater(await new McpClient({ url: mesh.url, token: setting.token() }).initialize());
        for (const path of paths) path.heal();

        expect(textOf(await answered(() => client.call('count')))).to.equal('2');
        expect(backend.view.initialises).to.equal(initialises);
        expect(executions(setting, name)).to.equal(1);
        expect((await client.end()).status).to.equal(200);
      },
    );
  }
});

function executions({ backend }: Setting, tag: string): number {
  return backend.view.record.executions.filter((each) => (each.arguments as { tag?: string }).tag === tag)
    .length;
}

function expectComesBackLater(reply: Reply): void {
  expect(reply.status, reply.body).to.equal(503);
  expect(Number(reply.headers['retry-after'])).to.be.at.least(1);
  expect(reply.answer?.error?.data).to.include({ retryable: true });
}
