import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { McpClient } from '../support/mcp-client.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { TestProcess } from '../support/process.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { until } from '../support/story.ts';

const OURS = /^[0-9a-f]{16}-[0-9a-z]{7}$/;

describe('the id of a request', () => {
  let mesh: Mesh;
  let backend: RecordingBackend;
  let client: McpClient;

  before(async () => {
    backend = await RecordingBackend.start({});
    mesh = await startMesh({
      anonymous: true,
      logLevel: 'debug',
      config: { mcpServers: { rec: { url: backend.url } } },
    });
    client = await McpClient.open({ url: mesh.url });
  });
  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
    await backend?.stop();
  });

  function named(id: string, headers: Readonly<Record<string, string>> = {}): McpClient {
    const shows = () => ({ 'x-request-id': id, ...headers });
    return client.alias({ shows, token: 'unused' });
  }

  function atBackend(): string | undefined {
    const { headers } = backend.view.requests({ rpc: 'tools/call' }).at(-1) ?? {};
    return headers?.['x-request-id'] as string | undefined;
  }

  async function logged(program: TestProcess, id: string): Promise<Record<string, unknown>> {
    const find = () => program.log().find((line) => line.includes(`"request":"${id}"`));
    await until(`${program.name} speaks of ${id}`, () => find() !== undefined);
    return JSON.parse(find() ?? '') as Record<string, unknown>;
  }

  it(verifies('OBS-1')('is one from the agent to the backend, in both logs'), async () => {
    await named('trip-42').call('echo');
    expect(atBackend()).to.equal('trip-42');
    const [replica] = mesh.replicas;
    if (replica === undefined) throw new Error('no replica');
    for (const program of [mesh.sidecar, replica]) {
      expect(await logged(program, 'trip-42')).to.include({
        msg: 'an exchange ended',
        method: 'tools/call',
        reason: 'answered',
      });
    }
    expect((await logged(replica, 'trip-42'))['session']).to.match(/^[a-z2-7]{26}$/);
  });

  it(verifies('OBS-1')('is in the error that answers it, whoever met it'), async () => {
    expect((await named('trip-43').call('no-such-tool')).requestId).to.equal('trip-43');

    const stranger = named('trip-44');
    stranger.sessionId = 'a'.repeat(64);
    const unknown = await stranger.call('echo');
    expect(unknown.status).to.equal(404);
    expect(unknown.requestId).to.equal('trip-44');
    expect(unknown.headers['x-request-id']).to.equal('trip-44');
    expect(await logged(mesh.sidecar, 'trip-44')).to.include({ reason: 'session_not_found' });
  });

  it(
    verifies('OBS-1')('is made here where a client brings none, or one that cannot be written anywhere'),
    async () => {
      const seen = new Set<string | undefined>();
      for (const id of ['', 'with space', 'a'.repeat(64), '-x', 'é']) {
        await named(id).call('echo');
        expect(atBackend(), id).to.match(OURS);
        seen.add(atBackend());
      }
      await client.call('echo');
      expect(atBackend()).to.match(OURS);
      seen.add(atBackend());
      expect(seen.size).to.equal(6);
    },
  );
});
