import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { AUTHORITY, KEY } from '../support/certificates.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { startMesh } from '../support/mesh.ts';
import { REPLICA } from '../support/mesh-certificates.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { McpClient, metric, until } from '../support/story.ts';

const CONTROL_PLANE = 'spiffe://mesh.example/ns/outrigger/sa/control-plane';
const AUDIENCE = 'outrigger-workloads';

/** Sidecars that have no certificate, as a pod has none before somebody issues one. */
describe('sidecars that prove themselves by the token of their workload', function () {
  this.timeout(40_000);
  let issuer: TestIssuer;
  let backend: RecordingBackend;

  before(async () => {
    [issuer, backend] = await Promise.all([startIssuer(), RecordingBackend.start({})]);
  });
  after(() => Promise.all([issuer.stop(), backend.stop()]));

  const tokenOf = (account: string, options: Parameters<TestIssuer['token']>[0] = {}) =>
    issuer.token({ sub: `system:serviceaccount:${account}`, aud: AUDIENCE, ...options });

  const start = (token: string, awaitReady = true) =>
    startMesh({
      anonymous: true,
      awaitReady,
      files: { 'ca.crt': AUTHORITY, 'replica.crt': REPLICA, 'all.key': KEY, 'workload.token': token },
      config: {
        listen: {
          grpc: {
            tls: {
              ca: 'ca.crt',
              cert: 'replica.crt',
              key: 'all.key',
              clients: [{ id: 'spiffe://mesh.example/ns/red/sa/*' }],
              workloadTokens: { issuer: issuer.url, audience: AUDIENCE, trustDomain: 'mesh.example' },
            },
          },
        },
        identity: {
          issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audiences: [issuer.audience] }],
        },
        mcpServers: { tools: { url: backend.url } },
      },
      sidecarConfig: {
        controlPlane: {
          addresses: ['127.0.0.1:1'],
          tls: { ca: 'ca.crt', workloadToken: { file: 'workload.token' }, serverId: CONTROL_PLANE },
        },
      },
    });

  it(verifies('G10')('are served as that workload; the issuer may be away then'), async () => {
    const token = tokenOf('red:agent');
    await using mesh = await start(token);
    const client = await McpClient.open({ url: mesh.url });
    expect((await client.call('count')).status).to.equal(200);
    const [replica] = mesh.replicas;
    issuer.outage('down');
    await mesh.sidecar.restart();
    await until('it is back', async () => (await client.call('count')).status === 200);
    issuer.outage('none');
    expect(mesh.log().join('\n')).to.not.contain(token);
    expect(replica?.log().join('\n')).to.not.contain('workload_refused');
  });

  it(verifies('G10')('and whose token is another’s, for another purpose, or none, are not'), async () => {
    const refused = [
      ['of another team', tokenOf('blue:agent'), 'PERMISSION_DENIED'],
      ['a caller’s', issuer.token({ sub: 'system:serviceaccount:red:agent' }), 'UNAUTHENTICATED'],
      ['over', tokenOf('red:agent', { exp: 1 }), 'UNAUTHENTICATED'],
      ['of no service account', issuer.token({ sub: 'alice', aud: AUDIENCE }), 'UNAUTHENTICATED'],
      ['empty', '', 'UNAUTHENTICATED'],
    ] as const;
    await using mesh = await start(refused[0][1], false);
    for (const [what, token, status] of refused) {
      await mesh.write('workload.token', token);
      const before = mesh.sidecar.log().length;
      await until(`it is refused: ${what}`, () =>
        mesh.sidecar
          .log()
          .slice(before)
          .some((line) => line.includes(status)),
      );
      expect(await metric(mesh.sidecar, 'outrigger_sidecar_mesh_streams'), what).to.equal(0);
    }
    // A token that is renewed is shown with the next stream.
    await mesh.write('workload.token', tokenOf('red:agent'));
    await until('it is served', async () => {
      const ready = await fetch(`${mesh.sidecar.ops}/readyz`);
      return ready.status === 200;
    });
  });
});
