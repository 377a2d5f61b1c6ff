import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { AdminClient, type Message } from '../support/admin-client.ts';
import { type Setting, type Story, startSetting, until } from '../support/story.ts';

const ADMIN = { admin: { scope: 'mesh:admin' } };

/** A client with the admin role, of the first replica or of another. */
function open(setting: Setting, address = setting.mesh.replicas[0]?.grpc ?? '') {
  return AdminClient.open({ address, token: setting.token({ sub: 'root', scope: 'mesh:admin' }) });
}

function rows(answer: Message, field: string): Message[] {
  return answer[field] as Message[];
}

async function nameOf(admin: AdminClient, filter: string): Promise<string> {
  const [session] = rows(await admin.ask('ListSessions', { filter }), 'sessions');
  return String(session?.['name']);
}

interface Names {
  readonly session: string;
  readonly victim: string;
  readonly sessionId: string;
  readonly issuer: string;
  readonly replica: string;
}

/** A question for every method. */
const QUESTIONS: Readonly<Record<string, (names: Names) => Message>> = {
  ListSessions: () => ({}),
  GetSession: ({ session }) => ({ name: session }),
  WatchSessions: () => ({}),
  ExplainSession: ({ session }) => ({ name: session }),
  LookupSession: ({ sessionId }) => ({ sessionId }),
  TerminateSession: ({ victim }) => ({ name: victim }),
  TerminatePrincipalSessions: ({ issuer }) => ({ issuer, subject: 'vera' }),
  ListBackends: () => ({}),
  GetBackend: () => ({ name: 'backends/rec' }),
  WatchBackends: () => ({}),
  RefreshBackend: () => ({ name: 'backends/rec' }),
  ListSidecars: () => ({}),
  GetSidecar: () => ({ name: 'sidecars/node-1' }),
  ListReplicas: () => ({}),
  GetReplica: ({ replica }) => ({ name: replica }),
  DrainReplica: ({ replica }) => ({ name: replica }),
  UndrainReplica: ({ replica }) => ({ name: replica }),
  GetReplicaLogLevel: ({ replica }) => ({ name: replica }),
  SetReplicaLogLevel: ({ replica }) => ({ name: replica, level: 'INFO' }),
  ListCapabilities: ({ session }) => ({ session }),
  GetConfig: () => ({}),
  ValidateConfig: () => ({}),
  ReloadConfig: () => ({}),
  GetStats: () => ({}),
  GetHistory: () => ({}),
};

/** Where a watch of sessions that begins now can be resumed. */
async function resumeToken(admin: AdminClient, request: Message): Promise<string> {
  for await (const event of admin.watch('WatchSessions', request))
    if (event['type'] === 'SYNCED') return String(event['resumeToken']);
  throw new Error('the watch ended');
}

