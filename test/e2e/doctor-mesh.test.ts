import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import type { Check, Finding } from '../../shared/findings.ts';
import { verifies } from '../requirements.ts';
import { AUTHORITY, KEY } from '../support/certificates.ts';
import { Practice, type Visit } from '../support/doctor.ts';
import { type Replica, startMesh } from '../support/mesh.ts';
import { AGENT, BLUE_AGENT, EXPIRED_AGENT, REPLICA } from '../support/mesh-certificates.ts';
import { buildNextRelease, type NextRelease } from '../support/next-release.ts';
import { freePorts } from '../support/ports.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { type Setting, startSetting, until } from '../support/story.ts';

/** The file behind an option that a program was started with. */
function fileOf({ spec: { args } }: Pick<Replica, 'spec'>, option = '--config'): string {
  return args[args.indexOf(option) + 1] ?? '';
}

function of(found: Visit, check: Check): readonly Finding[] {
  return found.findings.filter((each) => each.check === check);
}

describe('outrigger doctor, in a mesh that runs', function () {
  this.timeout(60_000);
  let next: NextRelease;
  let setting: Setting;
  let practice: Practice;
  let control: Record<string, unknown>;
  const env = () => ({ OUTRIGGER_TEST_CREDENTIAL: 'of-the-backend' });

  before(async () => {
    practice = await Practice.open();
    next = await buildNextRelease();
    setting = await startSetting({
      store: 'embedded',
      replicas: 2,
      builds: { b: next.outrigger },
      config: { admin: { claim: { name: 'roles', value: 'mesh-admin' } } },
    });
    const session = await setting.open();
    await session.client.request('tools/list');
    const token = setting.token({ sub: 'root', claims: { roles: ['mesh-admin'] } });
    await practice.write('admin-token', `${token}\n`);
    await practice.write('caller-token', setting.token());
    const [replica] = setting.mesh.replicas as [Replica];
    control = JSON.parse(await readFile(fileOf(replica), 'utf8')) as Record<string, unknown>;
    await practice.write('control-plane.json', {
      ...control,
      state: setting.mesh.stateFolder,
      listen: { grpc: replica.grpc, ops: new URL(replica.ops).host },
    });
    const { sidecar, replicas } = setting.mesh;
    await practice.write('sidecar.json', {
      node: 'node-1',
      listen: { mcp: new URL(sidecar.url).host, ops: new URL(sidecar.ops).host },
      controlPlane: { addresses: replicas.map(({ grpc }) => grpc) },
    });
  });

  after(async () => {
    await setting[Symbol.asyncDispose]();
    await next[Symbol.asyncDispose]();
    await practice[Symbol.asyncDispose]();
  });

  it(
    verifies('ADM-1')('everything passes, seen from both ends; a newer replica is worth a word'),
    async () => {
      const args = ['--config', 'control-plane.json', '--sidecar-config', 'sidecar.json'];
      const found = await practice.visit([...args, '--token-file', 'admin-token'], env());
      expect(
        found.findings.filter(({ status }) => status === 'failed' || status === 'skipped'),
      ).to.deep.equal([]);
      expect(found.code).to.equal(0);
      expect(
        of(found, 'ports').map(({ detail }) => detail.replace(/held by .+?, /, 'held by H, ')),
      ).to.have.members([
        'health and metrics of the replica: held by H, a replica that runs',
        'mesh stream of the replica: held by H, a replica that runs',
        'health and metrics of the sidecar: held by H, a sidecar that runs',
        'MCP: held by H, a sidecar that runs',
      ]);
      expect(of(found, 'store')).to.deep.include({
        check: 'store',
        of: `${setting.mesh.stateFolder}/store`,
        status: 'ok',
        detail: 'opened, and writable',
      });
      expect(of(found, 'sidecar')[0]).to.include({ status: 'ok', detail: 'runs, and is ready' });
      const details = of(found, 'control-plane').map(({ detail }) => detail);
      expect(details).to.have.members([
        'replica a takes this sidecar',
        'replica b takes this sidecar',
        'answers, and lets you ask: a, b',
      ]);
      const newer = found.findings.filter(({ status }) => status === 'warning');
      expect(newer.map(({ check }) => check)).to.deep.equal(['version', 'version']);
      expect(newer[0]?.detail).to.match(/^it runs .+, and this is 0\.1\.0$/);
      expect(found.text).to.not.include('eyJ');
    },
  );

  it(verifies('ADM-1', 'ADM-2')('an address alone leads to the rest, for whoever may ask'), async () => {
    const [replica] = setting.mesh.replicas as [Replica];
    const ask = (more: string[] = []) => practice.visit(['--address', replica.grpc, ...more]);
    const found = await ask(['--token-file', 'admin-token']);
    expect(of(found, 'clock')).to.have.length(1);
    expect(found.code).to.equal(0);
    const nobody = await ask();
    expect(of(nobody, 'control-plane')[0]).to.include({ status: 'skipped' });
    expect(of(nobody, 'control-plane')[0]?.remedy).to.include('--token-file');
    expect(nobody.code).to.equal(0);
    const caller = await ask(['--token-file', 'caller-token']);
    expect(of(caller, 'control-plane')[0]).to.include({ status: 'failed' });
    expect(of(caller, 'control-plane')[0]?.detail).to.include('no admin role');
    expect(caller.code).to.equal(1);
    const [port] = await freePorts(1);
    const gone = await practice.visit(['--address', `127.0.0.1:${port}`]);
    expect(of(gone, 'control-plane')[0]?.detail).to.match(/^nobody answers: .*ECONNREFUSED/);
    const far = await practice.visit(['--address', '192.0.2.1:4290', '--token-file', 'admin-token']);
    expect(of(far, 'control-plane')[0]?.detail).to.include('under TLS only');
  });

  it('a sidecar that no replica takes, whose token has ended, or whose file is wrong', async () => {
    const [port, mcp, ops] = await freePorts(3);
    const listen = { mcp: `127.0.0.1:${mcp}`, ops: `127.0.0.1:${ops}` };
    const lost = { listen, controlPlane: { addresses: [`127.0.0.1:${port}`] } };
    const look = async (config: object) => {
      await practice.write('other.json', config);
      return practice.visit(['--sidecar-config', 'other.json']);
    };
    const away = await look(lost);
    expect(of(away, 'control-plane')[0]?.detail).to.match(/^no mesh stream \(UNAVAILABLE\): /);
    expect(of(away, 'sidecar')[0]).to.include({ status: 'skipped' });
    expect(away.code).to.equal(1);

    await practice.write('old-token', setting.token({ exp: 1_000_000_000 }));
    const token = { token: { file: 'old-token' }, allowSharedLoopback: true };
    const expired = await look({ listen, controlPlane: addresses(), ...token });
    expect(of(expired, 'token')[0]).to.include({ status: 'failed', detail: 'the token has expired' });
    expect(of(expired, 'token')[0]?.remedy).to.include('renew');
    const none = await look({ listen, controlPlane: addresses(), ...token, token: { file: 'no-token' } });
    expect(of(none, 'token')[0]).to.include({ status: 'failed', detail: 'there is no usable token' });

    const wrong = await look({ ...lost, virtualserver: 'default' });
    expect(of(wrong, 'configuration')[0]?.detail).to.include('virtualServer');
    expect(wrong.code).to.equal(1);
  });

  it('a replica that is drained, and a backend that fails there', async () => {
    const args = ['--address', setting.mesh.replicas[0]?.grpc ?? '', '--token-file', 'admin-token'];
    const drained = await practice.run(['replicas', 'drain', 'b', ...args]);
    expect(drained.code).to.equal(0);
    const found = await practice.visit(args);
    expect(of(found, 'control-plane').find(({ status }) => status === 'warning')).to.include({
      of: 'replicas/b',
      remedy: 'outrigger replicas undrain b',
    });
    expect((await practice.run(['replicas', 'undrain', 'b', ...args])).code).to.equal(0);
    await setting.whole();

    const { client } = await setting.open();
    await setting.backend.stop();
    await until('the replica knows', async () => {
      await client.call('echo', { text: 'x' });
      return of(await practice.visit(args), 'backend').length > 0;
    });
    const failing = await practice.visit(args);
    expect(of(failing, 'backend')[0]?.detail).to.match(/^it fails at replica [ab]: /);
    expect(failing.code).to.equal(1);
  });

  const addresses = () => ({ addresses: setting.mesh.replicas.map(({ grpc }) => grpc) });
});

