import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { expect } from 'chai';
import { MeshCredentials } from '../../control-plane/rpc/mesh-credentials.ts';
import type { WorkloadRules } from '../../control-plane/rpc/workload.ts';
import type { Certificates } from '../../shared/config/certificates.ts';
import { createLogger, silentLogger } from '../../shared/log.ts';
import { type TlsFiles, TlsFromFiles } from '../../sidecar/mesh/channel-security.ts';
import { verifies } from '../requirements.ts';
import { AUTHORITY, ELSEWHERE, KEY, VALID } from '../support/certificates.ts';
import {
  AGENT,
  AGENT_RENEWED,
  BLUE_AGENT,
  EXPIRED_AGENT,
  OTHER_AUTHORITY,
  OTHER_KEY,
  REPLICA,
  REPLICA_BY_ID,
  REPLICA_RENEWED,
  STRANGER,
  TWO_IDS,
} from '../support/mesh-certificates.ts';
import {
  connected,
  send,
  startClient,
  startReplica,
  type TestReplica,
  until,
} from '../support/mesh-stream.ts';

const RED = 'spiffe://mesh.example/ns/red/sa/agent';
const CONTROL_PLANE = 'spiffe://mesh.example/ns/outrigger/sa/control-plane';

/** A replica whose rules and certificates the story changes. */
async function secureReplica(cert: string, rules: WorkloadRules = { clients: undefined }) {
  const credentials = new MeshCredentials({ cert, key: KEY, ca: AUTHORITY });
  const state = { rules };
  const replica = await startReplica({ credentials, workloads: () => state.rules });
  return Object.assign(replica, { credentials, state });
}

