import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { type CountingBackend, startCountingBackend } from '../support/counting-backend.ts';
import { McpClient, type Reply } from '../support/mcp-client.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import { metric, until } from '../support/story.ts';

const SESSIONS = 600;
const OPENED_AT_ONCE = 32;
const STORM = { handshakes: { atOnce: 8, perSecond: 150 }, restoresAtOnce: 32 };
const CALM = { handshakes: { atOnce: 64, perSecond: 10_000 }, restoresAtOnce: 64 };

describe('a herd of sessions that come back', function () {
  this.timeout(120_000);
  let backend: CountingBackend;
  let mesh: Mesh;

  const config = ({ handshakes, restoresAtOnce }: typeof CALM) => ({
    mcpServers: { counting: { url: backend.url, handshakes } },
    virtualServers: { default: { naming: { mode: 'none' } } },
    limits: {
      anonymousPerSidecar: SESSIONS,
      initializePerMinute: 100_000,
      initializeBurst: SESSIONS,
      restoresAtOnce,
    },
  });

  before(async () => {
    backend = await startCountingBackend();
    mesh = await startMesh({ sidecars: 3, config: config(CALM), anonymous: true, logLevel: 'warn' });
  });
  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
    await backend[Symbol.asyncDispose]();
  });

  it(
    verifies('C8')('is restored in turns, its backend is opened no faster than it may, and nobody is lost'),
    async () => {
      const clients = await openAll();
      const [replica] = mesh.replicas;
      if (replica === undefined) throw new Error('no replica');
      await mesh.configure(config(STORM));
      await replica.kill('SIGKILL');
      backend.forget();
      await replica.start();
      const calls = clients.map((client) => served(client));
      await until(
        'some wait',
        async () => (await metric(replica, 'outrigger_backend_handshakes_waiting')) > 0,
      );
      const replies = await Promise.all(calls);
      expect(replies.filter(({ answer }) => answer?.result === undefined)).to.deep.equal([]);
      expect(backend.mostAtOnce).to.be.at.most(STORM.handshakes.atOnce);
      expect(fastest(backend.handshakes)).to.be.at.most(2 * STORM.handshakes.perSecond);
      expect(backend.handshakes.length).to.be.at.least(SESSIONS);
    },
  );

  async function openAll(): Promise<McpClient[]> {
    const clients: McpClient[] = [];
    let next = 0;
    const openSome = async () => {
      for (let at = next++; at < SESSIONS; at = next++)
        clients.push(await McpClient.open({ url: mesh.urls[at % mesh.urls.length] ?? mesh.url }));
    };
    await Promise.all(Array.from({ length: OPENED_AT_ONCE }, openSome));
    return clients;
  }
});

/** Calls until it is not told to come back later. */
async function served(client: McpClient): Promise<Reply> {
  for (;;) {
    const reply = await client.call('echo');
    const { retryable } = (reply.answer?.error?.data ?? {}) as { retryable?: boolean };
    if (retryable !== true) return reply;
    await sleep(1_000 * Number(reply.headers['retry-after'] ?? 1));
  }
}

/** The most that began within any second. */
function fastest(times: readonly number[]): number {
  return Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + 1_000).length));
}