describe('outrigger doctor, beside a sidecar with certificates', function () {
  this.timeout(60_000);

  it(verifies('G10')('finds what is wrong with them, and who is refused for whose'), async () => {
    await using practice = await Practice.open();
    const clients = [{ id: 'spiffe://mesh.example/ns/red/sa/*' }];
    await using backend = await RecordingBackend.start({});
    const tls = { ca: 'ca.crt', cert: 'replica.crt', key: 'all.key', clients };
    await using mesh = await startMesh({
      anonymous: true,
      config: { listen: { grpc: { tls } }, mcpServers: { tools: { url: backend.url } } },
      files: { 'ca.crt': AUTHORITY, 'replica.crt': REPLICA, 'all.key': KEY, 'agent.crt': AGENT },
      sidecarConfig: { controlPlane: { addresses: ['127.0.0.1:1'], tls: tlsOf('agent.crt') } },
    });
    await practice.write('ca.crt', AUTHORITY);
    await practice.write('all.key', KEY);
    const look = async (certificate: string) => {
      await practice.write('agent.crt', certificate);
      const controlPlane = { addresses: mesh.replicas.map(({ grpc }) => grpc), tls: tlsOf('agent.crt') };
      const [mcp, ops] = await freePorts(2);
      const listen = { mcp: `127.0.0.1:${mcp}`, ops: `127.0.0.1:${ops}` };
      await practice.write('sidecar.yaml', { controlPlane, listen });
      return practice.visit();
    };
    const good = await look(AGENT);
    expect(of(good, 'certificates')[0]?.detail).to.match(
      /^spiffe:\/\/mesh\.example\/ns\/red\/sa\/\S+, valid until 2\d{3}-/,
    );
    expect(of(good, 'control-plane')[0]).to.include({ status: 'ok', detail: 'replica a takes this sidecar' });
    expect(good.code, JSON.stringify(good.findings)).to.equal(0);
    const blue = await look(BLUE_AGENT);
    expect(of(blue, 'control-plane')[0]?.detail).to.include('PERMISSION_DENIED');
    expect(of(blue, 'control-plane')[0]?.remedy).to.include('clients');
    const expired = await look(EXPIRED_AGENT);
    expect(of(expired, 'certificates')[0]?.detail).to.match(/^expired on /);
    expect(expired.code).to.equal(1);
  });
});

function tlsOf(cert: string): object {
  const serverId = 'spiffe://mesh.example/ns/outrigger/sa/control-plane';
  return { ca: 'ca.crt', cert, key: 'all.key', serverId };
}
