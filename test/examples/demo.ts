import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { type Mesh, type Replica, startMesh } from '../support/mesh.ts';
import { RecordingBackend } from '../support/recording-backend.ts';

/**
 * `npm run demo`: a signed-in caller's session, the kill -9 of the replica that
 * owns it, the next call, and what each backend saw of all that. Everything is
 * real: an issuer with keys, two backends that write down every request, two
 * replicas and a sidecar as processes of their own.
 */
async function demo(): Promise<void> {
  await using issuer = await startIssuer();
  await using notes = await RecordingBackend.start({ tools: [{ name: 'count', behaviour: 'count' }] });
  await using weather = await RecordingBackend.start({ tools: [{ name: 'echo', behaviour: 'echo' }] });
  say('Starting an issuer, two backends, two replicas and a sidecar …');
  await using mesh = await start(issuer, notes, weather);
  say(`Ready: MCP at ${mesh.url}\n`);

  const client = new Client({ name: 'demo', version: '1.0.0' });
  const token = issuer.token({ sub: 'alice' });
  const transport = new StreamableHTTPClientTransport(new URL(mesh.url), {
    requestInit: { headers: { authorization: `Bearer ${token}` } },
  });
  step('Alice signs in and lists the tools of both backends');
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  const { tools } = await client.listTools();
  say(`  ${tools.map(({ name }) => name).join('  ')}`);

  step('She calls the stateful one twice');
  say(`  ${await count(client)}`);
  say(`  ${await count(client)}`);

  const owner = await ownerOf(mesh);
  step(`kill -9 of replica ${owner.name} (pid ${owner.pid}), which owns her session`);
  await owner.kill('SIGKILL');
  await delay(100);

  step('The next call, on the same session');
  say(`  ${await count(client)}   ← the backend's own state is still there`);

  step('Mallory has stolen the session id and shows a valid token of his own');
  say(
    `  HTTP ${await steal(mesh.url, transport.sessionId ?? '', issuer.token({ sub: 'mallory' }))}   ← as for an id that never was`,
  );

  step('What the backends saw');
  report('notes', notes);
  report('weather', weather);
  await transport.terminateSession();
  await client.close();
}

/** Each backend has a key of its own for the mesh; no caller's token goes to either. */
const KEYS = { NOTES_KEY: 'key-of-the-mesh-at-notes', WEATHER_KEY: 'key-of-the-mesh-at-weather' };

function start(issuer: TestIssuer, notes: RecordingBackend, weather: RecordingBackend): Promise<Mesh> {
  const credential = (env: keyof typeof KEYS) => ({
    strategy: 'header',
    name: 'Authorization',
    prefix: 'Bearer ',
    value: { env },
  });
  return startMesh({
    replicas: 2,
    env: KEYS,
    config: {
      identity: { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audiences: [issuer.audience] }] },
      mcpServers: {
        notes: { type: 'http', url: notes.url, credential: credential('NOTES_KEY') },
        weather: { type: 'http', url: weather.url, credential: credential('WEATHER_KEY') },
      },
    },
  });
}

async function count(client: Client): Promise<string> {
  const result = await client.callTool({ name: 'notes__count', arguments: {} });
  return `notes__count → ${JSON.stringify(result.content)}`;
}

/** The replica that says that it has a session. */
async function ownerOf(mesh: Mesh): Promise<Replica> {
  for (const replica of mesh.replicas) {
    const metrics = await (await fetch(`${replica.ops}/metrics`)).text();
    if (/^outrigger_sessions 1$/m.test(metrics)) return replica;
  }
  throw new Error('no replica has the session');
}

async function steal(url: string, sessionId: string, token: string): Promise<number> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'mcp-session-id': sessionId,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
  });
  await response.body?.cancel();
  return response.status;
}

/** Every principal that called is Alice: Mallory reached no backend, so none of its sessions was ever used by two. */
function report(name: string, backend: RecordingBackend): void {
  const { view } = backend;
  say(`  ${name}: initialised ${view.initialises} time(s), ran ${view.executionsOf()} call(s)`);
  for (const { id, usedBy } of view.sessions) {
    const calls = view.requests({ rpc: 'tools/call', sessionId: id }).length;
    say(
      `    session ${id.slice(0, 8)}…  for Alice, ${calls} call(s), under ${usedBy.map((each) => each ?? 'nothing').join(', ')}`,
    );
  }
}

function step(text: string): void {
  say(`\n▸ ${text}`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

await demo();
