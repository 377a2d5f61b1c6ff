import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { AUTHORITY, KEY } from '../support/certificates.ts';
import { startMesh } from '../support/mesh.ts';
import { AGENT, AGENT_RENEWED, BLUE_AGENT, REPLICA, REPLICA_RENEWED } from '../support/mesh-certificates.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { McpClient, textOf, until } from '../support/story.ts';

const FILES = { 'ca.crt': AUTHORITY, 'replica.crt': REPLICA, 'agent.crt': AGENT, 'all.key': KEY };
const REPLICA_TLS = { ca: 'ca.crt', cert: 'replica.crt', key: 'all.key' };
const CONTROL_PLANE = 'spiffe://mesh.example/ns/outrigger/sa/control-plane';
const RED = { id: 'spiffe://mesh.example/ns/red/sa/*' };

function meshOverTls(backend: RecordingBackend, clients: readonly object[] = [RED]) {
  return startMesh({
    replicas: 2,
    anonymous: true,
    files: FILES,
    config: {
      listen: { grpc: { tls: { ...REPLICA_TLS, clients } } },
      mcpServers: { tools: { url: backend.url } },
    },
    sidecarConfig: {
      controlPlane: {
        addresses: ['127.0.0.1:1'],
        tls: { ca: 'ca.crt', cert: 'agent.crt', key: 'all.key', serverId: CONTROL_PLANE },
      },
    },
  });
}

describe('A mesh over TLS, in whole processes', function () {
  this.timeout(40_000);

  it(
    verifies('G10')('certificates are renewed at both ends, a replica is killed, and the session goes on'),
    async () => {
      await using backend = await RecordingBackend.start({});
      await using mesh = await meshOverTls(backend);
      const client = await McpClient.open({ url: mesh.url });
      expect(textOf(await client.call('count'))).to.equal('1');
      const said = (text: string) => mesh.log().filter((line) => line.includes(text)).length;

      await mesh.write('replica.crt', REPLICA_RENEWED);
      await mesh.write('agent.crt', AGENT_RENEWED);
      await until('both replicas and the sidecar have read them', () => {
        return said('"event":"config_applied"') >= 2 && said('"event":"certificates_renewed"') === 1;
      });
      expect(textOf(await client.call('count'))).to.equal('2');
      expect(said('mesh stream lost')).to.equal(0);

      const [first] = mesh.replicas;
      await first?.restart();
      await until('the sidecar has a stream to it again', () => said('mesh stream open') >= 3);
      expect(textOf(await client.call('count'))).to.equal('3');
      const metrics = await (await fetch(`${mesh.sidecar.ops}/metrics`)).text();
      expect(metrics).to.match(/outrigger_sidecar_certificate_expiry_timestamp_seconds [1-9]\d{9}/);
    },
  );

  it(verifies('G10')('a sidecar that is not served any more loses its stream, and is told why'), async () => {
    await using backend = await RecordingBackend.start({});
    await using mesh = await meshOverTls(backend);
    const client = await McpClient.open({ url: mesh.url });
    await mesh.configure({
      listen: { grpc: { tls: { ...REPLICA_TLS, clients: [{ id: 'spiffe://mesh.example/ns/blue/sa/*' }] } } },
      mcpServers: { tools: { url: backend.url } },
    });
    await until('both replicas refuse it', () => {
      return mesh.replicas.every((replica) =>
        replica.log().some((line) => line.includes('workload_refused')),
      );
    });
    await until('it has no stream', async () => (await client.call('count')).status === 503);
    expect(mesh.sidecar.log().join('\n')).to.contain('PERMISSION_DENIED');

    await mesh.write('agent.crt', BLUE_AGENT);
    await until('it is another one', async () => (await client.call('count')).status === 200);
  });
});
