import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  localhostHostValidation,
  localhostOriginValidation,
  NodeStreamableHTTPServerTransport,
} from '@modelcontextprotocol/node';
import { McpServer } from '@modelcontextprotocol/server';
import { SessionEvents } from './event-store.ts';
import { registerPrompts } from './prompts.ts';
import { registerResources } from './resources.ts';
import { registerTools } from './tools.ts';

/** How soon a client whose stream was closed should come back, in milliseconds; sent as SSE `retry`. */
const RETRY_MS = 500;

/** A listening reference backend; `close` ends every session and stream. */
export interface ReferenceBackend {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Starts the reference backend on 127.0.0.1: a complete, stateful MCP server of revision 2025-11-25 over
 * Streamable HTTP, answering by resumable SSE. Any number of clients may use it at once; each session has
 * a server of its own.
 */
export async function startReferenceBackend({ port }: { port: number }): Promise<ReferenceBackend> {
  const sessions = new Map<string, NodeStreamableHTTPServerTransport>();
  const http = createServer((request, response) => {
    serve(sessions, request, response).catch((error: unknown) => {
      console.error(error);
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    async close() {
      http.close();
      await Promise.all([...sessions.values()].map((transport) => transport.close()));
      http.closeAllConnections();
    },
  };
}

const hostAllowed = localhostHostValidation();
const originAllowed = localhostOriginValidation();

async function serve(
  sessions: Map<string, NodeStreamableHTTPServerTransport>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (!hostAllowed(request, response) || !originAllowed(request, response)) return;
  if (request.url !== '/mcp') {
    response.writeHead(404).end();
    return;
  }
  const sessionId = request.headers['mcp-session-id'];
  if (sessionId === undefined) {
    await (await newSession(sessions)).handleRequest(request, response);
    return;
  }
  const transport = typeof sessionId === 'string' ? sessions.get(sessionId) : undefined;
  if (transport !== undefined) await transport.handleRequest(request, response);
  else refuseSession(response);
}

/** A transport without a session yet: it accepts one initialize, and refuses everything else with 400. */
async function newSession(
  sessions: Map<string, NodeStreamableHTTPServerTransport>,
): Promise<NodeStreamableHTTPServerTransport> {
  const transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new SessionEvents(),
    retryInterval: RETRY_MS,
    onsessioninitialized: (id) => {
      sessions.set(id, transport);
    },
    onsessionclosed: (id) => {
      sessions.delete(id);
    },
  });
  const server = new McpServer(
    { name: 'outrigger-reference-backend', version: '1.0.0' },
    {
      capabilities: {
        logging: {},
        completions: {},
        resources: { subscribe: true },
      },
    },
  );
  registerTools(server);
  registerPrompts(server);
  registerResources(server);
  await server.connect(transport);
  return transport;
}

/** MCP 2025-11-25, Transports, Session Management: a session id that is not known is 404. */
function refuseSession(response: ServerResponse): void {
  response.writeHead(404, { 'content-type': 'application/json' }).end(
    JSON.stringify({
      jsonrpc: '2.0',
      id: null,
      error: { code: -32001, message: 'Session not found' },
    }),
  );
}
