import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { AdminClient, type Message } from '../support/admin-client.ts';
import { type Setting, startSetting, until } from '../support/story.ts';

function rows(answer: Message, field: string): Message[] {
  return answer[field] as Message[];
}

function open(setting: Setting, address: string) {
  return AdminClient.open({ address, token: setting.token({ sub: 'root', scope: 'mesh:admin' }) });
}

const ADMIN = { admin: { scope: 'mesh:admin' } };

describe('admins of a mesh in trouble', function () {
  // A replica is forgotten after 15 s of silence.
  this.timeout(60_000);

  it(verifies('ADM-1', 'C4')('a killed replica is named in answers, and later forgotten'), async () => {
    await using setting = await startSetting({ store: 'embedded', replicas: 2, config: ADMIN });
    const { owner, other, client } = await setting.open();
    using admin = await open(setting, other.grpc);
    const [session] = rows(await admin.ask('ListSessions'), 'sessions');
    await setting.lose(owner);

    const unreachable = [`replicas/${owner.name}`];
    for (const method of ['ListBackends', 'ListSidecars', 'GetStats', 'ReloadConfig'])
      expect(await admin.ask(method), method).to.deep.include({ unreachable });
    const told = await admin.ask('ExplainSession', { name: session?.['name'] });
    expect(told).to.deep.include({ state: 'UNKNOWN', unreachable });
    expect(rows(told, 'findings').join()).to.include('could not be asked');
    expect((await admin.refused('DrainReplica', { name: unreachable[0] })).code).to.equal(status.UNAVAILABLE);

    // The client comes back, and its session is the other replica's.
    expect((await client.call('echo', { text: 'again' })).status).to.equal(200);
    const restored = await admin.ask('ExplainSession', { name: session?.['name'] });
    expect(restored).to.include({ state: 'LIVE' });
    expect(restored['session']).to.include({ replica: other.name, epoch: 2, restores: 1 });
    await until(
      'the dead one is forgotten',
      async () => rows(await admin.ask('ListReplicas'), 'replicas').length === 1,
      25_000,
    );
    expect(await admin.ask('GetStats')).to.deep.include({ unreachable: [] });
  });

  it(verifies('ADM-1')('explain says which backend is missing, since when and why'), async () => {
    await using setting = await startSetting({
      store: 'embedded',
      replicas: 1,
      config: { ...ADMIN, limits: { initializeAnswer: '200ms' } },
    });
    await setting.backend.stop();
    const client = await setting.open().catch(() => undefined);
    expect(client).to.equal(undefined);
    using admin = await open(setting, setting.mesh.replicas[0]?.grpc ?? '');
    const [session] = rows(await admin.ask('ListSessions'), 'sessions');
    const told = await admin.ask('ExplainSession', { name: session?.['name'] });
    const [backend] = rows(told, 'backends');
    expect(backend).to.include({ name: 'backends/rec', state: 'MISSING', reason: 'backend_unavailable' });
    expect(backend?.['sinceTime']).to.have.property('seconds').above(0);
    expect(rows(told, 'findings').join()).to.match(/"rec" is missing since \d{4}-.* \(backend_unavailable\)/);
    const [listed] = rows(await admin.ask('ListBackends'), 'backends');
    expect(rows(listed ?? {}, 'replicas')[0]).to.include({
      state: 'FAILING',
      lastFault: 'unreachable',
      sessionsMissing: 1,
    });
  });

  it(
    verifies('ADM-1')('a sidecar that left is disconnected, with the lists that it may still answer'),
    async () => {
      await using setting = await startSetting({ store: 'embedded', replicas: 2, config: ADMIN });
      const { client, other } = await setting.open();
      await client.request('tools/list');
      using admin = await open(setting, other.grpc);
      const sidecar = async () => rows(await admin.ask('ListSidecars'), 'sidecars')[0];
      await until('the list is there', async () => (await sidecar())?.['state'] === 'SYNCED');
      await setting.mesh.sidecar.kill('SIGKILL');
      await until('it is missed', async () => (await sidecar())?.['state'] === 'DISCONNECTED');
      const gone = await sidecar();
      expect(rows(gone ?? {}, 'streams')).to.deep.equal([]);
      expect(rows(gone ?? {}, 'lists')[0]).to.include({ list: 'tools/list', state: 'DISCONNECTED' });
    },
  );

  it(
    verifies('ADM-1')('a drained replica hands its sessions over, takes no sidecar, and comes back'),
    async () => {
      await using setting = await startSetting({ store: 'embedded', replicas: 2, config: ADMIN });
      const { owner, other, client } = await setting.open();
      using admin = await open(setting, other.grpc);
      const name = `replicas/${owner.name}`;
      expect(await admin.ask('DrainReplica', { name })).to.include({ name, state: 'DRAINED' });
      await until('its sidecar has left', async () => {
        const [sidecar] = rows(await admin.ask('ListSidecars'), 'sidecars');
        return rows(sidecar ?? {}, 'streams').every((each) => each['replica'] === other.name);
      });
      expect((await client.call('echo', { text: 'x' })).status).to.equal(200);
      const [session] = rows(await admin.ask('ListSessions'), 'sessions');
      expect(session).to.include({ replica: other.name });
      expect((await fetch(`${owner.ops}/readyz`)).status).to.equal(503);
      expect(await admin.ask('UndrainReplica', { name })).to.include({ state: 'SERVING' });
      expect((await fetch(`${owner.ops}/readyz`)).status).to.equal(200);
      await setting.whole();
    },
  );

  it(
    verifies('ADM-2')('without the section the API is off; with loopback: true this machine may ask'),
    async () => {
      await using setting = await startSetting({ store: 'embedded', replicas: 1 });
      const address = setting.mesh.replicas[0]?.grpc ?? '';
      using admin = await open(setting, address);
      const off = await admin.refused('ListSessions');
      expect(off).to.include({ code: status.UNIMPLEMENTED });
      expect(off.details).to.include('The admin API is off');

      await using lax = await startSetting({
        store: 'embedded',
        replicas: 1,
        config: { admin: { loopback: true } },
      });
      using anybody = await AdminClient.open({ address: lax.mesh.replicas[0]?.grpc ?? '' });
      expect(rows(await anybody.ask('GetStats'), 'replicas')).to.have.length(1);
    },
  );

  it(
    verifies('ADM-2')('an audience of its own keeps tokens of callers out, whatever they claim'),
    async () => {
      const audience = 'https://mesh.example/admin';
      const claim = { name: 'roles', value: 'admin' };
      await using setting = await startSetting({
        store: 'embedded',
        replicas: 1,
        config: { admin: { claim, audience } },
      });
      const address = setting.mesh.replicas[0]?.grpc ?? '';
      const claims = { roles: ['reader', 'admin'] };
      using caller = await AdminClient.open({ address, token: setting.token({ claims }) });
      expect((await caller.refused('GetStats')).code).to.equal(status.PERMISSION_DENIED);
      using reader = await AdminClient.open({
        address,
        token: setting.token({ aud: audience, claims: { roles: 'reader' } }),
      });
      expect((await reader.refused('GetStats')).code).to.equal(status.PERMISSION_DENIED);
      using admin = await AdminClient.open({ address, token: setting.token({ aud: audience, claims }) });
      expect(rows(await admin.ask('GetStats'), 'replicas')).to.have.length(1);
    },
  );

  it(verifies('ADM-2')('a watch ends with its token'), async () => {
    await using setting = await startSetting({ store: 'embedded', replicas: 1, config: ADMIN });
    const exp = Math.floor(Date.now() / 1000) - 2;
    const token = setting.token({ sub: 'root', scope: 'mesh:admin', exp });
    using admin = await AdminClient.open({ address: setting.mesh.replicas[0]?.grpc ?? '', token });
    const seen: unknown[] = [];
    const watch = async () => {
      for await (const event of admin.watch('WatchSessions')) seen.push(event['type']);
    };
    const [ended] = await Promise.allSettled([watch()]);
    expect(seen).to.deep.equal(['SYNCED']);
    expect(ended).to.have.nested.property('reason.code', status.UNAUTHENTICATED);
  });
});
