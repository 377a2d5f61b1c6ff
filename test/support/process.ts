import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A program of ours to run as the users do. */
export interface ProgramSpec {
  /** For messages: `replica a`. */
  readonly name: string;
  /** Arguments of Node: the entry point and its own. */
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What the system lets it have, as `ulimit` takes it: `-n 64`. */
  readonly limits?: string;
  /** Where it runs; where the test does when absent. */
  readonly cwd?: string;
  /** Answers 200 when the program is ready. */
  readonly readyUrl: string;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RestartOptions {
  /** False: returns as soon as the process runs. */
  readonly awaitReady?: boolean;
  /** More arguments, from this start on. */
  readonly args?: readonly string[];
}

const READY_WITHIN_MS = 20_000;
const POLL_MS = 25;
const KEPT_LINES = 5_000;

/** Whatever happens to a test run, nothing that it started outlives it; not even what it has stopped. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A real operating-system process that a test starts, watches, kills and starts again. */
export class TestProcess {
  readonly spec: ProgramSpec;
  readonly #lines: string[] = [];
  #args: readonly string[] = [];
  #child: ChildProcess | undefined;
  #exited: Promise<Exit> = Promise.resolve({ code: null, signal: null });

  constructor(spec: ProgramSpec) {
    this.spec = spec;
  }

  get name(): string {
    return this.spec.name;
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.name} was never started`);
    return this.#child.pid;
  }

  /** How the process that runs now, or ran last, ended. */
  get exited(): Promise<Exit> {
    return this.#exited;
  }

  /** What it and the ones before it wrote, a line each, oldest first. */
  log(): string[] {
    return [...this.#lines];
  }

  /** Starts it, as often as wished; rejects with what it wrote when it does not become ready. */
  async start({ awaitReady = true, args = this.#args }: RestartOptions = {}): Promise<void> {
    this.#args = args;
    const command = [process.execPath, ...this.spec.args, ...args];
    const [program = '', ...rest] =
      this.spec.limits === undefined
        ? command
        : ['sh', '-c', `ulimit ${this.spec.limits} && exec "$0" "$@"`, ...command];
    const child = spawn(program, rest, {
      env: { ...process.env, ...this.spec.env },
      cwd: this.spec.cwd,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child = child;
    running.add(child);
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        running.delete(child);
        resolve({ code, signal });
      });
    });
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => this.#keep(line));
    }
    if (awaitReady) await this.ready();
  }

  /** Resolves when the ready probe answers 200. */
  async ready(withinMs = READY_WITHIN_MS): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (!(await answersOk(this.spec.readyUrl))) {
      if (!this.alive) throw this.#failure('ended before it was ready');
      if (performance.now() > deadline) throw this.#failure('was not ready in time');
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  get alive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Sends the signal; one that ends a process is waited for. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!this.alive) return;
    this.#child?.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await this.#exited;
  }

  /** Ends what still runs and starts it anew, at the same addresses. */
  async restart(options: RestartOptions = {}): Promise<void> {
    await this.kill('SIGKILL');
    await this.start(options);
  }

  /** Closes the channel by which the process knows that its supervisor lives. */
  disconnect(): void {
    this.#child?.disconnect();
  }

  #keep(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
  }

  #failure(what: string): Error {
    return new Error(`${this.name} ${what}\n${this.#lines.slice(-40).join('\n')}`);
  }
}

async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
