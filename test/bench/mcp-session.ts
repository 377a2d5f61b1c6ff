import { HttpConnection } from './http-connection.ts';
import { type HttpAnswer, headerOf } from './response-reader.ts';

const REVISION = '2025-11-25';

/** One MCP session of the load: the heads of its requests, ready to be written. */
export interface BenchSession {
  /** What names it in a request. */
  readonly headers: Readonly<Record<string, string>>;
  /** The bytes of a POST that carries this JSON-RPC message. */
  post(message: string): string;
  /** Ends the session with DELETE. */
  end(): Promise<void>;
}

/** Initializes a session as a client does, and keeps the id that every later request must carry. */
export async function openSession(url: URL): Promise<BenchSession> {
  const connection = await HttpConnection.open(url);
  const initialize = JSON.stringify({
    jsonrpc: '2.0',
    id: 'initialize',
    method: 'initialize',
    params: {
      protocolVersion: REVISION,
      capabilities: {},
      clientInfo: { name: 'outrigger-bench', version: '1.0.0' },
    },
  });
  const headers = [`MCP-Protocol-Version: ${REVISION}`];
  const post = (message: string) =>
    request({ url, method: 'POST', headers: [...headers, ...POST_HEADERS], body: message });
  const initialized = await connection.send(post(initialize));
  expectStatus(initialized, 200);
  const sessionId = headerOf(initialized.head, 'mcp-session-id');
  if (sessionId !== undefined) headers.push(`Mcp-Session-Id: ${sessionId}`);
  const ready = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' });
  expectStatus(await connection.send(post(ready)), 202);

  const head = post('').replace('Content-Length: 0\r\n\r\n', 'Content-Length: ');
  return {
    headers: {
      'mcp-protocol-version': REVISION,
      ...(sessionId === undefined ? {} : { 'mcp-session-id': sessionId }),
    },
    post: (message) => `${head}${Buffer.byteLength(message)}\r\n\r\n${message}`,
    async end() {
      if (sessionId !== undefined)
        await connection.send(request({ url, method: 'DELETE', headers, body: '' }));
      connection.close();
    },
  };
}

const POST_HEADERS = ['Accept: application/json, text/event-stream', 'Content-Type: application/json'];

function request(of: { url: URL; method: string; headers: readonly string[]; body: string }): string {
  const lines = [
    `${of.method} ${of.url.pathname} HTTP/1.1`,
    `Host: ${of.url.host}`,
    ...of.headers,
    `Content-Length: ${Buffer.byteLength(of.body)}`,
  ];
  return `${lines.join('\r\n')}\r\n\r\n${of.body}`;
}

function expectStatus(answer: HttpAnswer, status: number): void {
  if (answer.status !== status) throw new Error(`HTTP ${answer.status}: ${answer.body.toString()}`);
}
