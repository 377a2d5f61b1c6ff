import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { CLIENT_HEADERS, type Crossed, eventually, PING, ScriptedMesh, startEdge } from '../support/edge.ts';
import { postHead, rawHttp, rawPost } from '../support/raw-http.ts';

const BODY = JSON.stringify(PING);
const listener = { headersTimeoutMs: 300, requestTimeoutMs: 600 };
const patient = { quietMs: 50, timeoutMs: 4_000 };

describe('HTTP clients that are slow, stuck or many', () => {
  it(verifies('HTTP-26', 'H21')('slow headers, and none at all, are told 408'), async () => {
    await using edge = await startEdge({ listener });
    const answers = await Promise.all([
      rawHttp(edge.port, 'POST /mcp HTTP/1.1\r\nHo', patient),
      rawHttp(edge.port, '', patient),
    ]);
    for (const { status, closed } of answers)
      expect({ status, closed }).to.deep.equal({ status: 408, closed: true });
  });

  it(verifies('HTTP-26', 'H21')('a slow body, plain or chunked, is told 408'), async () => {
    await using edge = await startEdge({ listener });
    const answers = await Promise.all([
      rawHttp(edge.port, `${postHead(edge.port, ['Content-Length: 50'])}{`, patient),
      rawHttp(edge.port, `${postHead(edge.port, ['Transfer-Encoding: chunked'])}1\r\n{\r\n`, patient),
    ]);
    for (const { status, closed } of answers)
      expect({ status, closed }).to.deep.equal({ status: 408, closed: true });
    expect(edge.edge.state.buffers.held).to.equal(0);
    expect(edge.mesh.crossed).to.have.length(0);
  });

  it(
    verifies('H22')('connections beyond the cap are turned away, and those within are served on'),
    async () => {
      await using edge = await startEdge({ listener: { maxConnections: 8 } });
      const served = await open(edge.port);
      served.write(rawPost(edge.port, BODY));
      await once(served, 'data');
      const halfOpen = await Promise.all(Array.from({ length: 30 }, () => open(edge.port)));
      await eventually(() => edge.listener.connectionsRefused >= 23);
      served.write(rawPost(edge.port, BODY));
      const [answer] = await once(served, 'data');
      expect(String(answer)).to.match(/^HTTP\/1\.1 200/);
      for (const socket of [served, ...halfOpen]) socket.destroy();
      await eventually(async () => (await rawHttp(edge.port, rawPost(edge.port, BODY))).status === 200);
    },
  );

  it(
    verifies('HTTP-26', 'H23')('a stream nobody reads is held at 256 KiB and cut when it stays stuck'),
    async () => {
      const mesh = new ScriptedMesh(({ sink }) => sink.stream());
      await using edge = await startEdge({ mesh, limits: { stallMs: 300 } });
      const stuck = await open(edge.port);
      stuck.pause();
      stuck.write(rawPost(edge.port, BODY));
      await eventually(() => mesh.crossed.length === 1);
      const { sink } = mesh.last;
      let sent = pour(sink);
      // The kernel takes some megabytes; only what it does not take is ours to hold.
      let most = 0;
      await eventually(() => {
        const { held } = edge.edge.state.buffers;
        if (held === 0 && !mesh.last.detached) sent += pour(sink);
        most = Math.max(most, held);
        return mesh.last.detached;
      });
      expect(sent).to.be.within(256 * 1024, 16 * 1024 * 1024);
      expect(most).to.be.within(200 * 1024, 600 * 1024);
      expect(edge.edge.state.streams.cut).to.equal(1);
      expect(edge.edge.state.buffers.held).to.equal(0);
      stuck.destroy();
    },
  );

  it(verifies('HTTP-26', 'H23')('a sender that does not hold costs no more than 1 MiB'), async () => {
    const mesh = new ScriptedMesh(({ sink }) => sink.stream());
    await using edge = await startEdge({ mesh });
    const stuck = await open(edge.port);
    stuck.pause();
    stuck.write(rawPost(edge.port, BODY));
    await eventually(() => mesh.crossed.length === 1);
    let most = 0;
    const deaf: Crossed['sink'] = mesh.last.sink;
    for (let sent = 0; sent < 4_000 && !mesh.last.detached; sent += 1) {
      deaf.event([EVENT], undefined, undefined);
      most = Math.max(most, edge.edge.state.buffers.held);
      if (sent % 16 === 0) await delay(0);
    }
    expect(mesh.last.detached).to.equal(true);
    expect(most).to.be.below(1.2 * 1024 * 1024);
    stuck.destroy();
  });

  it(verifies('HTTP-26', 'H23')('a reader that catches up gets everything, in order'), async () => {
    const mesh = new ScriptedMesh(({ sink }) => sink.stream());
    await using edge = await startEdge({ mesh });
    const response = await edge.post(PING);
    const { sink } = mesh.last;
    pour(sink);
    const reading = response.text();
    await eventually(() => mesh.last.resumed === 1);
    expect(sink.event([Buffer.from('"last"')], undefined, undefined)).to.equal(true);
    sink.end();
    expect((await reading).trimEnd()).to.match(/data: "last"$/);
    expect(edge.edge.state.buffers.held).to.equal(0);
  });

  it(verifies('HTTP-26')('a plain answer that nobody reads is bounded in time'), async () => {
    const answer = Buffer.alloc(8 * 1024 * 1024, 0x20);
    const mesh = new ScriptedMesh(({ sink }) => sink.json([answer], undefined));
    await using edge = await startEdge({ mesh, limits: { stallMs: 300 } });
    const stuck = await open(edge.port);
    stuck.pause();
    const ended = once(stuck, 'close');
    stuck.write(rawPost(edge.port, BODY));
    await eventually(() => edge.edge.state.buffers.held > 0);
    await eventually(() => edge.edge.state.buffers.held === 0);
    stuck.resume();
    await ended;
  });

  it(
    verifies('HTTP-26')('beyond the common limit new work is shed, and served again when it is free'),
    async () => {
      const mesh = new ScriptedMesh();
      await using edge = await startEdge({ mesh, limits: { bufferedBytes: 64 * 1024 } });
      const slow = await open(edge.port);
      slow.write(`${postHead(edge.port, ['Content-Length: 200000'])}${' '.repeat(100_000)}`);
      await eventually(() => edge.edge.state.buffers.full);
      const shed = await edge.post(PING);
      expect(shed.status).to.equal(503);
      expect(shed.headers.get('retry-after')).to.equal('1');
      expect(await shed.json()).to.have.nested.property('error.data.reason', 'overloaded');
      slow.destroy();
      await eventually(() => !edge.edge.state.buffers.full);
      expect((await edge.post(PING)).status).to.equal(200);
    },
  );

  it(verifies('HTTP-26')('streams beyond their number are shed'), async () => {
    const mesh = new ScriptedMesh(({ sink }) => sink.stream());
    await using edge = await startEdge({ mesh, limits: { streams: 2 } });
    const get = () => fetch(edge.url, { headers: CLIENT_HEADERS });
    const statuses = [(await get()).status, (await get()).status, (await get()).status];
    expect(statuses).to.deep.equal([200, 200, 503]);
  });

  it(
    verifies('H24', 'HTTP-19')('a client that leaves detaches its exchange, before the answer and within it'),
    async () => {
      const mesh = new ScriptedMesh(() => {});
      await using edge = await startEdge({ mesh });
      const leaves = async (start: () => void) => {
        const socket = await open(edge.port);
        const before = mesh.crossed.length;
        socket.write(rawPost(edge.port, BODY));
        await eventually(() => mesh.crossed.length > before);
        start();
        socket.destroy();
        await eventually(() => mesh.last.detached);
        expect(mesh.last.cancelled).to.equal(undefined);
      };
      await leaves(() => {});
      await leaves(() => {
        mesh.last.sink.stream();
        mesh.last.sink.event([EVENT], '1', undefined);
      });
      await eventually(() => edge.edge.state.open.size === 0 && edge.edge.state.streams.size === 0);
      // What the mesh still says of them changes nothing.
      for (const { sink } of mesh.crossed) sink.end();
      expect(edge.metrics.render()).to.contain('outcome="detached"} 2');
    },
  );

  it(verifies('H24')('a client that leaves within its body opened nothing'), async () => {
    await using edge = await startEdge();
    const socket = await open(edge.port);
    socket.write(`${postHead(edge.port, ['Content-Length: 1000'])}{"jsonrpc"`);
    await eventually(() => edge.edge.state.buffers.held > 0);
    socket.destroy();
    await eventually(() => edge.edge.state.buffers.held === 0);
    expect(edge.mesh.crossed).to.have.length(0);
  });

  it(verifies('H24')('pipelined requests wait for their turn, and leave nothing behind'), async () => {
    const mesh = new ScriptedMesh(() => {});
    await using edge = await startEdge({ mesh });
    const socket = await open(edge.port);
    socket.write(rawPost(edge.port, BODY).repeat(3));
    await eventually(() => mesh.crossed.length === 1);
    await delay(50);
    expect(mesh.crossed).to.have.length(1);
    mesh.last.sink.json([Buffer.from('{}')], undefined);
    await eventually(() => mesh.crossed.length === 2);
    socket.destroy();
    await eventually(() => mesh.last.detached);
    expect(mesh.crossed).to.have.length(2);
  });
});

const EVENT = Buffer.from(`"${'a'.repeat(32 * 1024)}"`);

/** Sends events until the edge asks to hold; returns the bytes sent. */
function pour(sink: Crossed['sink']): number {
  let sent = 0;
  while (sent < 64 * 1024 * 1024) {
    sent += EVENT.length;
    if (!sink.event([EVENT], undefined, undefined)) break;
  }
  return sent;
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}
