import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import {
  type Incoming,
  McpClient,
  metric,
  type Setting,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';

const IDLE_MS = 3_000;

describe('A session expires', function () {
  this.timeout(30_000);

  describe('when nobody uses it', () => {
    let setting: Setting;
    let used: McpClient;
    let left: McpClient;
    let chatted: McpClient;
    let listening: McpClient;
    let stream: Incoming;

    before(async () => {
      setting = await startSetting({ replicas: 2, stdio: true, limits: { sessionIdle: `${IDLE_MS}ms` } });
      const open = () => McpClient.open({ url: setting.mesh.url, token: setting.token() });
      [left, chatted, listening] = await Promise.all([open(), open(), open()]);
      expect(textOf(await chatted.call('chatter'))).to.equal('chattering');
      stream = await listening.listen();
      used = await open();
      for (let waited = 0; waited < IDLE_MS + 1_500; waited += 500) {
        await Promise.all([used.call('echo'), sleep(500)]);
        setting.backend.push({ method: 'notifications/tools/list_changed' });
      }
    });
    after(() => setting[Symbol.asyncDispose]());

    it(verifies('RST-8', 'HTTP-9')('it is gone, on every replica'), async () => {
      expect((await left.call('echo')).status).to.equal(404);
      expect((await left.end()).status).to.equal(404);
      const keys = await setting.redis.cli('keys', 'outrigger:*:s:*');
      expect(keys.split('\n')).to.have.length(2);
    });

    it(verifies('RST-8')('what its backend says does not keep it'), async () => {
      expect((await chatted.call('echo')).status).to.equal(404);
    });

    it(verifies('RST-8')('use keeps it'), async () => {
      expect((await used.call('echo')).status).to.equal(200);
    });

    it(verifies('RST-8', 'HTTP-16')('a client that listens keeps it'), async () => {
      expect(stream.over).to.equal(false);
      expect((await listening.call('echo')).status).to.equal(200);
      stream.drop();
    });
  });

  it(verifies('HTTP-16')('a client that leaves while it is restored listens to nothing'), async () => {
    const setting = await startSetting({ replicas: 2 });
    try {
      const client = await McpClient.open({ url: setting.mesh.url, token: setting.token() });
      expect((await client.call('echo')).status).to.equal(200);
      for (const replica of setting.mesh.replicas)
        if ((await metric(replica, 'outrigger_sessions')) > 0) await replica.kill('SIGKILL');
      const alive = setting.mesh.replicas.find((replica) => replica.alive);
      if (alive === undefined) throw new Error('no replica is left');
      await until('the sidecar has only the other', async () => {
        return (await metric(setting.mesh.sidecar, 'outrigger_sidecar_mesh_streams')) === 1;
      });
      await setting.redis.cli('client', 'pause', '400', 'ALL');
      const leaving = new AbortController();
      const listening = fetch(setting.mesh.url, {
        headers: { ...client.headers('GET'), accept: 'text/event-stream' },
        signal: leaving.signal,
      }).catch(() => undefined);
      await until(
        'it is being restored',
        async () => (await metric(alive, 'outrigger_restores_underway')) === 1,
      );
      leaving.abort();
      await listening;
      await until('it is restored', async () => (await metric(alive, 'outrigger_sessions')) === 1);
      await sleep(300);
      expect(setting.backend.record.openStreams).to.equal(0);
    } finally {
      await setting[Symbol.asyncDispose]();
    }
  });

  it(verifies('RST-8')('at its absolute age, however much it is used, and its streams end'), async () => {
    const setting = await startSetting({ replicas: 1, limits: { sessionIdle: '2s', sessionAbsolute: '3s' } });
    try {
      const client = await McpClient.open({ url: setting.mesh.url, token: setting.token() });
      const stream = await client.listen();
      let calls = 0;
      await until('the session is gone', async () => {
        const { status } = await client.call('echo');
        if (status === 200) calls += 1;
        return status === 404;
      });
      expect(calls).to.be.greaterThan(1);
      await stream.ended;
      expect(await setting.redis.cli('keys', 'outrigger:*:s:*')).to.equal('');
    } finally {
      await setting[Symbol.asyncDispose]();
    }
  });
});
