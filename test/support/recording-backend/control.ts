import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { RecordingBackend } from '../recording-backend.ts';
import { type ReadyProcess, spawnReady } from '../spawn-ready.ts';
import { type BackendRecord, type JsonRpc, RecordView, type RequestFilter } from './record.ts';
import type { Reaction, Script } from './script.ts';

/** What can be done to a recording backend from outside its process. */
type Action =
  | { readonly action: 'script'; readonly change: Partial<Script> }
  | { readonly action: 'next'; readonly method: string; readonly reaction: Reaction }
  | { readonly action: 'push'; readonly message: JsonRpc; readonly sessionId?: string }
  | { readonly action: 'seen'; readonly filter: RequestFilter }
  | { readonly action: 'listeners'; readonly count: number }
  | { readonly action: 'loseSessions' | 'cutStreams' | 'restart' };

interface Addresses {
  readonly url: string;
  readonly control: string;
}

/** A recording backend in a process of its own; its record and its script are reached over HTTP. */
export class SpawnedRecordingBackend implements AsyncDisposable {
  readonly #process: ReadyProcess<Addresses>;

  static async start(script: Partial<Script> = {}, port = 0): Promise<SpawnedRecordingBackend> {
    const program = fileURLToPath(new URL('../recording-backend.ts', import.meta.url));
    const child = await spawnReady<Addresses>({
      args: ['--import', 'tsx', program, '--port', String(port), '--script', JSON.stringify(script)],
      ready: (line) => (line.startsWith('{"url"') ? (JSON.parse(line) as Addresses) : undefined),
    });
    return new SpawnedRecordingBackend(child);
  }

  private constructor(child: ReadyProcess<Addresses>) {
    this.#process = child;
  }

  get url(): string {
    return this.#process.ready.url;
  }

  get pid(): number {
    return this.#process.pid;
  }

  async view(): Promise<RecordView> {
    const response = await fetch(`${this.#process.ready.control}/record`);
    return new RecordView((await response.json()) as BackendRecord);
  }

  script(change: Partial<Script>): Promise<void> {
    return this.#do({ action: 'script', change });
  }

  next(method: string, reaction: Reaction): Promise<void> {
    return this.#do({ action: 'next', method, reaction });
  }

  push(message: JsonRpc, sessionId?: string): Promise<void> {
    return this.#do({ action: 'push', message, ...(sessionId === undefined ? {} : { sessionId }) });
  }

  /** Resolves when such a request has come. */
  seen(filter: RequestFilter): Promise<void> {
    return this.#do({ action: 'seen', filter });
  }

  /** Resolves when so many GET streams are open. */
  listeners(count: number): Promise<void> {
    return this.#do({ action: 'listeners', count });
  }

  loseSessions(): Promise<void> {
    return this.#do({ action: 'loseSessions' });
  }

  cutStreams(): Promise<void> {
    return this.#do({ action: 'cutStreams' });
  }

  restart(): Promise<void> {
    return this.#do({ action: 'restart' });
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #do(action: Action): Promise<void> {
    const body = JSON.stringify(action);
    const response = await fetch(`${this.#process.ready.control}/do`, { method: 'POST', body });
    if (!response.ok) throw new Error(`the recording backend refused ${action.action}: ${response.status}`);
  }
}

/** The program: a backend, and beside it the endpoint through which it is asked and scripted. */
export async function runControlled(
  start: (script: Partial<Script>, port: number) => Promise<RecordingBackend>,
): Promise<void> {
  const { values } = parseArgs({
    options: { port: { type: 'string', default: '0' }, script: { type: 'string', default: '{}' } },
  });
  const backend = await start(JSON.parse(values.script) as Partial<Script>, Number(values.port));
  const control = createServer((request, response) => {
    if (request.url === '/record') {
      response.end(JSON.stringify(backend.record));
      return;
    }
    read(request)
      .then((body) => perform(backend, JSON.parse(body) as Action))
      .then(() => response.writeHead(204).end())
      .catch((error: unknown) => response.writeHead(400).end(String(error)));
  });
  control.listen(0, '127.0.0.1', () => {
    const { port } = control.address() as AddressInfo;
    console.log(JSON.stringify({ url: backend.url, control: `http://127.0.0.1:${port}` }));
  });
  process.once('SIGTERM', () => process.exit(0));
}

async function perform(backend: RecordingBackend, action: Action): Promise<void> {
  switch (action.action) {
    case 'script':
      return backend.script(action.change);
    case 'next':
      return backend.next(action.method, action.reaction);
    case 'push':
      return backend.push(action.message, action.sessionId);
    case 'seen':
      return void (await backend.seen(action.filter));
    case 'listeners':
      return backend.listeners(action.count);
    case 'loseSessions':
      return backend.loseSessions();
    case 'cutStreams':
      return backend.cutStreams();
    case 'restart':
      return backend.restart();
  }
}

async function read(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += chunk;
  return body;
}
