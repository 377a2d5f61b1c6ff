import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ChannelCredentials, Server, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { AdminPeers } from '../../control-plane/rpc/admin-peers.ts';
import { ADMIN_SERVICE } from '../../control-plane/rpc/admin-protocol.ts';
import { MeshCredentials } from '../../control-plane/rpc/mesh-credentials.ts';
import type { KnownReplica } from '../../control-plane/rpc/replica-directory.ts';
import { createLogger } from '../../shared/log.ts';
import { verifies } from '../requirements.ts';
import { AdminClient, type Message } from '../support/admin-client.ts';
import { OUTRIGGER } from '../support/build.ts';
import { AUTHORITY, KEY } from '../support/certificates.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import { ADMIN, AGENT, FOREIGN_REPLICA, OTHER_KEY, REPLICA, STRANGER } from '../support/mesh-certificates.ts';
import { startClient } from '../support/mesh-stream.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { McpClient, until } from '../support/story.ts';

const ROOT = 'spiffe://mesh.example/admin/root';
const CONTROL_PLANE = 'spiffe://mesh.example/ns/outrigger/sa/control-plane';
const FILES = { 'ca.crt': AUTHORITY, 'replica.crt': REPLICA, 'agent.crt': AGENT, 'all.key': KEY };

/** What a client shows. */
const CERTIFICATE = {
  admin: { ca: AUTHORITY, cert: ADMIN, key: KEY },
  sidecar: { ca: AUTHORITY, cert: AGENT, key: KEY },
  replica: { ca: AUTHORITY, cert: REPLICA, key: KEY },
  foreign: { ca: AUTHORITY, cert: FOREIGN_REPLICA, key: KEY },
  stranger: { ca: AUTHORITY, cert: STRANGER, key: OTHER_KEY },
};

function rows(answer: Message, field: string): Message[] {
  return answer[field] as Message[];
}

