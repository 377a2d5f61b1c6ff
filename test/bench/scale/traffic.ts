import { HttpConnection } from '../http-connection.ts';
import type { Endpoint } from '../mcp-session.ts';
import { initializeOn, type StreamableSession } from '../streamable-session.ts';

/** Sessions by the thousand, called over a few connections; every answer is checked against its request. */

let lastId = 0;

/** Connections to one sidecar. */
export async function connections(url: string, count: number): Promise<HttpConnection[]> {
  return Promise.all(Array.from({ length: count }, () => HttpConnection.open(new URL(url))));
}

/** Opens sessions over these connections, as many at once as there are of them. */
export async function openSessions(
  over: readonly HttpConnection[],
  endpoint: Endpoint,
  count: number,
): Promise<StreamableSession[]> {
  const sessions: StreamableSession[] = [];
  let left = count;
  await Promise.all(
    over.map(async (connection) => {
      while (left > 0) {
        left -= 1;
        sessions.push(await initializeOn(connection, endpoint));
      }
    }),
  );
  return sessions;
}

/** Calls a tool, and returns how long the right answer took, in milliseconds. Throws for any other. */
export async function callTool(
  connection: HttpConnection,
  session: StreamableSession,
  tool: string,
): Promise<number> {
  const id = nextId();
  const echo = `echo-${id}-${(id * 7919) % 100_003}`;
  const params = { name: tool, arguments: { echo, bytes: 500, sse: false, progress: 0 } };
  const started = performance.now();
  const answer = await session.send(
    connection,
    JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params }),
  );
  const took = performance.now() - started;
  const { status, body } = answer;
  if (status !== 200 || !body.includes(`"id":${id}`) || body.indexOf(echo) === body.lastIndexOf(echo))
    throw new Error(`a wrong answer to ${echo}: HTTP ${status} ${body.toString('utf8', 0, 300)}`);
  return took;
}

/** Lists the tools, and returns how many there are. */
export async function listTools(connection: HttpConnection, session: StreamableSession): Promise<number> {
  let cursor: string | undefined;
  let tools = 0;
  do {
    const params = cursor === undefined ? {} : { cursor };
    const { status, body } = await session.send(
      connection,
      JSON.stringify({ jsonrpc: '2.0', id: nextId(), method: 'tools/list', params }),
    );
    if (status !== 200) throw new Error(`a wrong answer to tools/list: HTTP ${status} ${body.toString()}`);
    const { result } = JSON.parse(body.toString()) as {
      result: { tools: readonly unknown[]; nextCursor?: string };
    };
    tools += result.tools.length;
    cursor = result.nextCursor;
  } while (cursor !== undefined);
  return tools;
}

function nextId(): number {
  lastId += 1;
  return lastId;
}

/** Does something over all connections at once, again and again, until the time is over. Returns how often. */
export async function repeat(
  over: readonly HttpConnection[],
  seconds: number,
  once: (connection: HttpConnection) => Promise<unknown>,
): Promise<number> {
  const end = performance.now() + seconds * 1_000;
  let times = 0;
  await Promise.all(
    over.map(async (connection) => {
      while (performance.now() < end) {
        await once(connection);
        times += 1;
      }
    }),
  );
  return times;
}

/** Takes each of the items in turn, from the first again after the last. */
export function inTurn<Item>(items: readonly Item[]): () => Item {
  let next = 0;
  return () => {
    const item = items[next % items.length];
    if (item === undefined) throw new Error('there is nothing to take in turn');
    next += 1;
    return item;
  };
}
