import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpConnection } from './http-connection.ts';
import { openStreamable } from './streamable-session.ts';

// A backend beside the one that is measured, and ten sessions that listen to it and call it all the time,
// as a program: `neighbour good|bad PORT MESH_URL`. A bad one has another trouble every 200 ms. SIGUSR2
// sets it to work, and to rest: only then may anything else be measured on this machine.

const SESSIONS = 10;
const TROUBLES = ['none', 'restart', 'lose', 'hang', 'flood', 'garbage', 'change'] as const;
const TROUBLE_MS = 200;
const PAUSE_MS = 10;
/** Between the calls of a session: few, so that a good neighbour, which answers more of them, is no load by itself. */
const CALL_PAUSE_MS = 50;
/** A flood: so many messages of a kilobyte on every stream, a hundred times a second. */
const FLOOD = 10;

const [kind, port, mesh = ''] = process.argv.slice(2);
const sessions = new Set<string>();
const streams = new Set<ServerResponse>();
let trouble: (typeof TROUBLES)[number] = 'none';
let working = false;
let made = 0;
let version = 0;

const server = createServer((asked, response) => {
  const session = asked.headers['mcp-session-id'];
  if (typeof session === 'string' && !sessions.has(session)) response.writeHead(404).end();
  else if (asked.method === 'GET') listen(response);
  else if (asked.method === 'POST') void answer(asked, response);
  else response.writeHead(200).end();
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '127.0.0.1', () => console.log(JSON.stringify({ url: mesh })));
process.on('SIGUSR2', () => {
  working = !working;
  if (!working) return;
  if (kind === 'bad') void beBad();
  for (let n = 0; n < SESSIONS; n += 1) void callAlways();
});
process.once('SIGTERM', () => process.exit());

async function beBad(): Promise<void> {
  for (let n = 1; working; n += 1) {
    trouble = TROUBLES[n % TROUBLES.length] ?? 'none';
    if (trouble === 'restart') server.closeAllConnections();
    if (trouble === 'restart' || trouble === 'lose') sessions.clear();
    const until = performance.now() + TROUBLE_MS;
    while (performance.now() < until) {
      if (trouble === 'flood') for (let m = 0; m < FLOOD; m += 1) push('message', 'x'.repeat(1_000));
      if (trouble === 'change') push('tools/list_changed', String(++version));
      await sleep(PAUSE_MS);
    }
  }
  trouble = 'none';
}

function push(what: string, data: string): void {
  const text = JSON.stringify({
    jsonrpc: '2.0',
    method: `notifications/${what}`,
    params: { level: 'info', data },
  });
  for (const stream of streams) stream.write(`data: ${text}\n\n`);
}

function listen(response: ServerResponse): void {
  streams.add(response);
  response.once('close', () => streams.delete(response));
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
}

async function answer(asked: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of asked) chunks.push(chunk as Buffer);
  const message = JSON.parse(Buffer.concat(chunks).toString()) as { id?: number; method?: string };
  if (message.id === undefined) response.writeHead(202).end();
  else if (message.method === 'tools/call' && trouble === 'hang') return;
  else if (message.method === 'tools/call' && trouble === 'garbage') reply(response, '<html>busy</html>');
  else {
    const result = JSON.stringify(resultOf(message.method, response));
    reply(response, `{"jsonrpc":"2.0","id":${JSON.stringify(message.id)},"result":${result}}`);
  }
}

function resultOf(method: string | undefined, response: ServerResponse): unknown {
  if (method === 'tools/call') return { content: [{ type: 'text', text: 'ok' }] };
  if (method === 'tools/list')
    return { tools: ['other', `new-${version}`].map((name) => ({ name, inputSchema: { type: 'object' } })) };
  if (method !== 'initialize') return {};
  made += 1;
  sessions.add(`neighbour-${made}`);
  response.setHeader('mcp-session-id', `neighbour-${made}`);
  const capabilities = { tools: { listChanged: true }, logging: {} };
  return {
    protocolVersion: '2025-11-25',
    capabilities,
    serverInfo: { name: 'bench-neighbour', version: '1.0.0' },
  };
}

function reply(response: ServerResponse, body: string): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(body);
}

/** One session of the mesh that listens and calls, whatever the answer, until this program rests. */
async function callAlways(): Promise<void> {
  const url = new URL(mesh);
  const session = await openStreamable({ url: mesh });
  const connection = await HttpConnection.open(url);
  const call = session.post(
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"other","arguments":{}}}',
  );
  await connection.send(session.post('{"jsonrpc":"2.0","id":1,"method":"tools/list"}'));
  const listening = request(url, { headers: { accept: 'text/event-stream', ...session.headers } });
  listening.on('error', () => {}).on('response', (response) => response.resume());
  listening.end();
  while (working) {
    await connection.send(call);
    await sleep(CALL_PAUSE_MS);
  }
  listening.destroy();
  connection.close();
  await session.end();
}
