/**
 * A demo agent: calls a tool every two seconds, for ever, and says what came back. It
 * knows one URL. Stop a replica and look: `docker compose stop replica-a`.
 */
const url = process.env.MCP_URL ?? 'http://127.0.0.1:4280/mcp';
let session;
let id = 0;

process.on('SIGTERM', () => process.exit(0));
for (;;) {
  try {
    session ??= await begin();
    const result = await call('tools/call', { name: 'echo', arguments: { message: `call ${id}` } });
    say(JSON.stringify(result.content ?? result));
  } catch (error) {
    say(error.message);
  }
  await new Promise((resolve) => setTimeout(resolve, 2_000));
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

/** Begins a session; its id goes with every request from then on. */
async function begin() {
  const clientInfo = { name: 'demo-agent', version: '1.0.0' };
  const response = await post({
    jsonrpc: '2.0',
    id: ++id,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo },
  });
  await answer(response);
  const begun = response.headers.get('mcp-session-id');
  await post({ jsonrpc: '2.0', method: 'notifications/initialized' }, begun);
  return begun;
}

async function call(method, params) {
  return await answer(await post({ jsonrpc: '2.0', id: ++id, method, params }, session));
}

async function post(message, sessionId) {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      'mcp-protocol-version': '2025-11-25',
      ...(sessionId ? { 'mcp-session-id': sessionId } : {}),
    },
    body: JSON.stringify(message),
    signal: AbortSignal.timeout(60_000),
  });
  if (response.status === 404) session = undefined;
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response;
}

/** The result in plain JSON, or the last event of a stream. */
async function answer(response) {
  const text = await response.text();
  const events = text.startsWith('{')
    ? [text]
    : [...text.matchAll(/^data: ?(.+)$/gm)].map(([, data]) => data);
  const { result, error } = JSON.parse(events.at(-1));
  if (error) throw new Error(error.message);
  return result;
}
