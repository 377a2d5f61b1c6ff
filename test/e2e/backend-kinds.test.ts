import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { LegacySseBackend } from '../support/legacy-sse-backend.ts';
import { McpClient, type Reply, reasonOf, textOf } from '../support/mcp-client.ts';
import { freePorts } from '../support/ports.ts';
import { metric, type Stage, startStage, until } from '../support/stage.ts';

const dataOf = (reply: Reply) => reply.answer?.error?.data;
const metaOf = (reply: Reply) =>
  ((reply.answer?.result ?? {}) as { _meta?: Record<string, unknown> })._meta ?? {};

describe('Backends of every kind in one session', function () {
  this.timeout(30_000);
  let stage: Stage;
  let old: LegacySseBackend;
  let client: McpClient;

  before(async () => {
    old = await LegacySseBackend.start();
    const [nobody = 0] = await freePorts(1);
    stage = await startStage({
      replicas: 2,
      backends: { plain: {}, narrow: {}, hasty: {} },
      entries: {
        narrow: { limits: { concurrency: 1, queue: 0 } },
        hasty: { timeouts: { request: '200ms' } },
      },
      more: {
        old: { url: old.url, type: 'sse' },
        dead: { url: `http://127.0.0.1:${nobody}/mcp`, breaker: { failures: 2, open: '1m' } },
      },
    });
  });
  after(async () => {
    await stage[Symbol.asyncDispose]();
    await old[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    client = await stage.open({ capabilities: { roots: {} } });
  });

  it(
    verifies('B1', 'AGG-6')('initialize names the one that is not there, and the others serve'),
    async () => {
      const reply = await new McpClient({ url: stage.mesh.url }).initialize();
      const missing = metaOf(reply)['dev.outrigger/backends'] as Record<
        string,
        { status: string; reason: string }
      >;
      expect(Object.keys(missing)).to.deep.equal(['dead']);
      expect(missing['dead']).to.include({ status: 'unavailable', reason: 'backend_unavailable' });
      expect(textOf(await client.call('plain__echo', { n: 1 }))).to.equal('{"n":1}');
      const refused = await client.call('dead__echo');
      expect(refused.answer?.error?.code).to.equal(-32603);
      expect(reasonOf(refused)).to.equal('backend_unavailable');
    },
  );

  it(
    verifies('B1')('one that keeps failing is left alone: callers hear for how long, operators see it'),
    async () => {
      await until('the breaker opened', async () => (await openBreakers()) === 1);
      const { reason, backend, retryAfterMs } = dataOf(await client.call('dead__echo')) as Record<
        string,
        unknown
      >;
      expect({ reason, backend }).to.deep.equal({ reason: 'backend_unavailable', backend: 'dead' });
      expect(retryAfterMs).to.be.within(1, 60_000);
      const said = stage.mesh
        .log()
        .filter((line) => line.includes('"backend":"dead"') && line.includes('"open"'));
      expect(said).to.have.lengthOf(1);
    },
  );

  it(verifies('BACK-10')('a legacy HTTP+SSE server lists, answers, and asks its client'), async () => {
    expect(textOf(await client.call('old__echo', { n: 1 }))).to.equal('{"n":1}');
    const asking = client.beginCall('old__ask');
    const question = await asking.message('roots/list');
    await client.send({ jsonrpc: '2.0', id: question.id, result: { roots: [] } }).reply();
    expect(textOf(await asking.reply())).to.equal('{"roots":[]}');
  });

  it(
    verifies(
      'BACK-6',
      'B3',
    )('one that limits the rate, or refuses, says so to that caller, with its Retry-After'),
    async () => {
      const plain = stage.backend('plain');
      const challenge = { 'www-authenticate': 'Bearer resource_metadata="http://169.254.169.254/"' };
      plain.next('tools/call', { status: 429, headers: { 'retry-after': '7' } });
      const limited = await client.call('plain__echo');
      expect(limited.status).to.equal(200);
      expect(dataOf(limited)).to.deep.equal({
        reason: 'backend_busy',
        retryable: true,
        backend: 'plain',
        retryAfterMs: 7_000,
      });
      for (const status of [401, 403]) {
        plain.next('tools/call', { status, headers: challenge });
        const refused = await client.call('plain__echo');
        expect(refused.status).to.equal(200);
        expect(refused.headers['www-authenticate']).to.equal(undefined);
        expect(refused.answer?.error?.code).to.equal(-32000);
        expect(dataOf(refused)).to.deep.equal({
          reason: 'backend_unauthorized',
          retryable: false,
          backend: 'plain',
        });
      }
      expect(textOf(await (await stage.open()).call('plain__echo'))).to.equal('{}');
      expect(textOf(await client.call('plain__echo'))).to.equal('{}');
      expect(plain.view.initialises).to.be.greaterThan(0);
    },
  );

  it('one that may run so many calls refuses the next at once', async () => {
    const narrow = stage.backend('narrow');
    const held = narrow.hold('tools/call');
    const first = client.call('narrow__echo');
    await held.arrived;
    const second = await client.call('narrow__echo');
    expect(dataOf(second)).to.deep.equal({ reason: 'backend_busy', retryable: true, backend: 'narrow' });
    expect(textOf(await client.call('plain__echo'))).to.equal('{}');
    held.release();
    expect(textOf(await first)).to.equal('{}');
    expect(narrow.view.executionsOf('echo')).to.equal(1);
  });

  it(
    verifies('RPC-6')('one with a time of its own is told when it is over, and the others keep theirs'),
    async () => {
      const hasty = stage.backend('hasty');
      const [late, patient] = await Promise.all([
        client.call('hasty__slow', { ms: 2_000 }),
        client.call('plain__slow', { ms: 500 }),
      ]);
      expect(dataOf(late)).to.deep.include({ reason: 'backend_timeout', backend: 'hasty' });
      expect(textOf(patient)).to.equal('slept');
      await hasty.seen({ rpc: 'notifications/cancelled' });
    },
  );

  it(
    verifies('BACK-10')(
      'a legacy HTTP+SSE server loses its session with the replica, and the result says so',
    ),
    async () => {
      expect(metaOf(await client.call('old__echo'))['dev.outrigger/backendRestarted']).to.equal(undefined);
      const sessions = await Promise.all(
        stage.mesh.replicas.map((each) => metric(each, 'outrigger_sessions')),
      );
      const owner = stage.mesh.replicas[sessions[0]! > 0 ? 0 : 1]!;
      const streams = old.streams.length;
      await owner.kill('SIGKILL');
      let reply = await client.call('old__echo');
      for (; reply.status === 503; reply = await client.call('old__echo')) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect(textOf(reply)).to.equal('{}');
      expect(metaOf(reply)['dev.outrigger/backendRestarted']).to.equal(true);
      expect(old.streams).to.have.lengthOf(streams + 1);
    },
  );

  async function openBreakers(): Promise<number> {
    let open = 0;
    for (const { ops } of stage.mesh.replicas) {
      const text = await (await fetch(`${ops}/metrics`)).text();
      if (text.includes('outrigger_backend_state{backend="dead",state="open"} 1')) open += 1;
      else expect(text).to.contain('outrigger_backend_state{backend="dead",state="open"} 0');
    }
    return open;
  }
});
