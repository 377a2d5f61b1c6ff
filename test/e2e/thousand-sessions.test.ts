import { request } from 'node:http';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { type HeapProbe, heapProbe } from '../support/heap.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import type { McpClient } from '../support/mcp-client.ts';
import { type Stage, startStage, until } from '../support/stage.ts';

const SESSIONS = 1_000;
/** What the program makes once and keeps is made by the first of them. */
const FIRST = 100;
const CONTEXTS = 4;
const BACKENDS = ['alpha', 'beta', 'gamma', 'delta', 'epsilon'];
const TOOLS = 14;
const MOST_BYTES = 64 * 1024;
const AT_ONCE = 16;
const CHANGED = 'notifications/tools/list_changed';

const tools = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    name: `tool-${n}`,
    definition: { description: 'Does what its name says. '.repeat(8) },
  }));

describe('a thousand sessions of one replica', function () {
  this.timeout(300_000);
  let issuer: TestIssuer;
  let probe: HeapProbe;
  let stage: Stage;
  const clients: McpClient[] = [];
  const hangUps: (() => void)[] = [];
  let told = 0;

  before(async () => {
    issuer = await startIssuer();
    probe = await heapProbe();
    stage = await startStage({
      backends: Object.fromEntries(BACKENDS.map((name) => [name, { tools: tools(TOOLS) }])),
      identity: {
        issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audiences: [issuer.audience] }],
      },
      limits: { sessionsPerPrincipal: SESSIONS, initializePerMinute: 100_000, initializeBurst: SESSIONS },
      env: probe.env,
    });
  });
  after(async () => {
    for (const hangUp of hangUps) hangUp();
    await stage[Symbol.asyncDispose]();
    await Promise.all([probe[Symbol.asyncDispose](), issuer[Symbol.asyncDispose]()]);
  });

  const alpha = () => stage.backend('alpha');
  const reads = () => alpha().view.requests({ rpc: 'tools/list' }).length;

  /** Opens sessions until there are so many, each with its list of 70 tools and a stream from every backend. */
  async function openUpTo(count: number, tokens: readonly string[]): Promise<void> {
    let next = clients.length;
    const openSome = async () => {
      for (let at = next++; at < count; at = next++) {
        const client = await stage.open({ token: tokens[at % CONTEXTS] });
        const list = await client.request('tools/list');
        const { tools: seen } = (list.answer?.result ?? {}) as { tools?: unknown[] };
        expect(seen).to.have.lengthOf(BACKENDS.length * TOOLS);
        listen(client);
        clients.push(client);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, openSome));
    for (const name of BACKENDS) await stage.backend(name).listeners(count);
  }

  /** Counts what it hears and keeps nothing of it. */
  function listen(client: McpClient): void {
    const get = request(client.url, { headers: client.headers(), agent: false });
    get.on('error', () => {});
    get.on('response', (response) => {
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        told += text.split(CHANGED).length - 1;
      });
    });
    get.end();
    hangUps.push(() => get.destroy());
  }

  it(
    verifies('AGG-10')('64 KiB each at most, all listening; a list that changes for all is read for a few'),
    async () => {
      const [replica] = stage.mesh.replicas;
      if (replica === undefined) throw new Error('no replica');
      const tokens = Array.from({ length: CONTEXTS }, (_, n) => issuer.token({ sub: `caller-${n}` }));
      await openUpTo(FIRST, tokens);
      const before = await probe.held(replica);
      await openUpTo(SESSIONS, tokens);
      const each = ((await probe.held(replica)) - before) / (SESSIONS - FIRST);
      expect(each).to.be.below(MOST_BYTES);

      // Once when it was asked for, and once when its changes began to be heard.
      await until('what was read is read', () => reads() >= 2 * SESSIONS, 60_000);
      const readBefore = reads();
      alpha().script({ tools: tools(TOOLS + 1) });
      alpha().push({ method: CHANGED });
      await until('all were told', () => told >= SESSIONS, 60_000);
      expect(told).to.equal(SESSIONS);
      // Where the storm itself takes longer than a burst may wait, a context is read for once more.
      expect(reads() - readBefore).to.be.within(CONTEXTS, 3 * CONTEXTS);
    },
  );
});
