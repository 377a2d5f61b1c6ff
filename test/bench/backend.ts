import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

// A lean MCP server, as a program: what it costs must be small beside what is measured. It answers JSON,
// or SSE when a call asks for it; a call says how large its answer is and what it must echo. `backend 70
// listening` has 70 tools and streams that sessions listen on: SIGUSR2 changes its list and says so on all.
// It counts what it is asked, by the second, at /counts.

/** Revisions that it speaks, the preferred one last. */
const REVISIONS = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'];
const [toolCount = '200', mode] = process.argv.slice(2);
const listening = mode === 'listening';
const INITIALIZED = {
  capabilities: { tools: listening ? { listChanged: true } : {} },
  serverInfo: { name: 'bench-backend', version: '1.0.0' },
};
const CHANGED = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}';

let version = 0;
let tools = listTools();
const streams = new Set<ServerResponse>();
/** How often each method was asked in each second, from the first. */
const counts: Record<string, number>[] = [];

interface Message {
  readonly id?: string | number;
  readonly method?: string;
  readonly params?: {
    readonly protocolVersion?: string;
    readonly arguments?: { echo: string; bytes: number; sse: boolean; progress?: number };
    readonly _meta?: { readonly progressToken?: string | number };
  };
}

let sessions = 0;
const padding = new Map<number, string>();

const server = createServer((request, response) => {
  if (request.url === '/counts') return json(response, JSON.stringify(counts));
  if (request.method === 'GET' && listening) return listen(response);
  if (request.method !== 'POST') {
    response.writeHead(request.method === 'DELETE' ? 200 : 405, { allow: 'POST, DELETE' }).end();
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => answer(JSON.parse(Buffer.concat(chunks).toString()) as Message, response));
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ url: `http://127.0.0.1:${port}/mcp` }));
});
process.once('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});

process.on('SIGUSR2', () => {
  version += 1;
  tools = listTools();
  for (const stream of streams) stream.write(`data: ${CHANGED}\n\n`);
});

/** One that is called, among many that are listed. */
function listTools(): string {
  const names = Array.from({ length: Number(toolCount) }, (_, n) => (n === 0 ? 'echo' : `echo_${n}`));
  if (version > 0) names.push(`new_${version}`);
  return JSON.stringify({
    tools: names.map((name) => ({
      name,
      description: 'Echoes a value',
      inputSchema: { type: 'object' },
    })),
  });
}

function listen(response: ServerResponse): void {
  streams.add(response);
  response.once('close', () => streams.delete(response));
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
}

function count(method: string): void {
  const second = Math.floor(performance.now() / 1_000);
  while (counts.length <= second) counts.push({});
  const now = counts[second] ?? {};
  now[method] = (now[method] ?? 0) + 1;
}

function answer(message: Message, response: ServerResponse): void {
  if (message.method !== undefined) count(message.method);
  if (message.id === undefined) {
    response.writeHead(202, { 'content-length': 0 }).end();
    return;
  }
  const head = `{"jsonrpc":"2.0","id":${JSON.stringify(message.id)},"result":`;
  if (message.method === 'initialize') {
    sessions += 1;
    response.setHeader('mcp-session-id', `bench-${sessions}`);
    const asked = message.params?.protocolVersion ?? '';
    const protocolVersion = REVISIONS.includes(asked) ? asked : REVISIONS.at(-1);
    json(response, `${head}${JSON.stringify({ protocolVersion, ...INITIALIZED })}}`);
  } else if (message.method === 'tools/call' && message.params?.arguments !== undefined) {
    const { echo, bytes, sse, progress = 0 } = message.params.arguments;
    const text = `${echo} ${pad(bytes - 2 * echo.length - 2)} ${echo}`;
    const body = `${head}{"content":[{"type":"text","text":"${text}"}]}}`;
    if (sse) events(response, [...progressOf(message, progress), body]);
    else json(response, body);
  } else if (message.method === 'tools/list') json(response, `${head}${tools}}`);
  else json(response, `${head}{}}`);
}

function json(response: ServerResponse, body: string): void {
  response
    .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    .end(body);
}

function events(response: ServerResponse, bodies: readonly string[]): void {
  response
    .writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
    .end(bodies.map((body) => `event: message\ndata: ${body}\n\n`).join(''));
}

function progressOf({ params }: Message, total: number): string[] {
  const token = params?._meta?.progressToken;
  if (token === undefined) return [];
  const head = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${JSON.stringify(token)}`;
  return Array.from({ length: total }, (_, n) => `${head},"progress":${n + 1},"total":${total}}}`);
}

function pad(bytes: number): string {
  const size = Math.max(0, bytes);
  let text = padding.get(size);
  if (text === undefined) {
    text = 'x'.repeat(size);
    padding.set(size, text);
  }
  return text;
}