describe('the admin API, by a stock client that knows only what reflection tells', () => {
  let setting: Setting;
  let alice: Story;

  before(async () => {
    setting = await startSetting({
      store: 'embedded',
      replicas: 2,
      sidecars: 2,
      config: { ...ADMIN, limits: { initializeAnswer: '200ms' } },
    });
    alice = await setting.open();
    await alice.client.request('tools/list');
  });

  after(() => setting[Symbol.asyncDispose]());

  it(verifies('ADM-1')('reflection, v1 and v1alpha, describes all services without a token'), async () => {
    for (const reflection of ['v1', 'v1alpha'] as const) {
      using client = await AdminClient.open({ address: alice.owner.grpc, reflection });
      expect(client.services).to.include.members([
        'outrigger.admin.v1.Admin',
        'outrigger.mesh.v1.Mesh',
        'grpc.health.v1.Health',
        'grpc.channelz.v1.Channelz',
      ]);
      expect(client.methods).to.include.members(Object.keys(QUESTIONS));
    }
  });

  it(
    verifies('ADM-2', 'G12')('no method answers without a token, or with the token of a caller'),
    async () => {
      using nobody = await AdminClient.open({ address: alice.owner.grpc });
      using caller = await AdminClient.open({ address: alice.owner.grpc, token: setting.token() });
      using stranger = await AdminClient.open({ address: alice.owner.grpc, token: 'x.y.z' });
      for (const method of nobody.methods.filter((each) => !each.startsWith('Watch'))) {
        expect((await nobody.refused(method)).code, method).to.equal(status.UNAUTHENTICATED);
        expect((await caller.refused(method)).code, method).to.equal(status.PERMISSION_DENIED);
        expect((await stranger.refused(method)).code, method).to.equal(status.UNAUTHENTICATED);
      }
      for (const method of ['WatchSessions', 'WatchBackends']) {
        const watch = async () => {
          for await (const _event of caller.watch(method)) return undefined;
          return undefined;
        };
        const thrown: unknown = await watch().catch((error: unknown) => error);
        expect(thrown, method).to.have.property('code', status.PERMISSION_DENIED);
      }
    },
  );

  it(verifies('ADM-1')('any replica lists the sessions of all, by pages, filters and masks'), async () => {
    const bob = await setting.open({ token: setting.token({ sub: 'bob' }) });
    for (const replica of setting.mesh.replicas) {
      using admin = await open(setting, replica.grpc);
      const [session] = rows(await admin.ask('ListSessions', { filter: 'subject = "bob"' }), 'sessions');
      expect(session).to.include({
        replica: bob.owner.name,
        virtualServer: 'default',
        epoch: 1,
        restores: 0,
      });
      expect(session?.['name']).to.match(/^sessions\/[a-z2-7]{26}$/);
      expect(await admin.ask('GetSession', { name: session?.['name'] })).to.deep.equal(session);

      const first = await admin.ask('ListSessions', { pageSize: 1 });
      const pageToken = first['nextPageToken'];
      expect(rows(first, 'sessions')).to.have.length(1);
      const second = await admin.ask('ListSessions', { pageSize: 1, pageToken });
      const subjects = [first, second].flatMap((page) =>
        rows(page, 'sessions').map((each) => (each['principal'] as Message)['subject']),
      );
      expect(subjects.toSorted()).to.deep.equal(['alice', 'bob']);
      const other = await admin.refused('ListSessions', { pageSize: 1, pageToken, filter: 'age > 1s' });
      expect(other.code).to.equal(status.INVALID_ARGUMENT);

      const masked = await admin.ask('ListSessions', { readMask: { paths: ['name', 'principal.subject'] } });
      expect(rows(masked, 'sessions').every((each) => each['client'] === '')).to.equal(true);
      expect(rows(masked, 'sessions')[0]?.['principal']).to.include({ issuer: '' });
    }
    using admin = await open(setting);
    expect(rows(await admin.ask('ListSessions', { filter: 'age > 1h' }), 'sessions')).to.deep.equal([]);
    const both = await admin.ask('ListSessions', { filter: 'backend = rec AND age < 1h AND tenant = ""' });
    expect(rows(both, 'sessions')).to.have.length(2);
    await bob.client.request('ping');
  });

  it(verifies('ADM-1')('what is written wrong is refused with a reason for programs'), async () => {
    using admin = await open(setting);
    const wrong: readonly (readonly [string, Message, string])[] = [
      ['ListSessions', { filter: 'owner = a' }, 'there is no field "owner"'],
      ['ListSessions', { filter: 'subject = a OR subject = b' }, 'expected AND instead of "OR"'],
      ['ListSessions', { filter: 'age > soon' }, 'a duration'],
      ['ListSessions', { pageSize: -1 }, 'page_size'],
      ['ListSessions', { readMask: { paths: ['token'] } }, 'there is no field "token"'],
      ['GetSession', { name: 'sessions/x' }, 'expected sessions/'],
      ['DrainReplica', { name: 'b' }, 'expected replicas/'],
    ];
    for (const [method, request, words] of wrong) {
      const { code, details, metadata } = await admin.refused(method, request);
      expect(code, details).to.equal(status.INVALID_ARGUMENT);
      expect(details).to.include(words);
      expect(String(metadata.get('grpc-status-details-bin')[0])).to.include('google.rpc.ErrorInfo');
    }
    for (const [method, name] of [
      ['GetSession', `sessions/${'a'.repeat(26)}`],
      ['ExplainSession', `sessions/${'a'.repeat(26)}`],
      ['GetBackend', 'backends/none'],
      ['GetSidecar', 'sidecars/none'],
      ['GetReplica', 'replicas/none'],
      ['RefreshBackend', 'backends/none'],
      ['DrainReplica', 'replicas/none'],
    ] as const) {
      expect((await admin.refused(method, { name })).code, method).to.equal(status.NOT_FOUND);
    }
  });

  it(verifies('ADM-1')('explain says from any replica what the owner alone knows'), async () => {
    for (const replica of setting.mesh.replicas) {
      using admin = await open(setting, replica.grpc);
      const name = await nameOf(admin, 'subject = alice');
      const told = await admin.ask('ExplainSession', { name });
      expect(told).to.include({ state: 'LIVE', protocolVersion: '2025-11-25' });
      expect(told['findings']).to.deep.equal([]);
      expect(rows(told, 'backends')).to.have.length(1);
      expect(rows(told, 'backends')[0]).to.include({
        name: 'backends/rec',
        state: 'OPEN',
        credentialStrategy: 'header',
        identityOutcome: 'accepted',
      });
      expect(rows(told, 'lists')[0]).to.include({ session: name, list: 'tools/list', state: 'SYNCED' });
    }
  });

  it(verifies('ADM-1')('what a session sees, item by item'), async () => {
    using admin = await open(setting, alice.other.grpc);
    const session = await nameOf(admin, 'subject = alice');
    const [view] = rows(await admin.ask('ListCapabilities', { session }), 'views');
    expect(view?.['principal']).to.include({ subject: 'alice' });
    const [first] = rows(view ?? {}, 'capabilities');
    expect(first).to.include({ kind: 'tools', visible: 'echo', backend: 'rec', visibility: 'SHOWN' });
  });

  it(verifies('ADM-1')('backends, sidecars, replicas and stats are those of all replicas'), async () => {
    using admin = await open(setting);
    const [backend] = rows(await admin.ask('ListBackends'), 'backends');
    expect(rows(backend ?? {}, 'replicas').map((each) => each['replica'])).to.have.members(['a', 'b']);
    expect(await admin.ask('GetBackend', { name: 'backends/rec', readMask: { paths: ['kind'] } })).to.include(
      {
        kind: 'http',
        place: '',
      },
    );
    const local = await admin.ask('ListBackends', { localOnly: true });
    expect(rows(rows(local, 'backends')[0] ?? {}, 'replicas')).to.have.length(1);
    const sidecars = rows(await admin.ask('ListSidecars'), 'sidecars');
    expect(sidecars.map((each) => each['name'])).to.deep.equal(['sidecars/node-1', 'sidecars/node-2']);
    for (const each of sidecars) expect(rows(each, 'streams')).to.have.length(2);
    const replicas = rows(await admin.ask('ListReplicas'), 'replicas');
    expect(replicas.map((each) => each['state'])).to.deep.equal(['SERVING', 'SERVING']);
    expect(new Set(replicas.map((each) => each['configDigest'])).size).to.equal(1);
    expect(rows(await admin.ask('GetStats'), 'replicas')).to.have.length(2);
    expect(await admin.ask('RefreshBackend', { name: 'backends/rec' }))
      .to.have.property('sessionCount')
      .above(0);
  });

  it(verifies('ADM-1')('the configuration is told without secrets, validated and taken on'), async () => {
    using admin = await open(setting);
    const config = await admin.ask('GetConfig');
    expect(config).to.include({ replica: 'a', anonymous: false });
    expect(JSON.stringify(config)).to.not.include('OUTRIGGER_TEST');
    expect(await admin.ask('ValidateConfig')).to.deep.include({ valid: true, differs: false });
    const reloaded = rows(await admin.ask('ReloadConfig'), 'results');
    expect(reloaded.map((each) => each['outcome'])).to.deep.equal(['UNCHANGED', 'UNCHANGED']);
  });

  it(verifies('ADM-1')('a watch says what there is, then what changes'), async () => {
    using admin = await open(setting);
    const seen: string[] = [];
    let carol: Story | undefined;
    for await (const event of admin.watch('WatchSessions', { filter: 'subject = carol' })) {
      seen.push(String(event['type']));
      if (event['type'] === 'SYNCED') carol = await setting.open({ token: setting.token({ sub: 'carol' }) });
      if (event['type'] === 'ADDED')
        await admin.ask('TerminateSession', { name: (event['session'] as Message)['name'] });
      if (event['type'] === 'REMOVED') break;
    }
    expect(seen.filter((type) => type !== 'CHANGED')).to.deep.equal(['SYNCED', 'ADDED', 'REMOVED']);
    expect((await carol?.client.request('ping'))?.status).to.equal(404);
  });

  it(
    verifies('ADM-1')('sessions end: one by name, or all of a principal, at whichever replica they are'),
    async () => {
      const token = setting.token({ sub: 'dave' });
      const stories = [await setting.open({ token }), await setting.open({ token })];
      using admin = await open(setting, stories[0]?.other.grpc);
      const sessionId = stories[0]?.client.sessionId;
      const found = await admin.ask('LookupSession', { sessionId });
      expect(JSON.stringify(found)).to.not.include(sessionId);
      await admin.ask('TerminateSession', { name: found['name'] });
      expect((await stories[0]?.client.request('ping'))?.status).to.equal(404);
      expect((await admin.refused('LookupSession', { sessionId })).code).to.equal(status.NOT_FOUND);
      const principal = { issuer: setting.issuer.url, subject: 'dave' };
      expect(await admin.ask('TerminatePrincipalSessions', principal)).to.deep.equal({ terminatedCount: 1 });
      await until(
        'the last one is gone',
        async () => (await stories[1]?.client.request('ping'))?.status === 404,
      );
      expect((await alice.client.request('ping')).status).to.equal(200);
    },
  );

  it(
    verifies('ADM-2', 'G12')('no answer holds a token, a session id or the id of a backend session'),
    async () => {
      using admin = await open(setting);
      const session = await nameOf(admin, 'subject = alice');
      const asked: readonly (readonly [string, Message])[] = [
        ['ListSessions', {}],
        ['ExplainSession', { name: session }],
        ['ListCapabilities', { session }],
        ['ListBackends', {}],
        ['ListSidecars', {}],
        ['ListReplicas', {}],
        ['GetConfig', {}],
        ['GetStats', {}],
        ['LookupSession', { sessionId: alice.client.sessionId }],
      ];
      const answers = await Promise.all(asked.map(([method, request]) => admin.ask(method, request)));
      const text = JSON.stringify(answers);
      const { backendSession, client } = alice;
      for (const secret of [
        client.sessionId,
        backendSession,
        'of-the-backend',
        setting.token().split('.')[0],
      ])
        expect(text).to.not.include(secret);
      expect(setting.mesh.log().join('\n')).to.not.include(client.sessionId);
    },
  );
});

