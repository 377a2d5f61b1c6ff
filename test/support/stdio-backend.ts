/**
 * A tiny MCP server on standard input and output, for tests. Its tools:
 * `echo` answers its arguments, `meta` the call's `_meta`, `pid` its process id, `slow` answers after `ms`,
 * `crash` ends the process with code 3, `progress` sends progress for the call's token,
 * `log` logs its `data`, `ask` sends the client an elicitation and answers its reply, `spawn` starts a
 * process that outlives it if nobody ends it, and answers that process's id,
 * `chatter` answers, and says something every 100 ms from then on,
 * `raw` answers the result given as raw JSON in `result`, `garbage` prints lines
 * that are no messages before its answer, `flood` answers `bytes` of text, `subscriptions`
 * answers the URIs that it was asked to subscribe to, and was not asked to forget.
 * Arguments: `--die` ends at once, `--deaf` ignores the end of its input and SIGTERM.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** How to start it. */
export function stdioBackendCommand(...args: string[]) {
  return {
    command: process.execPath,
    args: ['--import', 'tsx', fileURLToPath(import.meta.url), ...args],
    env: { PATH: process.env['PATH'] ?? '' },
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  };
}

interface Request {
  readonly id?: number | string;
  readonly method?: string;
  readonly params?: {
    readonly name?: string;
    readonly arguments?: Readonly<Record<string, unknown>>;
    readonly uri?: string;
    readonly _meta?: { readonly progressToken?: unknown };
  };
  readonly result?: unknown;
}

const asked = new Map<string, Request>();
const subscribed: string[] = [];

function say(message: object): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
}

function answer(request: Request, result: unknown): void {
  say({ id: request.id, result });
}

function text(value: string) {
  return { content: [{ type: 'text', text: value }] };
}

function receive(message: Request): void {
  if (message.method === undefined) return answerAsked(message);
  if (message.id === undefined) return;
  const { uri = '' } = message.params ?? {};
  if (message.method === 'resources/subscribe') subscribed.push(uri);
  if (message.method === 'resources/unsubscribe') subscribed.splice(subscribed.indexOf(uri), 1);
  if (message.method === 'initialize') {
    const capabilities = { tools: { listChanged: true } };
    answer(message, {
      protocolVersion: '2025-11-25',
      capabilities,
      serverInfo: { name: 'stdio', version: '1' },
    });
  } else if (message.method === 'tools/list') answer(message, { tools: Object.keys(TOOLS).map(definition) });
  else if (message.method === 'tools/call')
    TOOLS[message.params?.name ?? '']?.(message, message.params?.arguments ?? {});
  else answer(message, {});
}

function answerAsked(reply: Request): void {
  const request = asked.get(String(reply.id));
  if (request !== undefined) answer(request, text(JSON.stringify(reply.result ?? reply)));
}

function definition(name: string) {
  return { name, inputSchema: { type: 'object' } };
}

const TOOLS: Readonly<Record<string, (request: Request, args: Readonly<Record<string, unknown>>) => void>> = {
  echo: (request, args) => answer(request, text(JSON.stringify(args))),
  meta: (request) => answer(request, text(JSON.stringify(request.params?._meta ?? null))),
  pid: (request) => answer(request, text(String(process.pid))),
  slow: (request, args) => void setTimeout(() => answer(request, text('slept')), Number(args['ms'] ?? 100)),
  crash: () => process.exit(3),
  progress(request) {
    const progressToken = request.params?._meta?.progressToken;
    say({ method: 'notifications/progress', params: { progressToken, progress: 1, total: 1 } });
    say({ method: 'notifications/tools/list_changed' });
    answer(request, text('done'));
  },
  ask(request) {
    asked.set('ask-1', request);
    say({ id: 'ask-1', method: 'elicitation/create', params: { message: 'your name?' } });
  },
  spawn(request) {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    answer(request, text(String(child.pid)));
  },
  chatter(request) {
    setInterval(
      () => say({ method: 'notifications/message', params: { level: 'info', data: 'still here' } }),
      100,
    );
    answer(request, text('chattering'));
  },
  raw: (request, args) =>
    void process.stdout.write(`{"jsonrpc":"2.0","id":${request.id},"result":${args['result']}}\n`),
  log(request, args) {
    say({ method: 'notifications/message', params: { level: 'info', data: args['data'] } });
    answer(request, text('logged'));
  },
  garbage(request) {
    process.stdout.write('listening on stdio\n{"half":\n\n');
    process.stderr.write('a warning\n');
    answer(request, text('after the garbage'));
  },
  subscriptions: (request) => answer(request, text(subscribed.toSorted().join())),
  flood: (request, args) => answer(request, text('x'.repeat(Number(args['bytes'])))),
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--die')) process.exit(2);
  if (process.argv.includes('--deaf')) {
    process.on('SIGTERM', () => {});
    setInterval(() => {}, 1000);
  }
  createInterface({ input: process.stdin }).on('line', (line) => receive(JSON.parse(line) as Request));
}
