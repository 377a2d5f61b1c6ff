import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../shared/log.ts';
import { BackendFault } from './backend.ts';
import { type ChildRecords, signalGroup } from './child-records.ts';
import { outOfDescriptors } from './faults.ts';
import { LineReader } from './line-reader.ts';

/** How to start a server that speaks on its standard input and output. */
export interface ChildCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** The child's whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

export interface ChildOptions {
  readonly command: ChildCommand;
  readonly records: ChildRecords;
  readonly log: Logger;
  /** The longest line it may write, in bytes. */
  readonly lineBytes: number;
  readonly onLine: (line: Buffer) => void;
  readonly onTooLong: () => void;
  /** Once, when it is gone or could not be started. */
  readonly onGone: (fault: BackendFault) => void;
}

/** What may wait for a child that does not read, in bytes. */
const WAITING_BYTES = 8 * 1024 * 1024;
/** What a child wrote just before it ended may still be in the pipe for that long. */
const LAST_WORDS_MS = 100;
const STDIN_GRACE_MS = 1_000;
const TERM_GRACE_MS = 2_000;
const STDERR_LINE_BYTES = 1_024;
const STDERR_LINES = 100;
const STDERR_WINDOW_MS = 10_000;

/** A child process in a process group of its own, so that what it starts ends with it. */
export class Child {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #records: ChildRecords;
  readonly #onGone: (fault: BackendFault) => void;
  readonly #gone: Promise<void>;
  #resolveGone!: () => void;
  #isGone = false;
  #ending: Promise<void> | undefined;

  /** Throws BackendFault `busy` when there is no file descriptor for its pipes. */
  constructor(options: ChildOptions) {
    const { command, args, env, cwd } = options.command;
    this.#records = options.records;
    this.#onGone = options.onGone;
    this.#gone = new Promise((resolve) => {
      this.#resolveGone = resolve;
    });
    this.#process = spawn(command, args, { env, cwd, stdio: 'pipe', detached: true, windowsHide: true });
    // Without descriptors Node makes no pipes, whatever its types say, and tells why in an event.
    if (Reflect.get(this.#process, 'stdout') == null) {
      this.#process.once('error', () => {});
      throw outOfDescriptors();
    }
    this.#listen(options);
    if (this.#process.pid !== undefined) this.#records.add(this.#process.pid);
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Hands over one line without its end. Throws BackendFault `busy` when the child does not read. */
  write(line: Buffer): void {
    const { stdin } = this.#process;
    if (stdin.writableLength > WAITING_BYTES) {
      throw new BackendFault('busy', 'The backend does not read what it is sent.', { executed: 'no' });
    }
    stdin.cork();
    stdin.write(line);
    stdin.write('\n');
    process.nextTick(() => stdin.uncork());
  }

  /** Ends it: its input first, as the specification asks, then SIGTERM, then SIGKILL. Resolves when it is gone. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    this.#process.stdin.end();
    await this.#goneWithin(STDIN_GRACE_MS);
    if (!this.#isGone) this.#signal('SIGTERM');
    await this.#goneWithin(TERM_GRACE_MS);
    if (!this.#isGone) this.#signal('SIGKILL');
    await this.#gone;
  }

  async #goneWithin(ms: number): Promise<void> {
    if (this.#isGone) return;
    const waiting = new AbortController();
    await Promise.race([this.#gone, sleep(ms, undefined, { signal: waiting.signal }).catch(() => {})]);
    waiting.abort();
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#process.pid !== undefined) signalGroup(this.#process.pid, signal);
  }

  #listen(options: ChildOptions): void {
    const { stdout, stderr, stdin } = this.#process;
    const lines = new LineReader({ ...options, limit: options.lineBytes });
    stdout.on('data', (chunk: Buffer) => lines.push(chunk));
    stdout.on('error', () => {});
    stderr.on('error', () => {});
    // A child that is gone is told of by its exit.
    stdin.on('error', () => {});
    logLines(this.#process, options.log);
    this.#process.once('error', (error) => {
      if (this.#process.pid === undefined) {
        this.#leave(
          new BackendFault('unreachable', 'The backend cannot be started.', { cause: error, executed: 'no' }),
        );
      }
    });
    this.#process.once('exit', (code, signal) => {
      // The leader is reaped, but the group still holds its number as long as anybody is left in it.
      this.#signal('SIGKILL');
      const how = signal ?? `code ${code}`;
      const leave = () =>
        this.#leave(new BackendFault('session_lost', `The backend's process ended with ${how}.`));
      const timer = setTimeout(leave, LAST_WORDS_MS);
      this.#process.once('close', () => {
        clearTimeout(timer);
        leave();
      });
    });
  }

  #leave(fault: BackendFault): void {
    if (this.#isGone) return;
    this.#isGone = true;
    if (this.#process.pid !== undefined) this.#records.remove(this.#process.pid);
    this.#resolveGone();
    this.#onGone(fault);
  }
}

/** The child's standard error as log lines: cut in length, and in number where a child floods. */
function logLines(child: ChildProcessWithoutNullStreams, log: Logger): void {
  let windowStart = 0;
  let count = 0;
  const say = (detail: string) => {
    const now = performance.now();
    if (now - windowStart > STDERR_WINDOW_MS) {
      windowStart = now;
      count = 0;
    }
    count += 1;
    if (count <= STDERR_LINES) log.info('the backend wrote', { pid: child.pid, detail });
    if (count === STDERR_LINES)
      log.warn('the backend writes too much: the rest is not shown', { pid: child.pid });
  };
  const lines = new LineReader({
    limit: STDERR_LINE_BYTES,
    onLine: (line) => say(line.toString()),
    onTooLong: () => say('(a line over 1 KiB)'),
  });
  child.stderr.on('data', (chunk: Buffer) => lines.push(chunk));
}
