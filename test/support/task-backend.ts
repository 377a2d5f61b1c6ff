import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  InMemoryTaskMessageQueue,
  InMemoryTaskStore,
} from '@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { ElicitResultSchema } from '@modelcontextprotocol/sdk/types.js';
import type { JsonRpc } from './recording-backend/record.ts';

/** What the backend was told, and in which of its sessions. */
export interface Told {
  readonly session: string | undefined;
  readonly message: JsonRpc;
}

/**
 * A backend of the public SDK (v1) that runs its tools as tasks, bound to its sessions:
 * `work` ends when it is told to, `confirm` asks the client for something on the way,
 * and `draft` lets the client run a task of its own.
 */
export interface TaskBackend extends AsyncDisposable {
  readonly url: string;
  readonly told: readonly Told[];
  /** Reports progress of every task that works. */
  report(progress: number): Promise<void>;
  /** Ends every task that works. */
  finish(): Promise<void>;
}

/** A task of `work` that goes on. */
interface Working {
  report(progress: number): Promise<void>;
  finish(): Promise<void>;
}

export async function startTaskBackend(): Promise<TaskBackend> {
  const transports = new Map<string, StreamableHTTPServerTransport>();
  const told: Told[] = [];
  const working: Working[] = [];
  const stores: InMemoryTaskStore[] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const message = await read(request);
    const session = request.headers['mcp-session-id'] as string | undefined;
    if (message !== undefined) told.push({ session, message });
    const known = transports.get(session ?? '');
    if (known !== undefined) return known.handleRequest(request, response, message);
    if (message?.method !== 'initialize') {
      response.writeHead(404).end();
      return;
    }
    const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void transports.set(id, transport),
    });
    const store = new InMemoryTaskStore();
    stores.push(store);
    await makeServer(store, working).connect(transport);
    await transport.handleRequest(request, response, message);
  };
  const http = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    told,
    report: async (progress) => void (await Promise.all(working.map((task) => task.report(progress)))),
    finish: async () => void (await Promise.all(working.splice(0).map((task) => task.finish()))),
    async [Symbol.asyncDispose]() {
      http.close();
      for (const transport of transports.values()) await transport.close();
      for (const store of stores) store.cleanup();
      http.closeAllConnections();
    },
  };
}

function makeServer(taskStore: InMemoryTaskStore, working: Working[]): McpServer {
  const tasks = { list: {}, cancel: {}, requests: { tools: { call: {} } } };
  const server = new McpServer(
    { name: 'tasks', version: '1' },
    { capabilities: { tasks }, taskStore, taskMessageQueue: new InMemoryTaskMessageQueue() },
  );
  const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] });
  server.experimental.tasks.registerToolTask(
    'work',
    { execution: { taskSupport: 'optional' } },
    {
      async createTask(extra) {
        const task = await extra.taskStore.createTask({ ttl: 60_000 });
        const relatedTask = { taskId: task.taskId };
        working.push({
          async report(progress) {
            const progressToken = extra._meta?.progressToken;
            if (progressToken === undefined) return;
            await server.server.notification(
              { method: 'notifications/progress', params: { progressToken, progress } },
              { relatedTask },
            );
          },
          // One that was cancelled has ended before.
          finish: () =>
            extra.taskStore.storeTaskResult(task.taskId, 'completed', text('worked')).catch(() => undefined),
        });
        return { task };
      },
      getTask: (extra) => extra.taskStore.getTask(extra.taskId),
      getTaskResult: async () => text('worked'),
    },
  );
  server.experimental.tasks.registerToolTask(
    'confirm',
    { execution: { taskSupport: 'required' } },
    {
      async createTask(extra) {
        const task = await extra.taskStore.createTask({ ttl: 60_000 });
        const params = {
          message: 'go on?',
          requestedSchema: { type: 'object' as const, properties: {} },
        };
        await extra.taskStore.updateTaskStatus(task.taskId, 'input_required');
        void server.server
          .request({ method: 'elicitation/create', params }, ElicitResultSchema, {
            relatedTask: { taskId: task.taskId },
          })
          .then(({ action }) => extra.taskStore.storeTaskResult(task.taskId, 'completed', text(action)))
          .catch(() => undefined);
        return { task };
      },
      getTask: (extra) => extra.taskStore.getTask(extra.taskId),
      getTaskResult: async () => text('confirmed'),
    },
  );
  server.registerTool('draft', {}, async (extra) => {
    const messages = [{ role: 'user' as const, content: { type: 'text' as const, text: 'draft it' } }];
    const asking = server.server.experimental.tasks.createMessageStream(
      { messages, maxTokens: 10 },
      { task: { ttl: 60_000 }, relatedRequestId: extra.requestId },
    );
    const seen: string[] = [];
    for await (const message of asking) {
      if (message.type === 'error') throw message.error;
      seen.push(message.type === 'result' ? JSON.stringify(message.result.content) : message.type);
    }
    return text(seen.join(' '));
  });
  return server;
}

async function read(request: IncomingMessage): Promise<JsonRpc | undefined> {
  if (request.method !== 'POST') return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString()) as JsonRpc;
}
