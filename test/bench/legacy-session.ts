import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { SseParser } from '../../shared/sse/parser.ts';
import { HttpConnection } from './http-connection.ts';
import type { BenchSession } from './mcp-session.ts';
import { INITIALIZED, initialize, POST_HEADERS, request } from './requests.ts';
import type { HttpAnswer } from './response-reader.ts';

const REVISION = '2024-11-05';
const EVENT_BYTES = 16 * 2 ** 20;

interface Waiting {
  resolve(body: Buffer): void;
  reject(error: Error): void;
}

/**
 * Opens a session of the older HTTP+SSE (MCP 2024-11-05): one stream for the whole session says where
 * messages are posted, a POST is only accepted, and its answer comes on the stream.
 */
export async function openLegacySession(address: string): Promise<BenchSession> {
  const waiting = new Map<unknown, Waiting>();
  const stream = await openStream(address);
  const told = once(stream, 'endpoint') as Promise<[string]>;
  const events = new SseParser({
    maxEventBytes: EVENT_BYTES,
    onEvent({ event, data }) {
      if (event === 'endpoint') stream.emit('endpoint', data.toString());
      else take(waiting, data);
    },
  });
  stream.on('data', (chunk: Buffer) => events.push(chunk));
  stream.on('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('the stream of the session ended'));
  });
  const url = new URL((await told)[0], address);

  const send = async (connection: HttpConnection, message: string): Promise<HttpAnswer> => {
    const { id } = JSON.parse(message) as { id?: unknown };
    const answered = id === undefined ? undefined : answerTo(waiting, id);
    const accepted = await connection.send(
      request({ url, method: 'POST', headers: POST_HEADERS, body: message }),
    );
    if (accepted.status !== 202 || answered === undefined) return accepted;
    return { status: 200, head: '', body: await answered };
  };
  const connection = await HttpConnection.open(url);
  await send(connection, initialize(REVISION));
  await send(connection, INITIALIZED);
  connection.close();
  return {
    send,
    async end() {
      stream.destroy();
    },
  };
}

function openStream(url: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // A connection of its own, which ends with the stream.
    get(url, { agent: false, headers: { accept: 'text/event-stream' } }, (response) => {
      if (response.statusCode === 200) resolve(response.on('error', () => {}));
      else reject(new Error(`HTTP ${response.statusCode}`));
    }).on('error', reject);
  });
}

function answerTo(waiting: Map<unknown, Waiting>, id: unknown): Promise<Buffer> {
  const answered = new Promise<Buffer>((resolve, reject) => waiting.set(id, { resolve, reject }));
  // The POST may fail first, and is what is told then.
  answered.catch(() => {});
  return answered;
}

function take(waiting: Map<unknown, Waiting>, data: Buffer): void {
  const { id } = JSON.parse(data.toString()) as { id?: unknown };
  waiting.get(id)?.resolve(data);
  waiting.delete(id);
}
