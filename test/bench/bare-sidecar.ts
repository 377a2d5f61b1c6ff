import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client, credentials } from '@grpc/grpc-js';
import { MESH_CHANNEL_OPTIONS } from '../../shared/rpc/channel-options.ts';
import { END, HEAD, METHODS, readFrames, STREAM, Turn } from './bare-frames.ts';

// The first of two bare hops, as a program: `bare-sidecar HOST:PORT`. node:http on one side, one gRPC stream
// to bare-replica.ts on the other, and nothing read on the way: no session, no identity, no JSON, no credit
// (the load bounds what is under way). It is the least that a sidecar and a replica can be.

const [replica = ''] = process.argv.slice(2);
const client = new Client(replica, credentials.createInsecure(), MESH_CHANNEL_OPTIONS);
const { path, requestSerialize, responseDeserialize } = STREAM;
const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
const turn = new Turn((message) => stream.write(message));
const waiting = new Map<number, ServerResponse>();
/** A part that leaves together with the end of its answer, when the same message has it. */
let held: { readonly response: ServerResponse; readonly body: Buffer } | undefined;
let lastId = 0;

const server = createServer((request, response) => {
  const kind = METHODS.indexOf(request.method as (typeof METHODS)[number]);
  if (kind === -1) {
    response.writeHead(405, { allow: METHODS.join(', ') }).end();
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    lastId += 1;
    waiting.set(lastId, response);
    turn.add(lastId, kind, chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ url: `http://127.0.0.1:${port}/mcp` }));
});

stream.on('data', (message: Buffer) => {
  readFrames(message, answer);
  writeHeld();
});
stream.on('error', () => server.closeAllConnections());
process.once('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
  stream.cancel();
  client.close();
});

function answer(id: number, kind: number, body: Buffer): void {
  const response = waiting.get(id);
  if (response === undefined) return;
  if (kind !== END || held?.response !== response) writeHeld();
  if (kind === HEAD) {
    const [status, ...headers] = body.toString('latin1').split('\n');
    response.writeHead(Number(status), headers);
  } else if (kind === END) {
    waiting.delete(id);
    response.end(held?.body);
    held = undefined;
  } else held = { response, body };
}

function writeHeld(): void {
  held?.response.write(held.body);
  held = undefined;
}
