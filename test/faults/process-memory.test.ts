import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Exchange } from '../../control-plane/rpc/exchange.ts';
import { verifies } from '../requirements.ts';
import { ensureBuilt, OUTRIGGER } from '../support/build.ts';
import { CLIENT_HEADERS, PING } from '../support/edge.ts';
import { startReplica } from '../support/mesh-stream.ts';
import { freePorts } from '../support/ports.ts';
import { TestProcess } from '../support/process.ts';
import { until } from '../support/story.ts';

const STREAMS = 1_000;
const MEMORY_KIB = 160 * 1024;
/** As one starts Node where memory is short. */
const SMALL = ['--max-old-space-size=48', '--max-semi-space-size=1', '--optimize-for-size'];
const LIMITS = { buffered: '8MiB' };
/** So many are sent as much as they take, which is more than the system itself keeps for a silent reader; the others a little. */
const FLOODED = 48;
const FLOOD_BYTES = 8 * 1024 * 1024;
/** A bound for a busy machine, no promise. */
const PATIENCE_MS = 40_000;
const EVENT = Buffer.from(`{"jsonrpc":"2.0","method":"${'x'.repeat(32 * 1024)}"}`);

describe('a sidecar of little memory', function () {
  this.timeout(2 * PATIENCE_MS);
  let folder: string;

  before(async () => {
    await ensureBuilt();
    folder = await mkdtemp(join(tmpdir(), 'outrigger-memory-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it(verifies('X7')('sheds with 503 under a thousand streams that nobody reads, and recovers'), async () => {
    const streams: Exchange[] = [];
    await using replica = await startReplica({
      handle(exchange) {
        if (exchange.kind === 'listen') streams.push(exchange);
        else exchange.reply.json([exchange.body]);
      },
    });
    const [mcp = 0, ops = 0] = await freePorts(2);
    const sidecar = new TestProcess(await specOf({ replica: replica.address, mcp, ops, folder }));
    const url = `http://127.0.0.1:${mcp}/mcp`;
    const readers: Socket[] = [];
    try {
      await sidecar.start();
      const { pid } = sidecar;
      for (let at = 0; at < STREAMS; at += 1) readers.push(await silentReader(mcp));
      await until('all streams are open', () => streams.length === STREAMS);
      for (const [at, stream] of streams.entries()) pour(stream, at < FLOODED ? FLOOD_BYTES : EVENT.length);
      await until('new work is shed', async () => (await ping(url)).status === 503, PATIENCE_MS);
      const refused = await ping(url);
      expect(Number(refused.headers.get('retry-after'))).to.be.at.least(1);
      expect(await statusOfGet(url)).to.equal(503);
      expect((await fetch(`http://127.0.0.1:${ops}/livez`)).status).to.equal(200);

      for (const reader of readers.splice(0)) reader.destroy();
      await until('it serves again', async () => (await ping(url)).status === 200, PATIENCE_MS);
      expect(await peakKib(pid)).to.be.below(MEMORY_KIB);
      expect(sidecar.alive).to.equal(true);
    } finally {
      for (const reader of readers) reader.destroy();
      await sidecar.kill();
    }
  });
});

/** Sends as fast as the reader's credit allows. */
function pour(exchange: Exchange, bytes: number): void {
  const { reply } = exchange;
  let poured = 0;
  const more = () => {
    while (poured < bytes && !reply.closed) {
      poured += EVENT.length;
      if (!reply.event([EVENT])) return;
    }
  };
  exchange.onDrain = more;
  reply.stream();
  more();
}

async function specOf({
  replica,
  mcp,
  ops,
  folder,
}: {
  replica: string;
  mcp: number;
  ops: number;
  folder: string;
}) {
  const config = join(folder, 'sidecar.json');
  await writeFile(config, JSON.stringify({ controlPlane: { addresses: [replica] }, limits: LIMITS }));
  const listen = ['--listen', `127.0.0.1:${mcp}`, '--ops', `127.0.0.1:${ops}`, '--log-format', 'json'];
  return {
    name: 'sidecar',
    args: [...SMALL, OUTRIGGER, 'sidecar', '--config', config, ...listen],
    readyUrl: `http://127.0.0.1:${ops}/readyz`,
  };
}

async function silentReader(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').pause();
  socket.on('error', () => {});
  await once(socket, 'connect');
  const lines = [`Host: 127.0.0.1:${port}`, 'Accept: text/event-stream', 'Mcp-Session-Id: some'];
  socket.write(`GET /mcp HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
  return socket;
}

async function ping(url: string): Promise<Response> {
  const response = await fetch(url, { method: 'POST', headers: CLIENT_HEADERS, body: JSON.stringify(PING) });
  await response.arrayBuffer();
  return response;
}

async function statusOfGet(url: string): Promise<number> {
  const response = await fetch(url, { headers: { accept: 'text/event-stream' } });
  await response.body?.cancel();
  return response.status;
}

/** The most memory that the process ever had resident, without the pages of its program, which the system may take back. */
async function peakKib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const read = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  return read('VmHWM') - read('RssFile');
}
