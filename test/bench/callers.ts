import type { HttpConnection } from './http-connection.ts';
import type { Load } from './loads.ts';
import { type BenchSession, type Endpoint, openSession } from './mcp-session.ts';
import type { HttpAnswer } from './response-reader.ts';

/** Does what its load does, once, and checks every answer to it. */
export type Call = () => Promise<void>;

/** Who calls: one keep-alive connection, in a session that others may share. */
export interface Caller {
  readonly connection: HttpConnection;
  readonly session: BenchSession;
  readonly load: Load;
  readonly endpoint: Endpoint;
}

export function createCaller(caller: Caller): Call {
  switch (caller.load.kind) {
    case 'call':
      return () => call(caller);
    case 'list':
      return () => list(caller);
    case 'notify':
      return () => notify(caller);
    case 'churn':
      return () => churn(caller);
    case 'mix':
      return mixed(caller);
  }
}

let lastId = 0;

async function call(caller: Caller): Promise<void> {
  const { load, endpoint } = caller;
  const id = nextId();
  const echo = `echo-${id}-${(id * 7919) % 100_003}`;
  const tool = endpoint.tool ?? 'echo';
  const { answerBytes, sse, progress } = load;
  const meta = progress > 0 ? `,"_meta":{"progressToken":${id}}` : '';
  const head = `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"${tool}"${meta},"arguments":{"echo":"${echo}","bytes":${answerBytes},"sse":${sse},"progress":${progress},"pad":"`;
  const padding = Math.max(0, load.requestBytes - head.length - 5);
  const answer = await send(caller, `${head}${'x'.repeat(padding)}"}}}`);
  const { body } = answer;
  check(answer, `tools/call ${id} (${echo})`, [
    answer.status === 200,
    body.includes(`"id":${id}`),
    // The text begins and ends with the value, so that a cut or mixed answer shows.
    body.indexOf(echo) !== body.lastIndexOf(echo),
    body.length > answerBytes,
    progress === 0 || body.includes(`"progress":${progress}`),
  ]);
}

async function list(caller: Caller): Promise<void> {
  const id = nextId();
  const answer = await send(caller, `{"jsonrpc":"2.0","id":${id},"method":"tools/list","params":{}}`);
  const { status, body } = answer;
  check(answer, `tools/list ${id}`, [
    status === 200,
    body.includes(`"id":${id}`),
    body.includes('"tools":['),
  ]);
}

/** Of a request that has long been answered: what the mesh does with it is all that it costs. */
async function notify(caller: Caller): Promise<void> {
  const params = `{"requestId":"gone-${nextId()}","reason":"the bench"}`;
  const method = 'notifications/cancelled';
  const answer = await send(caller, `{"jsonrpc":"2.0","method":"${method}","params":${params}}`);
  check(answer, method, [answer.status === 202]);
}

async function churn(caller: Caller): Promise<void> {
  const session = await openSession(caller.endpoint);
  const own = { ...caller, session };
  await list(own);
  await call(own);
  await session.end();
}

/** Callers begin at different places, so that each moment has some of everything. */
function mixed(caller: Caller): Call {
  const { load } = caller;
  const small = () => call(caller);
  const large = () => call({ ...caller, load: { ...load, answerBytes: 65_536 } });
  const withProgress = () => call({ ...caller, load: { ...load, sse: true, progress: 2 } });
  const calls = [
    small,
    small,
    large,
    small,
    () => list(caller),
    small,
    withProgress,
    small,
    () => notify(caller),
    small,
  ];
  let turn = nextId();
  return () => {
    turn += 1;
    return (calls[turn % calls.length] ?? small)();
  };
}

function nextId(): number {
  lastId += 1;
  return lastId;
}

function send({ session, connection }: Caller, message: string): Promise<HttpAnswer> {
  return session.send(connection, message);
}

function check({ status, body }: HttpAnswer, what: string, conditions: readonly boolean[]): void {
  if (!conditions.includes(false)) return;
  throw new Error(`a wrong answer to ${what}: HTTP ${status} ${body.toString('utf8', 0, 300)}`);
}
