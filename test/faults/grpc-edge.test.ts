import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { isLoopback } from '../../control-plane/rpc/mesh-server.ts';
import { CONNECT } from '../../shared/rpc/mesh-protocol.ts';
import { verifies } from '../requirements.ts';
import {
  connected,
  send,
  startClient,
  startReplica,
  type TestReplica,
  until,
} from '../support/mesh-stream.ts';

/** One gRPC exchange over plain HTTP/2: what came back, headers and trailers together. */
async function raw(
  { port }: TestReplica,
  options: { path?: string; method?: string; headers?: Record<string, string>; body?: Buffer; end?: boolean },
): Promise<Record<string, string>> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  try {
    const stream = session.request({
      ':method': options.method ?? 'POST',
      ':path': options.path ?? CONNECT.path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...options.headers,
    });
    const seen: Record<string, string> = {};
    const note = (headers: object) => {
      for (const [name, value] of Object.entries(headers)) seen[name] = String(value);
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('error', (error) => note({ error: error.message }));
    stream.resume();
    if (options.body !== undefined) stream.write(options.body);
    if (options.method === 'GET' || options.end === true) stream.end();
    await until(() => seen['grpc-status'] !== undefined || stream.closed, 8_000);
    return seen;
  } finally {
    session.destroy();
  }
}

/** A gRPC message: compressed or not, its length, its bytes. */
function message(bytes: Buffer, { compressed = false, length = bytes.length } = {}): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(compressed ? 1 : 0, 0);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, bytes]);
}

const statusOf = async (answer: Promise<Record<string, string>>) => Number((await answer)['grpc-status']);

/** Whether an ordinary sidecar is still served. */
async function serves(replica: TestReplica): Promise<boolean> {
  await using client = startClient([replica.address], { node: 'bystander' });
  return (await send(client, 'still there?').answered).text === 'still there?';
}

