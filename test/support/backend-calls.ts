import {
  type Backend,
  type BackendCall,
  type BackendEvents,
  BackendFault,
  type BackendSession,
} from '../../control-plane/backend/backend.ts';
import { HealthRecord } from '../../control-plane/backend/health.ts';
import type { HttpBackendOptions } from '../../control-plane/backend/http-options.ts';
import { SseBackend, type SseOptions } from '../../control-plane/backend/sse.ts';
import {
  StreamableHttpBackend,
  type StreamableHttpOptions,
} from '../../control-plane/backend/streamable-http.ts';
import type { Message } from '../../shared/json-rpc/message.ts';

/** Our connector to a URL; stopped when it goes out of scope. */
export interface Connector extends AsyncDisposable {
  readonly backend: Backend;
  readonly health: HealthRecord;
}

export const ALICE = { authorization: 'Bearer alice' };
export const BOB = { authorization: 'Bearer bob' };
export const INITIALIZE_PARAMS =
  '{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"test","version":"1.0"}}';

export function connectTo(url: string, options: Partial<StreamableHttpOptions> = {}): Connector {
  return connector(options.health, (common) => new StreamableHttpBackend({ ...common, url, ...options }));
}

/** The same over HTTP+SSE. */
export function connectToSse(url: string, options: Partial<SseOptions> = {}): Connector {
  return connector(
    options.health,
    (common) => new SseBackend({ ...common, url, graceMs: 30_000, ...options }),
  );
}

function connector(
  health = new HealthRecord(),
  make: (common: Pick<HttpBackendOptions, 'name' | 'headers' | 'messageBytes' | 'health'>) => Backend,
): Connector {
  const backend = make({ name: 'test', headers: {}, messageBytes: 4 * 1024 * 1024, health });
  return { backend, health, [Symbol.asyncDispose]: () => backend.stop() };
}

/** What a session said that answers nothing. */
export interface Heard extends BackendEvents {
  readonly messages: Message[];
  readonly faults: BackendFault[];
}

export function hear(): Heard {
  const messages: Message[] = [];
  const faults: BackendFault[] = [];
  return {
    messages,
    faults,
    message: (message) => void messages.push(message),
    lost: (fault) => void faults.push(fault),
  };
}

export function open(
  backend: Backend,
  options: {
    credential?: Record<string, string>;
    events?: BackendEvents;
    timeoutMs?: number;
    lifeMs?: number;
    signal?: AbortSignal;
  } = {},
): Promise<BackendSession> {
  return backend.open({
    initializeParams: Buffer.from(INITIALIZE_PARAMS),
    credential: ALICE,
    events: hear(),
    timeoutMs: 5_000,
    lifeMs: Number.POSITIVE_INFINITY,
    signal: new AbortController().signal,
    ...options,
  });
}

export interface ToolCall extends Partial<Omit<BackendCall, 'pieces' | 'method'>> {
  readonly arguments?: unknown;
  /** Asks for progress under the call's id. */
  readonly progress?: boolean;
}

let lastId = 0;

/** Calls a tool; the answer's text content, parsed where it is JSON. */
export async function callTool(
  session: BackendSession,
  name: string,
  options: ToolCall = {},
): Promise<unknown> {
  const answer = JSON.parse((await rawCall(session, name, options)).bytes.toString());
  const text = answer.result?.content?.[0]?.text;
  return text === undefined ? (answer.result ?? answer.error) : text;
}

/** Calls a tool; the answer as it came. */
export function rawCall(session: BackendSession, name: string, options: ToolCall = {}): Promise<Message> {
  const { arguments: args = {}, progress = false, ...more } = options;
  const id = more.id ?? ++lastId;
  const meta = progress ? { _meta: { progressToken: id } } : {};
  const params = { name, arguments: args, ...meta };
  return session.call({
    id,
    pieces: [Buffer.from(JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params }))],
    method: 'tools/call',
    credential: ALICE,
    timeoutMs: 5_000,
    maxTimeoutMs: 10_000,
    onMessage() {},
    ...more,
  });
}

/** The fault that a promise rejects with. */
export async function faultOf(promise: Promise<unknown>): Promise<BackendFault> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof BackendFault) return error;
    throw error;
  }
  throw new Error('there was no fault');
}

/** Resolves when the condition holds; the test's own time limit bounds it. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
