import { expect } from 'chai';
import type { Exchange } from '../../control-plane/rpc/exchange.ts';
import { MeshError } from '../../shared/errors.ts';
import { verifies } from '../requirements.ts';
import { eventually, PING, type RunningEdge, startEdge } from '../support/edge.ts';
import {
  connected,
  startClient,
  startReplica,
  type TestClient,
  type TestReplica,
} from '../support/mesh-stream.ts';

const ANSWER = '{"jsonrpc":"2.0","id":1,"result":{}}';

describe('the edge over a real mesh stream', () => {
  let replica: TestReplica;
  let client: TestClient;
  let edge: RunningEdge;
  let handle: (exchange: Exchange) => void;

  beforeEach(async () => {
    replica = await startReplica({ handle: (exchange) => handle(exchange) });
    client = startClient([replica.address]);
    await connected(client);
    edge = await startEdge({ client });
  });
  afterEach(async () => {
    await edge[Symbol.asyncDispose]();
    await client[Symbol.asyncDispose]();
    await replica[Symbol.asyncDispose]();
  });

  it(
    verifies('HTTP-7', 'HTTP-15')('a request crosses, its answer comes back, with the id of the new session'),
    async () => {
      handle = ({ reply }) => reply.json([Buffer.from(ANSWER)], 'a-new-session');
      const response = await edge.post({ ...PING, method: 'initialize', params: {} });
      expect(response.status).to.equal(200);
      expect(response.headers.get('mcp-session-id')).to.equal('a-new-session');
      expect(await response.text()).to.equal(ANSWER);
    },
  );

  it('a large message and a large answer cross whole, both ways', async () => {
    handle = ({ reply, body }) => reply.json([body]);
    const large = JSON.stringify({ ...PING, params: { text: 'ü'.repeat(700_000) } });
    expect(await (await edge.post(large)).text()).to.equal(large);
  });

  it(
    verifies('HTTP-17', 'HTTP-20')('a stream crosses event by event, and its reader sets the pace'),
    async () => {
      const event = Buffer.from(`{"text":"${'a'.repeat(60_000)}"}`);
      handle = (exchange) => {
        const { reply } = exchange;
        reply.stream();
        reply.event([], 's.1.0', 1_500);
        let sent = 0;
        exchange.onDrain = () => {
          while (sent < 50) {
            sent += 1;
            if (!reply.event([event], `s.1.${sent}`)) return;
          }
          reply.end(200);
        };
        exchange.onDrain();
      };
      const text = await (await edge.post(PING)).text();
      const blocks = text.split('\n\n');
      expect(blocks[0]).to.equal('id: s.1.0\nretry: 1500\ndata: ');
      expect(blocks.filter((block) => block.endsWith(`data: ${event.toString()}`))).to.have.length(50);
      expect(blocks.slice(-2)).to.deep.equal(['retry: 200', '']);
    },
  );

  it(
    verifies(
      'HTTP-19',
      'H24',
    )('a client that leaves is a detached exchange at the replica, never a cancelled one'),
    async () => {
      handle = ({ reply }) => reply.stream();
      const leaving = new AbortController();
      const response = await fetch(edge.url, {
        headers: { accept: 'text/event-stream' },
        signal: leaving.signal,
      });
      expect(response.status).to.equal(200);
      leaving.abort();
      await eventually(() => replica.departures.length === 1);
      expect(replica.departures).to.deep.equal(['detached']);
    },
  );

  it(verifies('HTTP-9')('a refusal by the replica keeps its status, its reason and its time'), async () => {
    handle = ({ reply }) => reply.fail(new MeshError('session_not_found', 'Session not found.'));
    const gone = await edge.post(PING, { 'mcp-session-id': 'unknown' });
    expect(gone.status).to.equal(404);
    expect(await gone.json()).to.have.nested.property('error.code', -32001);
    handle = ({ reply }) => reply.fail(new MeshError('session_busy', 'Busy.', { retryAfterMs: 4_000 }));
    const busy = await edge.post(PING, { 'mcp-session-id': 'known' });
    expect(busy.status).to.equal(503);
    expect(busy.headers.get('retry-after')).to.equal('4');
  });

  it(verifies('RST-11')('a call on a lost replica is answered once: its outcome is unknown'), async () => {
    handle = () => {};
    const call = edge.post({ ...PING, method: 'tools/call', params: { name: 'pay', arguments: {} } });
    await eventually(() => replica.arrived.length === 1);
    await replica.server.stop();
    const response = await call;
    expect(response.status).to.equal(200);
    expect(await response.json()).to.have.nested.property('error.data.reason', 'outcome_unknown');
    expect(replica.arrived).to.have.length(1);
  });
});
