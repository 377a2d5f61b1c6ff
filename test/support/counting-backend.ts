import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What an MCP server with one tool, `echo`, was asked for: it keeps numbers, so that thousands of sessions cost it little. */
export interface CountingBackend extends AsyncDisposable {
  readonly url: string;
  /** When each handshake began, in milliseconds on the monotonic clock. */
  readonly handshakes: readonly number[];
  /** The most handshakes that were under way together, since `forget`. */
  readonly mostAtOnce: number;
  /** Loses its sessions, as a restart would, and begins to count anew. */
  forget(): void;
}

/** What a handshake takes, in milliseconds: without it no two would ever be under way together. */
const HANDSHAKE_MS = 20;

export async function startCountingBackend(): Promise<CountingBackend> {
  const sessions = new Set<string>();
  let handshakes: number[] = [];
  let atOnce = 0;
  let mostAtOnce = 0;

  async function initialize(response: ServerResponse, id: unknown): Promise<void> {
    handshakes.push(performance.now());
    atOnce += 1;
    mostAtOnce = Math.max(mostAtOnce, atOnce);
    await sleep(HANDSHAKE_MS);
    atOnce -= 1;
    const session = randomUUID();
    sessions.add(session);
    const serverInfo = { name: 'counting', version: '1' };
    response.setHeader('mcp-session-id', session);
    answer(response, id, { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo });
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const piece of request.setEncoding('utf8')) text += piece;
    if (request.method !== 'POST') return void response.writeHead(405).end();
    const { id, method } = JSON.parse(text) as { id?: unknown; method?: string };
    if (method === 'initialize') return initialize(response, id);
    if (!sessions.has(String(request.headers['mcp-session-id']))) return void response.writeHead(404).end();
    if (id === undefined) return void response.writeHead(202).end();
    if (method === 'tools/list')
      return answer(response, id, { tools: [{ name: 'echo', inputSchema: { type: 'object' } }] });
    answer(response, id, { content: [{ type: 'text', text: 'echo' }] });
  }

  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    get handshakes() {
      return handshakes;
    },
    get mostAtOnce() {
      return mostAtOnce;
    },
    forget() {
      sessions.clear();
      handshakes = [];
      mostAtOnce = atOnce;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(response: ServerResponse, id: unknown, result: object): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
}