describe('the gRPC port under hostile input', () => {
  it(verifies('G1')('a message of 5 MB, or one that claims 4 GB, is refused as too large'), async () => {
    await using replica = await startReplica();
    const long = message(Buffer.alloc(5 * 1024 * 1024));
    expect(await statusOf(raw(replica, { body: long }))).to.equal(status.RESOURCE_EXHAUSTED);
    const liar = message(Buffer.alloc(10), { length: 0xffff_fff0 });
    expect(await statusOf(raw(replica, { body: liar }))).to.equal(status.RESOURCE_EXHAUSTED);
    expect(await serves(replica)).to.equal(true);
  });

  it(verifies('G2')('a gzip bomb is cut while it is unpacked'), async () => {
    await using replica = await startReplica();
    const bomb = message(gzipSync(Buffer.alloc(200 * 1024 * 1024)), { compressed: true });
    const before = process.memoryUsage().rss;
    const answer = await raw(replica, { body: bomb, headers: { 'grpc-encoding': 'gzip' } });
    expect(Number(answer['grpc-status'])).to.equal(status.RESOURCE_EXHAUSTED);
    expect(decodeURI(answer['grpc-message'] ?? '')).to.contain('decompresses to a size larger');
    expect(process.memoryUsage().rss - before).to.be.below(150 * 1024 * 1024);
    expect(await serves(replica)).to.equal(true);
  });

  it(verifies('G3')('bytes that are no protobuf are an internal error of that stream alone'), async () => {
    await using replica = await startReplica();
    const garbage = message(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x01]));
    expect(await statusOf(raw(replica, { body: garbage }))).to.equal(status.INTERNAL);
    expect(await serves(replica)).to.equal(true);
  });

  it(
    verifies('G4')('an unknown method, a foreign content type, a GET and a truncated frame get no handler'),
    async () => {
      await using replica = await startReplica();
      expect(await statusOf(raw(replica, { path: '/outrigger.mesh.v1.Mesh/Nothing' }))).to.equal(
        status.UNIMPLEMENTED,
      );
      const json = await raw(replica, { headers: { 'content-type': 'application/json' } });
      expect(json[':status']).to.equal('415');
      const got = await raw(replica, { method: 'GET', path: '/' });
      expect(Number(got['grpc-status'])).to.equal(status.UNIMPLEMENTED);
      const truncated = { path: '/grpc.health.v1.Health/Check', body: Buffer.from([0, 0, 0]), end: true };
      expect(await statusOf(raw(replica, truncated))).to.equal(status.UNIMPLEMENTED);
      expect(replica.server.streams()).to.have.length(0);
    },
  );

  it(
    verifies('G5')('an encoding nobody has is UNIMPLEMENTED, a timeout nobody can read is INTERNAL'),
    async () => {
      await using replica = await startReplica();
      const odd = raw(replica, {
        body: message(Buffer.from([1, 2, 3]), { compressed: true }),
        headers: { 'grpc-encoding': 'snappy' },
      });
      expect(await statusOf(odd)).to.equal(status.UNIMPLEMENTED);
      const late = raw(replica, { headers: { 'grpc-timeout': 'soon' } });
      expect(await statusOf(late)).to.equal(status.INTERNAL);
    },
  );

  it(
    verifies('G6')('a handler that throws fails its exchange with a plain sentence; the process goes on'),
    async () => {
      await using replica = await startReplica({
        handle: ({ body, reply }) => {
          if (body.toString() === 'break') throw new Error('password=hunter2');
          reply.json([body]);
        },
      });
      await using client = startClient([replica.address]);
      const { error } = await send(client, 'break').answered;
      expect(error?.reason).to.equal('internal');
      expect(error?.message).not.to.contain('hunter2');
      expect((await send(client, 'fine').answered).text).to.equal('fine');
    },
  );

  it(
    verifies('G7')('a flood of streams that are reset at once reaches no handler and ends that connection'),
    async () => {
      await using replica = await startReplica();
      const session = connectHttp2(`http://127.0.0.1:${replica.port}`);
      session.on('error', () => {});
      let opened = 0;
      for (; opened < 20_000 && !session.destroyed; opened += 1) {
        const stream = session.request({
          ':method': 'POST',
          ':path': CONNECT.path,
          'content-type': 'application/grpc',
        });
        stream.on('error', () => {});
        stream.close(constants.NGHTTP2_CANCEL);
        if (opened % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => session.destroyed, 8_000);
      expect(opened).to.be.below(20_000);
      expect(replica.arrived).to.have.length(0);
      expect(replica.server.streams()).to.have.length(0);
      expect(await serves(replica)).to.equal(true);
    },
  );

  it(
    verifies('G8')('HTTP/1.1, idle connections and floods of PING and SETTINGS are borne or closed'),
    async () => {
      await using replica = await startReplica();
      expect(await talk(replica, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))).to.equal('closed');

      const idle = Array.from({ length: 200 }, () => quiet(replica));
      const before = process.memoryUsage().rss;
      const ping = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
      const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
      for (const frame of [ping, settings]) {
        await talk(replica, Buffer.concat([PREFACE, ...Array.from({ length: 50_000 }, () => frame)]));
      }
      expect(await serves(replica)).to.equal(true);
      expect(process.memoryUsage().rss - before).to.be.below(200 * 1024 * 1024);
      for (const socket of idle) socket.destroy();
    },
  );

  it(
    verifies('G8')('thousands of connections that say nothing are closed, and keep nobody out'),
    async function () {
      // A ping after 30 s, and 10 s for its answer.
      this.timeout(90_000);
      await using replica = await startReplica();
      let closed = 0;
      for (let opened = 0; opened < 4_000; opened += 100) {
        const some = Array.from({ length: 100 }, () => quiet(replica));
        // Not more at once than may wait to be accepted.
        await Promise.all(some.map((socket) => once(socket, 'connect')));
        for (const [at, socket] of some.entries()) {
          socket.on('close', () => {
            closed += 1;
          });
          socket.resume();
          if (at % 2 === 0) socket.write(PREFACE);
        }
      }
      expect(await serves(replica)).to.equal(true);
      await until(() => closed === 4_000, 80_000);
      expect(await serves(replica)).to.equal(true);
    },
  );

  it(verifies('G8')('an endless header block is closed'), async () => {
    await using replica = await startReplica();
    const headers = Buffer.from([0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]);
    const continuation = Buffer.concat([
      Buffer.from([0, 0x3f, 0xff, 9, 0, 0, 0, 0, 1]),
      Buffer.alloc(0x3fff, 0x82),
    ]);
    const flood = Buffer.concat([PREFACE, headers, ...Array.from({ length: 200 }, () => continuation)]);
    expect(await talk(replica, flood)).to.equal('closed');
    expect(await serves(replica)).to.equal(true);
  });

  it('metadata over 8 KiB is refused', async () => {
    await using replica = await startReplica();
    const headers = { 'x-long': 'x'.repeat(9 * 1024) };
    expect(await statusOf(raw(replica, { headers }))).to.equal(status.RESOURCE_EXHAUSTED);
  });

  it('an address that others can reach is refused without TLS', async () => {
    await using replica = await startReplica();
    for (const address of ['0.0.0.0:0', '[::]:0', '192.0.2.1:0', 'mesh.example:0']) {
      const refused = await replica.server.listen(address).then(
        () => 'listened',
        (error: Error) => error.message,
      );
      expect(refused).to.contain('needs TLS');
    }
    for (const address of ['127.0.0.1:1', '127.8.8.8:1', '[::1]:1', 'localhost:1', 'unix:/tmp/x']) {
      expect(isLoopback(address)).to.equal(true);
    }
    await using client = startClient([replica.address]);
    await connected(client);
  });
});

const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

function quiet({ port }: TestReplica): Socket {
  return connectTcp(port, '127.0.0.1').on('error', () => {});
}

/** Sends bytes on a connection of its own; says whether the server closed it within 2 s. */
async function talk(replica: TestReplica, bytes: Buffer): Promise<'closed' | 'open'> {
  const socket = quiet(replica);
  let closed = false;
  socket.on('close', () => {
    closed = true;
  });
  socket.resume();
  socket.write(bytes);
  const end = performance.now() + 2_000;
  while (!closed && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  socket.destroy();
  return closed ? 'closed' : 'open';
}