describe('the admin API over TLS', function () {
  this.timeout(40_000);
  let folder: string;
  let issuer: TestIssuer;
  let backend: RecordingBackend;
  let mesh: Mesh;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-admin-tls-'));
    [issuer, backend] = await Promise.all([startIssuer(), RecordingBackend.start({})]);
    mesh = await startMesh({
      replicas: 2,
      anonymous: true,
      files: FILES,
      config: {
        listen: { grpc: { tls: { ca: 'ca.crt', cert: 'replica.crt', key: 'all.key' } } },
        identity: {
          issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audiences: [issuer.audience] }],
        },
        admin: { scope: 'mesh:admin', certificates: ['spiffe://mesh.example/admin/*'] },
        audit: { file: join(folder, 'audit.log') },
        mcpServers: { tools: { url: backend.url } },
      },
      sidecarConfig: {
        controlPlane: {
          addresses: ['127.0.0.1:1'],
          tls: { ca: 'ca.crt', cert: 'agent.crt', key: 'all.key', serverId: CONTROL_PLANE },
        },
      },
    });
  });
  after(async () => {
    await mesh[Symbol.asyncDispose]();
    await Promise.all([issuer.stop(), backend.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  const open = (shown: keyof typeof CERTIFICATE, at = 0) =>
    AdminClient.open({ address: mesh.replicas[at]?.grpc ?? '', tls: CERTIFICATE[shown] });
  const audited = async () =>
    (await readFile(join(folder, 'audit.log'), 'utf8'))
      .split('\n')
      .filter((line) => line.includes('"admin.call"'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  it(
    verifies(
      'ADM-1',
      'ADM-2',
    )('an admin by certificate asks any replica, and it the others; no token is anywhere'),
    async () => {
      const client = await McpClient.open({ url: mesh.url });
      for (const at of [0, 1]) {
        using admin = await open('admin', at);
        const stats = await admin.ask('GetStats');
        expect(rows(stats, 'replicas').map((each) => each['replica'])).to.have.members(['a', 'b']);
        expect(stats['unreachable']).to.deep.equal([]);
        const [session] = rows(await admin.ask('ListSessions'), 'sessions');
        // One of the two is the owner, and the other asks it.
        expect(await admin.ask('ExplainSession', { name: session?.['name'] })).to.include({ state: 'LIVE' });
        const sidecars = rows(await admin.ask('ListSidecars'), 'sidecars');
        expect(rows(sidecars[0] ?? {}, 'streams')).to.have.length(2);
      }
      expect((await client.call('count')).status).to.equal(200);
    },
  );

  it(
    verifies('ADM-2')('the audit of both replicas names the admin by the id of the certificate'),
    async () => {
      using admin = await open('admin');
      await admin.ask('RefreshBackend', { name: 'backends/tools' });
      await admin.ask('DrainReplica', { name: 'replicas/b' });
      await admin.ask('UndrainReplica', { name: 'replicas/b' });
      const written = async () => (await audited()).filter(({ outcome }) => outcome === 'allowed');
      await until('all is written', async () => (await written()).length === 6);
      const events = await written();
      for (const { principal } of events)
        expect(principal).to.deep.equal({ issuer: 'spiffe://mesh.example', subject: ROOT, tenant: '' });
      const told = events.map(({ replica, method, detail }) => [method, replica, detail].join(' ').trim());
      expect(told).to.have.members([
        'refreshBackend a',
        `refreshBackend b asked by ${CONTROL_PLANE}`,
        'drainReplica a',
        `drainReplica b asked by ${CONTROL_PLANE}`,
        'undrainReplica a',
        `undrainReplica b asked by ${CONTROL_PLANE}`,
      ]);
      expect(events[0]).to.include({ backend: 'tools' });
    },
  );

  it(
    verifies('ADM-2', 'G12')('a token is judged as ever, also under the certificate of an admin'),
    async () => {
      const token = issuer.token({ sub: 'root', scope: 'mesh:admin' });
      const address = mesh.replicas[0]?.grpc ?? '';
      using byToken = await AdminClient.open({ address, tls: { ca: AUTHORITY }, token });
      expect(rows(await byToken.ask('GetStats'), 'replicas')).to.have.length(2);
      using caller = await AdminClient.open({ address, tls: CERTIFICATE.admin, token: issuer.token() });
      expect((await caller.refused('GetStats')).code).to.equal(status.PERMISSION_DENIED);
      using nobody = await AdminClient.open({ address, tls: { ca: AUTHORITY } });
      expect((await nobody.refused('GetStats')).code).to.equal(status.UNAUTHENTICATED);
    },
  );

  it(
    verifies(
      'ADM-2',
      'G10',
    )('the certificate of a sidecar, a stranger or a foreign replica is no admin, and no peer'),
    async () => {
      const said = Buffer.from(JSON.stringify(['spiffe://mesh.example', ROOT, '']));
      for (const [shown, code] of [
        ['sidecar', status.PERMISSION_DENIED],
        ['foreign', status.PERMISSION_DENIED],
        ['stranger', status.UNAUTHENTICATED],
      ] as const) {
        using client = await open(shown);
        client.show('outrigger-replica', 'a');
        client.show('outrigger-admin-bin', said);
        for (const method of client.methods.filter((each) => !each.startsWith('Watch')))
          expect((await client.refused(method, { localOnly: true })).code, `${shown} ${method}`).to.equal(
            code,
          );
      }
      await until('the denials are written', async () =>
        (await audited()).some(({ outcome, reason, principal }) => {
          const { subject } = principal as { subject: string };
          return (
            outcome === 'denied' && reason === 'CERTIFICATE_NOT_ADMIN' && subject.endsWith('/red/sa/agent')
          );
        }),
      );
    },
  );

  it(
    verifies('ADM-2')('a replica is answered about the other alone, and says for whom it asks'),
    async () => {
      using peer = await open('replica');
      expect((await peer.refused('GetStats', { localOnly: true })).code).to.equal(status.INVALID_ARGUMENT);
      peer.show('outrigger-admin-bin', Buffer.from('["a","b"]'));
      expect((await peer.refused('GetStats', { localOnly: true })).code).to.equal(status.INVALID_ARGUMENT);
      peer.show('outrigger-admin-bin', Buffer.from(JSON.stringify(['spiffe://mesh.example', ROOT, ''])));
      expect(rows(await peer.ask('GetStats', { localOnly: true }), 'replicas')).to.have.length(1);
      for (const [method, request] of [
        ['GetStats', {}],
        ['ListSessions', {}],
        ['DrainReplica', { name: 'replicas/b' }],
        ['LookupSession', { sessionId: 'x' }],
      ] as const)
        expect((await peer.refused(method, request)).code, method).to.equal(status.PERMISSION_DENIED);
      const other = await peer.refused('DrainReplica', { name: 'replicas/b', localOnly: true });
      expect(other.code).to.equal(status.NOT_FOUND);
    },
  );

  it(verifies('ADM-2', 'G10')('neither an admin nor a replica is a sidecar'), async () => {
    for (const shown of ['admin', 'replica'] as const) {
      const lines: string[] = [];
      const { ca, key, cert } = CERTIFICATE[shown];
      const credentials = ChannelCredentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert));
      await using client = startClient([mesh.replicas[0]?.grpc ?? ''], {
        security: { for: () => ({ credentials, options: {} }) },
        log: createLogger({ format: 'json', destination: { write: (line) => lines.push(line) } }),
      });
      await until('it is refused', () => lines.some((line) => line.includes('PERMISSION_DENIED')));
      expect(client.connected).to.equal(false);
    }
  });

  it(
    verifies('ADM-2')('the command line shows the certificate, and looks at the id of the replica'),
    async () => {
      const [ca, cert, key] = ['ca.pem', 'cert.pem', 'key.pem'].map((name) => join(folder, name));
      await writeFile(ca ?? '', AUTHORITY);
      await writeFile(cert ?? '', ADMIN);
      await writeFile(key ?? '', KEY);
      const shown = [
        ['--ca', ca],
        ['--cert', cert],
        ['--key', key],
      ]
        .flat()
        .map(String);
      const address = ['--address', mesh.replicas[0]?.grpc ?? ''];
      const outrigger = (...args: readonly string[]) =>
        promisify(execFile)(process.execPath, [OUTRIGGER, ...args, ...address, ...shown], {
          timeout: 20_000,
        });
      expect((await outrigger('replicas', 'get', 'b')).stdout).to.match(/^REPLICA .*\nb +SERVING/);
      const { stdout, stderr } = await outrigger('sidecars', 'get', 'node-1', '--server-id', CONTROL_PLANE);
      expect(stdout).to.match(/^SIDECAR .*\nnode-1 +default/);
      expect(stderr).to.equal('');
      const other = await outrigger('replicas', '--server-id', ROOT).catch((error: unknown) => error);
      expect(other).to.have.property('code', 69);
    },
  );

  it(verifies('ADM-1')('a replica that is away is named'), async () => {
    const [, second] = mesh.replicas;
    await second?.kill('SIGKILL');
    using admin = await open('admin');
    for (const method of ['GetStats', 'ListBackends', 'ListSidecars', 'ReloadConfig'])
      expect((await admin.ask(method))['unreachable'], method).to.deep.equal(['replicas/b']);
    await second?.start({ awaitReady: true });
    await until('it is heard again', async () => {
      const stats = await admin.ask('GetStats');
      return rows(stats, 'replicas').length === 2;
    });
  });
});

/** What answers at the address of a replica, and what it was shown. */
async function startPeer(cert: string) {
  const shown: object[] = [];
  const server = new Server();
  const { GetStats } = ADMIN_SERVICE;
  if (GetStats === undefined) throw new Error('the admin API has no GetStats');
  server.addService(
    { GetStats },
    {
      GetStats: (call: ServerUnaryCall<object, object>, done: sendUnaryData<object>) => {
        shown.push({ ...call.metadata.getMap(), ...call.request });
        done(null, { replicas: [] });
      },
    },
  );
  const credentials = new MeshCredentials({ cert, key: KEY, ca: AUTHORITY });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  const known: KnownReplica = {
    name: 'b',
    address: `127.0.0.1:${port}`,
    version: '0',
    state: 'SERVING',
    startedAt: 0,
    sessions: 0,
    streams: 0,
    exchanges: 0,
    configDigest: '',
    beatAt: 0,
  };
  return { shown, known, [Symbol.dispose]: () => server.forceShutdown() };
}

describe('replicas that ask each other over TLS', () => {
  const principal = { issuer: 'https://as.example', subject: 'root', tenant: 'a' };
  const admin = { principal, authorization: 'Bearer of-the-admin' };
  const question = { method: 'GetStats', request: {}, admin };
  const peersOf = (known: KnownReplica, cert = REPLICA) =>
    new AdminPeers({
      replica: 'a',
      directory: { all: () => Promise.resolve([known]) },
      tls: () => ({
        certificates: { cert, key: KEY, ca: AUTHORITY },
        clients: undefined,
        replicas: [CONTROL_PLANE],
        workloadTokens: undefined,
      }),
    });

  it(verifies('ADM-2')('say for whom, and show no token'), async () => {
    using peer = await startPeer(REPLICA);
    expect((await peersOf(peer.known).ask(question)).unreachable).to.deep.equal([]);
    const [shown] = peer.shown;
    expect(shown).to.include({ localOnly: true, 'outrigger-replica': 'b' });
    expect(String(Reflect.get(shown ?? {}, 'outrigger-admin-bin'))).to.equal(
      JSON.stringify(['https://as.example', 'root', 'a']),
    );
    expect(shown).to.not.have.property('authorization');
  });

  it(verifies('ADM-2', 'G10')('tell nothing to whoever is no replica of this trust domain'), async () => {
    for (const cert of [FOREIGN_REPLICA, AGENT]) {
      using peer = await startPeer(cert);
      const { answers, unreachable } = await peersOf(peer.known).ask(question);
      expect([answers, unreachable]).to.deep.equal([[], ['replicas/b']]);
      expect(peer.shown).to.deep.equal([]);
    }
  });
});
