import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { McpClient, reasonOf, type Setting, startSetting, until } from '../support/story.ts';

/** Limits of calls as agents meet them: two callers, two sidecars, two replicas, one Redis. */
describe('limits of calls', function () {
  this.timeout(60_000);

  const limited = (callLimits: object): Promise<Setting> =>
    startSetting({ store: 'redis', sidecars: 2, config: { callLimits } });

  it(
    verifies('RPC-14')(
      'count a caller over all sidecars and replicas; 429, Retry-After, and nobody else is concerned',
    ),
    async () => {
      await using mesh = await limited({
        rules: [{ name: 'calls', per: ['principal'], calls: 3, window: '1h' }],
      });
      const [first, second] = mesh.mesh.urls;
      const one = await McpClient.open({ url: first ?? '', token: mesh.token() });
      const two = await McpClient.open({ url: second ?? '', token: mesh.token() });
      const bob = await McpClient.open({ url: mesh.mesh.url, token: mesh.token({ sub: 'bob' }) });
      const statuses: number[] = [];
      for (const client of [one, two, one, two]) statuses.push((await client.call('echo', {})).status);
      expect(statuses).to.deep.equal([200, 200, 200, 429]);
      const refused = await one.call('echo', {});
      expect(refused.status).to.equal(429);
      expect(Number(refused.headers['retry-after'])).to.be.within(1, 3_600);
      expect(reasonOf(refused)).to.equal('rate_limited');
      expect(refused.answer?.error?.data).to.include({ retryable: true });
      expect((await bob.call('echo', {})).status).to.equal(200);
      expect((await one.request('tools/list')).status).to.equal(200);
      expect(mesh.backend.view.requests({ rpc: 'tools/call' })).to.have.length(4);
    },
  );

  it('bound what runs at once, by tool; a call that is over makes room', async () => {
    await using mesh = await limited({
      rules: [{ name: 'slow-ones', per: ['tool'], tools: ['effe*'], concurrent: 1 }],
    });
    const alice = await McpClient.open({ url: mesh.mesh.url, token: mesh.token() });
    const bob = await McpClient.open({ url: mesh.mesh.url, token: mesh.token({ sub: 'bob' }) });
    const running = alice.beginCall('effect', { ms: 600 });
    await until('it runs', () => mesh.backend.view.requests({ rpc: 'tools/call' }).length === 1);
    expect((await bob.call('effect', { ms: 1 })).status).to.equal(429);
    expect((await bob.call('lookup', { ms: 1 })).status).to.equal(200);
    expect((await running.reply()).answer).to.have.property('result');
    await until('there is room', async () => (await bob.call('effect', { ms: 1 })).status === 200);
  });

  it(
    verifies('R1')(
      'let calls pass without Redis, where a session is warm, unless they are to be refused then',
    ),
    async () => {
      for (const onStoreError of ['allow', 'refuse']) {
        await using mesh = await limited({
          onStoreError,
          rules: [{ name: 'calls', per: ['principal'], calls: 1, window: '1h' }],
        });
        const client = await McpClient.open({ url: mesh.mesh.url, token: mesh.token() });
        // The store has been asked for the session.
        expect((await client.request('tools/list')).status).to.equal(200);
        await mesh.redis.kill('SIGSTOP');
        const reply = await client.call('echo', {});
        await mesh.redis.kill('SIGCONT');
        expect(reply.status).to.equal(onStoreError === 'allow' ? 200 : 503);
        expect(mesh.backend.view.requests({ rpc: 'tools/call' })).to.have.length(
          onStoreError === 'allow' ? 1 : 0,
        );
      }
    },
  );
});
