import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Where the suite is sent instead of the mesh. */
export interface NameEdge extends AsyncDisposable {
  readonly url: string;
}

const RENAMED: ReadonlySet<unknown> = new Set(['tools/call', 'prompts/get', 'completion/complete']);
const LISTS: ReadonlySet<unknown> = new Set(['tools/list', 'prompts/list']);

/**
 * What a person in front of a mesh with prefixed names does in the head: says `prefix` + name where a tool
 * or a prompt is named, and does not read the prefix in lists. Everything else, statuses, headers and all
 * other bytes of both directions, goes through as it is and when it is; only Host and Origin, where they
 * name this edge, name the mesh instead.
 */
export async function startNameEdge(mesh: string, prefix: string): Promise<NameEdge> {
  const server = createServer((incoming, outgoing) => {
    pass({ incoming, outgoing, mesh, prefix }).catch(() => outgoing.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

interface Passing {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly mesh: string;
  readonly prefix: string;
}

async function pass({ incoming, outgoing, mesh, prefix }: Passing): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  const method = methodOf(text);
  const body = RENAMED.has(method) ? named(text, prefix) : text;
  const headers: Record<string, string | string[] | undefined> = {
    ...incoming.headers,
    ...addressed(incoming, new URL(mesh).host),
  };
  if (text !== '') headers['content-length'] = String(Buffer.byteLength(body));
  const onward = request(mesh, {
    method: incoming.method ?? 'GET',
    path: incoming.url ?? '/',
    headers,
    agent: false,
  });
  outgoing.once('close', () => onward.destroy());
  onward.end(body);
  const [answer] = (await once(onward, 'response')) as [IncomingMessage];
  if (LISTS.has(method)) await passList({ answer, outgoing, prefix });
  else {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders();
    for await (const chunk of answer) outgoing.write(chunk);
    outgoing.end();
  }
}

/** A list is short and ends: it is taken whole. */
async function passList(options: {
  readonly answer: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly prefix: string;
}): Promise<void> {
  const { answer, outgoing, prefix } = options;
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString().replaceAll(`"name":"${prefix}`, '"name":"');
  const { 'content-length': _, ...headers } = answer.headers;
  outgoing.writeHead(answer.statusCode ?? 502, headers).end(text);
}

/** Good authorities of this edge are those of the mesh; bad ones are the mesh's to refuse. */
function addressed({ headers, socket }: IncomingMessage, mesh: string): Record<string, string> {
  const own = new RegExp(`(127\\.0\\.0\\.1|localhost|\\[::1\\]):${socket.localPort}$`);
  const { host, origin } = headers;
  return {
    ...(host === undefined ? {} : { host: host.replace(own, mesh) }),
    ...(origin === undefined ? {} : { origin: origin.replace(own, mesh) }),
  };
}

function methodOf(text: string): unknown {
  return text === '' ? undefined : (JSON.parse(text) as { method?: unknown }).method;
}

/** In the first name: that of the tool, of the prompt or of the reference. Arguments follow it. */
function named(text: string, prefix: string): string {
  return text.replace('"name":"', `"name":"${prefix}`);
}
