import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from './call.ts';
import type { JsonRpc } from './record.ts';
import type { Script, ToolBehaviour } from './script.ts';
import type { Tasks } from './tasks.ts';

/** What answering a method needs of the backend around it. */
export interface Surroundings {
  readonly script: Script;
  /** State of the session; gone with it. */
  readonly counters: Map<string, number>;
  readonly tasks: Tasks;
  executed(tool: string, args: unknown): void;
  /** Sends a request to the client on the call's stream; resolves with its response. */
  ask(call: Call, request: JsonRpc): Promise<JsonRpc>;
}

/** Answers one request the way an ordinary MCP server would. */
export async function answer(call: Call, around: Surroundings): Promise<void> {
  const { script } = around;
  const params = call.message.params ?? {};
  switch (call.message.method) {
    case 'ping':
    case 'logging/setLevel':
    case 'resources/subscribe':
    case 'resources/unsubscribe':
      return call.result({});
    case 'tools/list':
      return list(call, 'tools', toolsOf(call, script).map(toDefinition), script.pageSize);
    case 'resources/list':
      return list(call, 'resources', script.resources, script.pageSize);
    case 'resources/templates/list':
      return list(call, 'resourceTemplates', script.resourceTemplates, script.pageSize);
    case 'prompts/list':
      return list(call, 'prompts', script.prompts, script.pageSize);
    case 'resources/read':
      return call.result({
        contents: [{ uri: params['uri'], mimeType: 'text/plain', text: `from ${script.name}` }],
      });
    case 'prompts/get':
      return call.result({
        messages: [{ role: 'user', content: { type: 'text', text: `from ${script.name}` } }],
      });
    case 'completion/complete':
      return call.result({ completion: { values: [script.name], total: 1, hasMore: false } });
    case 'tools/call':
      if (script.capabilities['tasks'] !== undefined && params['task'] !== undefined)
        return around.tasks.create(call);
      return callTool(call, around);
    case 'tasks/get':
      return around.tasks.get(call);
    case 'tasks/result':
      return around.tasks.result(call);
    case 'tasks/cancel':
      return around.tasks.cancel(call);
    case 'tasks/list':
      return around.tasks.list(call, script.pageSize);
    default:
      return call.error(-32601, 'Method not found');
  }
}

function toolsOf({ sessionId = '' }: Call, script: Script): Script['tools'] {
  return script.toolsOf[sessionId] ?? script.tools;
}

function toDefinition(tool: Script['tools'][number]): Record<string, unknown> {
  return { name: tool.name, inputSchema: { type: 'object' }, ...tool.definition };
}

function list(call: Call, field: string, items: readonly unknown[], pageSize: number): void {
  const from = Number(call.message.params?.['cursor'] ?? 0);
  const to = from + pageSize;
  const more = to < items.length ? { nextCursor: String(to) } : {};
  call.result({ [field]: items.slice(from, to), ...more });
}

async function callTool(call: Call, around: Surroundings): Promise<void> {
  const name = String(call.message.params?.['name']);
  const args = (call.message.params?.['arguments'] ?? {}) as Record<string, unknown>;
  const tool = around.script.tools.find((each) => each.name === name);
  if (tool === undefined) return call.error(-32602, `Unknown tool: ${name}`);
  around.executed(name, args);
  const raw = around.script.results[name];
  if (raw !== undefined) return call.resultText(raw);
  await BEHAVE[tool.behaviour ?? 'echo']({ call, args, around });
}

interface Execute {
  readonly call: Call;
  readonly args: Record<string, unknown>;
  readonly around: Surroundings;
}

const BEHAVE: Readonly<Record<ToolBehaviour, (options: Execute) => void | Promise<void>>> = {
  echo: ({ call, args }) => call.result(text(JSON.stringify(args))),
  whoami: ({ call }) =>
    call.result(text(JSON.stringify({ authorization: call.authorization, sessionId: call.sessionId }))),
  count({ call, around }) {
    const count = (around.counters.get('count') ?? 0) + 1;
    around.counters.set('count', count);
    call.result(text(String(count)));
  },
  async slow({ call, args }) {
    await sleep(Number(args['ms'] ?? 100), undefined, { ref: false });
    call.result(text('slept'));
  },
  async progress({ call, args }) {
    const steps = Number(args['steps'] ?? 3);
    const token = (call.message.params?.['_meta'] as { progressToken?: unknown } | undefined)?.progressToken;
    for (let step = 1; step <= steps; step += 1) {
      const params = { progressToken: token, progress: step, total: steps };
      if (token !== undefined) call.say({ method: 'notifications/progress', params });
      await sleep(Number(args['ms'] ?? 5), undefined, { ref: false });
    }
    call.say({ method: 'notifications/message', params: { level: 'info', data: 'done' } });
    call.result(text('done'));
  },
  async ask({ call, args, around }) {
    const reply = await around.ask(call, {
      method: String(args['request'] ?? 'elicitation/create'),
      params: (args['params'] ?? { message: 'your name?' }) as Record<string, unknown>,
    });
    call.result(text(JSON.stringify(reply.result ?? reply.error)));
  },
  async poll({ call, args }) {
    const ms = Number(args['ms'] ?? 20);
    call.stream.poll(ms);
    await sleep(ms, undefined, { ref: false });
    call.result(text('polled'));
  },
  fail: ({ call }) => call.result({ ...text('it failed'), isError: true }),
  error: ({ call }) => call.error(-32000, 'the backend says no', { why: 'because' }),
  hang() {},
};

function text(value: string): { content: readonly { type: 'text'; text: string }[] } {
  return { content: [{ type: 'text', text: value }] };
}
