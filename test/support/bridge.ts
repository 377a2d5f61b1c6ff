import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { OUTRIGGER } from './build.ts';
import type { JsonRpc } from './recording-backend.ts';

/** `outrigger connect`, driven line by line: a client that hides nothing and adds nothing. */
export class Bridge implements AsyncDisposable {
  readonly child: ChildProcessWithoutNullStreams;
  /** Every line of its standard output, as it came. */
  readonly lines: string[] = [];
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stderr = '';
  readonly #watchers = new Set<() => void>();
  #partial = '';
  #id = 0;

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, [OUTRIGGER, 'connect', ...args], {
      env: { PATH: process.env['PATH'], ...env },
      stdio: 'pipe',
    });
    this.exited = once(this.child, 'exit').then(([code, signal]) => {
      this.#changed();
      return { code: code as number | null, signal: signal as NodeJS.Signals | null };
    });
    this.child.stdin.on('error', () => {});
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => this.#take(text));
  }

  /** What it said, line by line, parsed. */
  get messages(): JsonRpc[] {
    return this.lines.map((line) => JSON.parse(line) as JsonRpc);
  }

  /** Writes one line: an object, or raw text. */
  send(message: JsonRpc | string): void {
    const text = typeof message === 'string' ? message : JSON.stringify({ jsonrpc: '2.0', ...message });
    this.child.stdin.write(`${text}\n`);
  }

  /** Sends a request and returns its id. */
  begin(method: string, params: Readonly<Record<string, unknown>> = {}): number {
    this.#id += 1;
    this.send({ id: this.#id, method, params });
    return this.#id;
  }

  request(method: string, params: Readonly<Record<string, unknown>> = {}): Promise<JsonRpc> {
    return this.answer(this.begin(method, params));
  }

  call(name: string, args: Readonly<Record<string, unknown>> = {}): Promise<JsonRpc> {
    return this.request('tools/call', { name, arguments: args });
  }

  beginCall(name: string, args: Readonly<Record<string, unknown>> = {}): number {
    return this.begin('tools/call', { name, arguments: args });
  }

  answer(id: number | string): Promise<JsonRpc> {
    return this.message((message) => message.method === undefined && message.id === id);
  }

  /** All answers under this id. */
  answers(id: number | string): JsonRpc[] {
    return this.messages.filter((message) => message.method === undefined && message.id === id);
  }

  /** The first message that fits, past or future; rejects when it ends without. */
  async message(fits: (message: JsonRpc) => boolean): Promise<JsonRpc> {
    for (let seen = 0; ; ) {
      for (; seen < this.lines.length; seen += 1) {
        const message = JSON.parse(this.lines[seen] ?? '') as JsonRpc;
        if (fits(message)) return message;
      }
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`it ended without the message\n${this.lines.join('\n')}\n${this.stderr}`);
      }
      await new Promise<void>((resolve) => {
        const watch = () => {
          this.#watchers.delete(watch);
          resolve();
        };
        this.#watchers.add(watch);
      });
    }
  }

  /** The handshake of a client with these capabilities; returns the answer to initialize. */
  async initialize(
    capabilities: Readonly<Record<string, unknown>> = {},
    protocolVersion = '2025-11-25',
  ): Promise<JsonRpc> {
    const clientInfo = { name: 'a stdio client', version: '1' };
    const answer = await this.request('initialize', { protocolVersion, capabilities, clientInfo });
    this.send({ method: 'notifications/initialized' });
    return answer;
  }

  /** Ends its input; resolves with how it ended. */
  end(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    this.child.stdin.end();
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await this.exited;
  }

  #take(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    this.lines.push(...lines);
    if (lines.length > 0) this.#changed();
  }

  #changed(): void {
    for (const watch of [...this.#watchers]) watch();
  }
}

/** The text of a tool's result in an answer. */
export function resultText(answer: JsonRpc): string {
  const { content } = (answer.result ?? {}) as { content?: readonly { text?: string }[] };
  const text = content?.[0]?.text;
  if (text === undefined) throw new Error(`no result: ${JSON.stringify(answer)}`);
  return text;
}

/** The mesh's own reason in an error. */
export function reason(answer: JsonRpc): string | undefined {
  return (answer.error?.data as { reason?: string } | undefined)?.reason;
}
