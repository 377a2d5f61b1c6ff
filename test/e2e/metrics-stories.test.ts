import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { granted } from '../support/lists.ts';
import { McpClient } from '../support/mcp-client.ts';
import { type Mesh, type Replica, startMesh } from '../support/mesh.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { metric, until } from '../support/story.ts';

/** One replica, one sidecar, one backend; and what both count of what happens. */
describe('what happens, in numbers', function () {
  this.timeout(40_000);
  let backend: RecordingBackend;
  let mesh: Mesh;
  let replica: Replica;

  before(async () => {
    backend = await RecordingBackend.start({ tools: [{ name: 'echo' }] });
    mesh = await startMesh({ anonymous: true, config: { mcpServers: { tools: { url: backend.url } } } });
    const [only] = mesh.replicas;
    if (only === undefined) throw new Error('no replica');
    replica = only;
  });
  after(async () => {
    await mesh[Symbol.asyncDispose]();
    await backend[Symbol.asyncDispose]();
  });

  /** What an action adds to the samples of this name, at the replica or the sidecar. */
  async function added(
    counts: Readonly<Record<string, string>>,
    action: () => Promise<unknown>,
  ): Promise<Record<string, number>> {
    const look = () =>
      Promise.all(
        Object.values(counts).map((sample) =>
          value(sample.startsWith('outrigger_sidecar_') ? mesh.sidecar : replica, sample),
        ),
      );
    const before = await look();
    await action();
    const after = await look();
    return Object.fromEntries(
      Object.keys(counts).map((name, at) => [name, (after[at] ?? 0) - (before[at] ?? 0)]),
    );
  }

  it(
    verifies('OBS-1')(
      'a call is counted and timed by both programs, and one that the mesh refuses by its reason',
    ),
    async () => {
      const client = await McpClient.open({ url: mesh.url });
      // The first one reads the backend's list too.
      await client.call('echo');
      const counts = {
        sidecar: 'outrigger_sidecar_exchanges_total{kind="message",outcome="json"}',
        timed: 'outrigger_sidecar_exchange_seconds_count{kind="message"}',
        replica: 'outrigger_exchange_seconds_count{kind="message",outcome="answered"}',
        backend: 'outrigger_backend_call_seconds_count{backend="tools",outcome="ok"}',
        errors: 'outrigger_request_errors_total{reason="invalid_params"}',
      };
      expect(await added(counts, () => client.call('echo'))).to.deep.equal({
        sidecar: 1,
        timed: 1,
        replica: 1,
        backend: 1,
        errors: 0,
      });
      expect(await added(counts, () => client.call('nobody-has-this'))).to.deep.include({
        errors: 1,
        backend: 0,
      });
    },
  );

  it('a request for no session fails at the replica, under its reason', async () => {
    const stranger = new McpClient({ url: mesh.url });
    stranger.sessionId = `${'A'.repeat(32)}.${'A'.repeat(43)}`;
    const counts = {
      sidecar: 'outrigger_sidecar_exchanges_total{kind="message",outcome="session_not_found"}',
      replica: 'outrigger_exchange_seconds_count{kind="message",outcome="session_not_found"}',
    };
    const ask = async () => expect((await stranger.request('tools/list')).status).to.equal(404);
    expect(await added(counts, ask)).to.deep.equal({ sidecar: 1, replica: 1 });
  });

  it('who only listens counts when the stream begins, once', async () => {
    const client = await McpClient.open({ url: mesh.url });
    const counts = {
      began: 'outrigger_exchange_seconds_count{kind="listen",outcome="answered"}',
      left: 'outrigger_exchange_seconds_count{kind="listen",outcome="detached"}',
    };
    const listenAndLeave = async () => {
      const listening = await client.listen();
      await until(
        'it is open',
        async () => (await metric(mesh.sidecar, 'outrigger_sidecar_event_streams_open')) === 1,
      );
      listening.drop();
      await until('it is gone', async () => (await metric(replica, 'outrigger_exchanges')) === 0);
    };
    expect(await added(counts, listenAndLeave)).to.deep.equal({ began: 1, left: 0 });
  });

  it('a session is counted when it begins and when it ends, and so is what the store did for it', async () => {
    const counts = {
      created: 'outrigger_sessions_created_total',
      ended: 'outrigger_sessions_ended_total{reason="closed"}',
      stored: 'outrigger_store_operation_seconds_count{operation="create",outcome="ok"}',
    };
    const live = async () => {
      const client = await McpClient.open({ url: mesh.url });
      expect((await client.end()).status).to.equal(200);
    };
    expect(await added(counts, live)).to.deep.equal({ created: 1, ended: 1, stored: 1 });
  });

  it(
    verifies('CAP-1')(
      'how long a sidecar takes to have what a backend changed is measured, where somebody reads along',
    ),
    async () => {
      const client = await McpClient.open({ url: mesh.url });
      const listening = await client.listen();
      await granted(client, mesh.sidecar);
      const converged = () => metric(replica, 'outrigger_capability_convergence_seconds_count');
      const before = await converged();
      backend.script({ tools: [{ name: 'echo' }, { name: 'count' }] });
      backend.push({ method: 'notifications/tools/list_changed' });
      await until('the sidecar has it', async () => (await converged()) === before + 1);
      listening.drop();
      expect(await value(replica, 'outrigger_capability_lists{state="SYNCED"}')).to.be.at.least(1);
      expect(await value(replica, 'outrigger_capability_lists{state="NACKED"}')).to.equal(0);
    },
  );
});

async function value(from: { readonly ops: string }, sample: string): Promise<number> {
  const text = await (await fetch(`${from.ops}/metrics`, { signal: AbortSignal.timeout(2_000) })).text();
  const line = text.split('\n').find((each) => each.startsWith(`${sample} `));
  return Number(line?.slice(sample.length + 1) ?? 0);
}
