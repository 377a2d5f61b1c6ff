import { HttpConnection } from './http-connection.ts';
import type { BenchSession, Endpoint } from './mcp-session.ts';
import { INITIALIZED, initialize, POST_HEADERS, request } from './requests.ts';
import { type HttpAnswer, headerOf } from './response-reader.ts';

const REVISION = '2025-11-25';

/** A session of Streamable HTTP: the heads of its requests are ready to be written. */
export interface StreamableSession extends BenchSession {
  /** What names it in a request. */
  readonly headers: Readonly<Record<string, string>>;
  /** The bytes of a POST that carries this JSON-RPC message. */
  post(message: string): string;
}

/** Initializes a session on a connection of its own, which ends with it. Rejects when it is refused. */
export async function openStreamable(endpoint: Endpoint): Promise<StreamableSession> {
  const connection = await HttpConnection.open(new URL(endpoint.url));
  const session = await initializeOn(connection, endpoint);
  return {
    ...session,
    async end() {
      await session.end();
      connection.close();
    },
  };
}

/** Initializes a session and keeps the id that every later request must carry. Its end is sent on the connection too, which stays. */
export async function initializeOn(
  connection: HttpConnection,
  endpoint: Endpoint,
): Promise<StreamableSession> {
  const url = new URL(endpoint.url);
  const headers = [`MCP-Protocol-Version: ${REVISION}`];
  if (endpoint.token !== undefined) headers.push(`Authorization: Bearer ${endpoint.token}`);
  const post = (message: string) =>
    request({ url, method: 'POST', headers: [...headers, ...POST_HEADERS], body: message });
  const initialized = await connection.send(post(initialize(REVISION)));
  expectStatus(initialized, 200);
  const sessionId = headerOf(initialized.head, 'mcp-session-id');
  if (sessionId !== undefined) headers.push(`Mcp-Session-Id: ${sessionId}`);
  expectStatus(await connection.send(post(INITIALIZED)), 202);

  const head = post('').replace('Content-Length: 0\r\n\r\n', 'Content-Length: ');
  const ready = (message: string) => `${head}${Buffer.byteLength(message)}\r\n\r\n${message}`;
  return {
    headers: {
      'mcp-protocol-version': REVISION,
      ...(sessionId === undefined ? {} : { 'mcp-session-id': sessionId }),
    },
    post: ready,
    send: (on, message) => on.send(ready(message)),
    async end() {
      if (sessionId !== undefined)
        await connection.send(request({ url, method: 'DELETE', headers, body: '' }));
    },
  };
}

function expectStatus(answer: HttpAnswer, status: number): void {
  if (answer.status !== status) throw new Error(`HTTP ${answer.status}: ${answer.body.toString()}`);
}