/** Certificates in files, as a sidecar has them, and what it says of them. */
class Holder implements AsyncDisposable {
  readonly #folder: string;
  readonly #security: TlsFromFiles[] = [];
  readonly lines: string[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async of(cert: string, key = KEY, ca = AUTHORITY): Promise<Holder> {
    const holder = new Holder(await mkdtemp(join(tmpdir(), 'outrigger-tls-')));
    await holder.write({ cert, key, ca });
    return holder;
  }

  async write(certificates: Partial<Certificates>): Promise<void> {
    for (const [part, text] of Object.entries(certificates)) {
      await writeFile(join(this.#folder, `.${part}`), text);
      await rename(join(this.#folder, `.${part}`), join(this.#folder, part));
    }
  }

  security(names: Partial<Omit<TlsFiles, 'files'>> = {}): TlsFromFiles {
    const at = (part: string) => join(this.#folder, part);
    const log = createLogger({ format: 'json', destination: { write: (line) => this.lines.push(line) } });
    const files = { cert: at('cert'), key: at('key'), ca: at('ca') };
    const security = new TlsFromFiles({ files, serverName: undefined, serverId: undefined, ...names }, log);
    this.#security.push(security);
    return security;
  }

  said(event: string): boolean {
    return this.lines.some((line) => line.includes(event));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const security of this.#security) security.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Why the sidecar has no stream: what its log says of the attempt. */
async function refusal(replica: TestReplica, holder: Holder, names: Partial<Omit<TlsFiles, 'files'>> = {}) {
  const lines: string[] = [];
  const log = createLogger({ format: 'json', destination: { write: (line) => lines.push(line) } });
  await using client = startClient([replica.address], { security: holder.security(names), log });
  await until(() => lines.some((line) => line.includes('"status"')) || client.connected);
  expect(client.connected).to.equal(false);
  const line = lines.find((each) => each.includes('"status"'));
  return JSON.parse(line ?? '{}') as { status: string; detail: string };
}

describe('the mesh stream over TLS', () => {
  it(verifies('G10')('both ends prove who they are, and a call crosses'), async () => {
    await using replica = await secureReplica(REPLICA);
    await using holder = await Holder.of(AGENT);
    await using client = startClient([replica.address], { security: holder.security() });
    await connected(client);
    expect((await send(client, 'hello').answered).text).to.equal('hello');
    expect(replica.server.streams()[0]).to.include({ node: 'node-1', workload: RED });
  });

  it(
    verifies('G10')('whoever shows no certificate of ours, or none with one SPIFFE id, is UNAUTHENTICATED'),
    async () => {
      await using replica = await secureReplica(REPLICA);
      const shown = [
        ['an authority that is not ours', STRANGER, OTHER_KEY],
        ['no SPIFFE id', VALID, KEY],
        ['two of them', TWO_IDS, KEY],
        ['one that ended', EXPIRED_AGENT, KEY],
      ] as const;
      for (const [what, cert, key] of shown) {
        await using holder = await Holder.of(cert, key);
        expect(await refusal(replica, holder), what).to.include({ status: 'UNAUTHENTICATED' });
      }
      expect(replica.server.streams()).to.deep.equal([]);
    },
  );

  it(
    verifies('G10')('a sidecar of one team gets no virtual server of another, whatever it says in Hello'),
    async () => {
      const clients = [
        { id: 'spiffe://mesh.example/ns/red/*', virtualServers: ['red'] },
        { id: 'spiffe://mesh.example/ns/green/sa/agent' },
      ];
      await using replica = await secureReplica(REPLICA, { clients });
      await using red = await Holder.of(AGENT);
      await using blue = await Holder.of(BLUE_AGENT);
      await using served = startClient([replica.address], { security: red.security(), virtualServer: 'red' });
      await connected(served);
      expect(await refusal(replica, red)).to.include({ status: 'PERMISSION_DENIED' });
      expect(await refusal(replica, blue)).to.include({ status: 'PERMISSION_DENIED' });
      expect(replica.server.streams()).to.have.length(1);
    },
  );

  it('a workload that the configuration serves no more loses its stream', async () => {
    await using replica = await secureReplica(REPLICA);
    await using holder = await Holder.of(AGENT);
    await using client = startClient([replica.address], { security: holder.security() });
    await connected(client);
    replica.state.rules = { clients: [{ id: 'spiffe://mesh.example/ns/blue/*' }] };
    replica.server.renew();
    await until(() => replica.server.streams().length === 0 && !client.connected);
  });

  it('a replica of another name, another id or another authority is not talked to', async () => {
    await using holder = await Holder.of(AGENT);
    await using believer = await Holder.of(AGENT, KEY, OTHER_AUTHORITY);
    await using elsewhere = await secureReplica(ELSEWHERE);
    await using replica = await secureReplica(REPLICA);
    expect((await refusal(elsewhere, holder)).status).to.equal('UNAVAILABLE');
    expect((await refusal(replica, holder, { serverName: 'other.example' })).status).to.equal('UNAVAILABLE');
    expect((await refusal(replica, holder, { serverId: `${CONTROL_PLANE}-2` })).status).to.equal(
      'UNAVAILABLE',
    );
    expect((await refusal(replica, believer)).status).to.equal('UNAVAILABLE');
    expect([...elsewhere.arrived, ...replica.arrived]).to.deep.equal([]);
  });

  it('a replica may be known by its SPIFFE id, wherever it is', async () => {
    await using replica = await secureReplica(REPLICA_BY_ID);
    await using holder = await Holder.of(AGENT);
    await using client = startClient([replica.address], {
      security: holder.security({ serverId: CONTROL_PLANE }),
    });
    await connected(client);
  });

  it('plain text and older TLS get nothing', async () => {
    await using replica = await secureReplica(REPLICA);
    await using plain = startClient([replica.address]);
    const older = await new Promise((resolve) => {
      const socket = connectTls({
        port: replica.port,
        ca: AUTHORITY,
        maxVersion: 'TLSv1.2',
        host: 'localhost',
      });
      socket.on('secureConnect', () => resolve('connected'));
      socket.on('error', () => resolve('refused'));
    });
    expect(older).to.equal('refused');
    expect(plain.connected).to.equal(false);
    expect(replica.server.streams()).to.deep.equal([]);
  });

  it('certificates are replaced at both ends under a stream that stands', async () => {
    await using replica = await secureReplica(REPLICA);
    await using holder = await Holder.of(AGENT);
    const security = holder.security();
    await using client = startClient([replica.address], { security });
    await connected(client);

    replica.credentials.prepare({ cert: REPLICA_RENEWED, key: KEY, ca: AUTHORITY })();
    await holder.write({ cert: AGENT_RENEWED });
    await until(() => holder.said('certificates_renewed'));
    expect((await send(client, 'as before').answered).text).to.equal('as before');
    expect(replica.server.streams()).to.have.length(1);

    await using later = startClient([replica.address], { security, node: 'node-2' });
    await connected(later);
    expect(await certificateAt(replica)).to.equal('replica-renewed');
  });

  it('half of a new pair, or none, leaves the old one in use, and the whole one counts', async () => {
    await using replica = await secureReplica(REPLICA);
    await using holder = await Holder.of(AGENT);
    const security = holder.security();
    await holder.write({ cert: STRANGER });
    await until(() => holder.said('certificates_rejected'));
    await using client = startClient([replica.address], { security });
    await connected(client);
    await holder.write({ key: OTHER_KEY });
    await until(() => holder.said('certificates_renewed'));
    await using stranger = startClient([replica.address], { security, node: 'node-2', log: silentLogger });
    await until(() => !stranger.connected);
    const line = holder.lines.find((each) => each.includes('certificates_rejected')) ?? '';
    expect(line).to.contain('this key is not that of the certificate').and.not.contain(KEY.split('\n')[1]);
  });

  it('certificates that cannot be used are refused before anything changes', async () => {
    await using replica = await secureReplica(REPLICA);
    expect(() => replica.credentials.prepare({ cert: REPLICA, key: OTHER_KEY, ca: AUTHORITY })).to.throw();
    await using holder = await Holder.of(AGENT);
    await using client = startClient([replica.address], { security: holder.security() });
    await connected(client);
    await using empty = await Holder.of('nothing');
    expect(() => empty.security()).to.throw('expected a certificate in PEM');
  });
});

/** The common name of the certificate that new connections see. */
function certificateAt({ port }: TestReplica): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: 'localhost', ca: AUTHORITY }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}