describe('the services beside the mesh stream, each method of them', function () {
  this.timeout(40_000);
  let setting: Setting;
  let alice: Story;

  before(async () => {
    setting = await startSetting({ store: 'embedded', replicas: 2, config: ADMIN });
    alice = await setting.open();
  });

  after(() => setting[Symbol.asyncDispose]());

  it(verifies('ADM-1')('every method there is answers, and what no story asks does not pass'), async () => {
    const victim = await setting.open({ token: setting.token({ sub: 'victor' }) });
    const other = await setting.open({ token: setting.token({ sub: 'vera' }) });
    using admin = await open(setting, alice.owner.grpc);
    const names = {
      session: await nameOf(admin, 'subject = alice'),
      victim: await nameOf(admin, 'subject = victor'),
      sessionId: other.client.sessionId ?? '',
      issuer: setting.issuer.url,
      replica: `replicas/${alice.other.name}`,
    };
    expect(admin.methods, 'methods without a story').to.have.members(Object.keys(QUESTIONS));
    for (const [method, question] of Object.entries(QUESTIONS)) {
      const request = question(names);
      if (admin.watches.includes(method)) {
        for await (const event of admin.watch(method, request)) if (event['type'] === 'SYNCED') break;
      } else expect(await admin.ask(method, request), method).to.be.an('object');
    }
    expect((await victim.client.request('ping')).status).to.equal(404);
    await setting.whole();
  });

  it(verifies('ADM-1')('the standard health service says how each service is, without a token'), async () => {
    const service = 'grpc.health.v1.Health';
    using health = await AdminClient.open({ address: alice.owner.grpc, service });
    expect(health.methods).to.have.members(['Check', 'List', 'Watch']);
    const served = ['', 'outrigger.mesh.v1.Mesh', 'outrigger.admin.v1.Admin'];
    expect((await health.ask('List'))['statuses']).to.have.deep.members(
      served.map((key) => ({ key, value: { status: 'SERVING' } })),
    );
    for (const name of served)
      expect(await health.ask('Check', { service: name })).to.deep.equal({ status: 'SERVING' });
    expect((await health.refused('Check', { service: 'x' })).code).to.equal(status.NOT_FOUND);
    for await (const { status: unknown } of health.watch('Watch', { service: 'x' })) {
      expect(unknown).to.equal('SERVICE_UNKNOWN');
      break;
    }
    using admin = await open(setting);
    const seen: unknown[] = [];
    const name = `replicas/${alice.owner.name}`;
    for await (const { status: state } of health.watch('Watch', { service: served[1] })) {
      seen.push(state);
      if (seen.length === 1) await admin.ask('DrainReplica', { name });
      if (seen.length === 2) await admin.ask('UndrainReplica', { name });
      if (seen.length === 3) break;
    }
    expect(seen).to.deep.equal(['SERVING', 'NOT_SERVING', 'SERVING']);
    await setting.whole();
  });

  it(verifies('ADM-1', 'ADM-2')('channelz shows the sockets of a replica, to admins alone'), async () => {
    const address = alice.owner.grpc;
    const service = 'grpc.channelz.v1.Channelz';
    using nobody = await AdminClient.open({ address, service });
    using caller = await AdminClient.open({ address, service, token: setting.token() });
    const token = setting.token({ sub: 'root', scope: 'mesh:admin' });
    using admin = await AdminClient.open({ address, service, token });
    for (const method of admin.methods) {
      expect((await nobody.refused(method)).code, method).to.equal(status.UNAUTHENTICATED);
      expect((await caller.refused(method)).code, method).to.equal(status.PERMISSION_DENIED);
    }
    const [server] = rows(await admin.ask('GetServers'), 'server');
    const serverId = (server?.['ref'] as { serverId: number } | undefined)?.serverId;
    expect((await admin.ask('GetServer', { serverId }))['server']).to.have.property('data');
    const sockets = rows(await admin.ask('GetServerSockets', { serverId }), 'socketRef');
    expect(sockets).to.have.length.above(1);
    const socketId = sockets[0]?.['socketId'];
    const { socket } = await admin.ask('GetSocket', { socketId });
    expect(socket).to.have.nested.property('remote.tcpipAddress.port').above(0);
    expect(await admin.ask('GetTopChannels')).to.include({ end: true });
    for (const method of ['GetChannel', 'GetSubchannel'])
      expect((await admin.refused(method)).code, method).to.equal(status.NOT_FOUND);
    const used = ['GetServers', 'GetServer', 'GetServerSockets', 'GetSocket', 'GetTopChannels'];
    expect(admin.methods).to.have.members([...used, 'GetChannel', 'GetSubchannel']);
  });

  it(verifies('ADM-1')('a watch that was lost goes on at another replica, with what differs'), async () => {
    using first = await open(setting, alice.owner.grpc);
    using second = await open(setting, alice.other.grpc);
    const filter = 'subject = wanda';
    const one = await setting.open({ token: setting.token({ sub: 'wanda' }) });
    const lost = await nameOf(first, filter);
    await setting.open({ token: setting.token({ sub: 'wanda' }) });
    const kept = await resumeToken(first, { filter });
    await one.client.end();
    const added = await setting.open({ token: setting.token({ sub: 'wanda' }) });
    const seen: string[] = [];
    for await (const event of second.watch('WatchSessions', { filter, resumeToken: kept })) {
      const name = (event['session'] as Message | null)?.['name'];
      seen.push([event['type'], name === lost ? 'lost' : ''].join(' ').trim());
      if (event['type'] === 'SYNCED') break;
    }
    expect(seen).to.deep.equal(['ADDED', 'REMOVED lost', 'SYNCED']);
    for (const wrong of [
      { filter: 'age > 1s', resumeToken: kept },
      { filter, resumeToken: 'x' },
    ]) {
      const thrown: unknown = await resumeToken(second, wrong).catch((error: unknown) => error);
      expect(thrown).to.have.property('code', status.INVALID_ARGUMENT);
    }
    await added.client.request('ping');
  });
});
