import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { Pool } from 'undici';
import { SERVER_OPTIONS } from '../../shared/rpc/channel-options.ts';
import { END, HEAD, METHODS, PART, readFrames, STREAM, Turn } from './bare-frames.ts';

// The second of two bare hops, as a program: `bare-replica BACKEND_URL`. One gRPC stream from bare-sidecar.ts
// on one side, undici's dispatch to the backend on the other.

const target = new URL(process.argv[2] as string);
const pool = new Pool(target.origin, {
  connections: 256,
  pipelining: 1,
  headersTimeout: 0,
  bodyTimeout: 0,
});
const HEADERS = ['content-type', 'application/json', 'accept', 'application/json, text/event-stream'];
/** Of an answer, what its client must see. */
const FORWARDED = ['content-type', 'content-length', 'mcp-session-id'];

const server = new Server(SERVER_OPTIONS);
server.addService({ connect: STREAM }, { connect });
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(JSON.stringify({ url: `127.0.0.1:${port}` }));
});
process.once('SIGTERM', () => {
  server.forceShutdown();
  void pool.destroy();
});

function connect(stream: ServerDuplexStream<Buffer, Buffer>): void {
  const turn = new Turn((message) => stream.write(message));
  stream.on('data', (message: Buffer) =>
    readFrames(message, (id, kind, body) => forward({ turn, id, kind, body })),
  );
  stream.on('error', () => {});
  stream.on('end', () => stream.end());
}

function forward({ turn, id, kind, body }: { turn: Turn; id: number; kind: number; body: Buffer }): void {
  pool.dispatch(
    {
      path: target.pathname,
      method: METHODS[kind] ?? 'POST',
      headers: HEADERS,
      body: body.length === 0 ? null : body,
    },
    {
      onRequestStart() {},
      onResponseStart(_controller, status, headers) {
        let head = String(status);
        for (const name of FORWARDED) {
          const value = headers[name];
          if (value !== undefined) head += `\n${name}\n${value}`;
        }
        turn.add(id, HEAD, Buffer.from(head, 'latin1'));
      },
      onResponseData(_controller, chunk) {
        turn.add(id, PART, chunk);
      },
      onResponseEnd() {
        turn.add(id, END);
      },
      onResponseError() {
        turn.add(id, HEAD, Buffer.from('502'));
        turn.add(id, END);
      },
    },
  );
}
