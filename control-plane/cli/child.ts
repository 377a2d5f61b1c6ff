import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Logger } from '../../shared/log.ts';
import { redact } from '../../shared/redact.ts';

/** A program that the supervisor keeps running. */
export interface ChildSpec {
  /** For people: `replica a`. */
  readonly name: string;
  /** An entry point of ours, or the guard with a command behind it; run by this very Node. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Answers 200 when the program is ready; without one it is ready when it runs. */
  readonly readyUrl?: string | undefined;
  /** How long it may take to end when it is asked to. */
  readonly graceMs: number;
}

export interface ChildEvents {
  /** A line that the program wrote, redacted. */
  line(name: string, text: string): void;
}

type ChildState =
  | { readonly kind: 'running'; readonly process: ChildProcess }
  | { readonly kind: 'waiting'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'stopped' };

/** Back-off between starts, doubling; a program that ran this long starts over at the first. */
const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 10_000;
const STEADY_MS = 30_000;
const POLL_MS = 50;
const PROBE_TIMEOUT_MS = 1_000;
/** Long enough for a program to have come to its own handling of signals. */
const SETTLED_MS = 2_000;

/**
 * One supervised program: started again with back-off when it ends by itself.
 * It leads a process group of its own, so the terminal's Ctrl-C reaches the
 * supervisor alone, and holds the other end of an IPC channel, whose closing
 * tells it that the supervisor is gone.
 */
export class Child {
  readonly spec: ChildSpec;
  readonly #log: Logger;
  readonly #events: ChildEvents;
  #state: ChildState = { kind: 'stopped' };
  #delayMs = FIRST_DELAY_MS;
  #everReady = false;
  #startedAt = 0;

  constructor(options: { spec: ChildSpec; log: Logger; events: ChildEvents }) {
    this.spec = options.spec;
    this.#log = options.log;
    this.#events = options.events;
  }

  get pid(): number | undefined {
    return 'process' in this.#state ? this.#state.process.pid : undefined;
  }

  /** Resolves when the program is ready for the first time; rejects when it ends before, or the signal says so. */
  async start(signal: AbortSignal): Promise<void> {
    const child = this.#spawn();
    const ended = once(child, 'exit').then(([code, by]: unknown[]) => {
      throw new Error(`${this.spec.name} ended with ${by ?? code} before it was ready`);
    });
    await Promise.race([ended, this.#ready(signal)]);
    ended.catch(() => {});
    this.#everReady = true;
  }

  /** SIGHUP, to a program that has run for a while: one that has only just started reads what is there now. */
  reload(): void {
    if (this.#state.kind !== 'running' || performance.now() - this.#startedAt < SETTLED_MS) return;
    this.#state.process.kill('SIGHUP');
  }

  /** SIGTERM, and SIGKILL for the whole group after the grace time. Resolves when it is gone. */
  async stop(): Promise<void> {
    const state = this.#state;
    this.#state = { kind: 'stopped' };
    if (state.kind === 'waiting') clearTimeout(state.timer);
    if (!('process' in state) || state.process.exitCode !== null || state.process.signalCode !== null) return;
    const gone = once(state.process, 'exit');
    state.process.kill('SIGTERM');
    const bound = setTimeout(() => {
      this.#log.warn(`${this.spec.name} did not end in time`, { durationMs: this.spec.graceMs });
      killGroup(state.process.pid);
    }, this.spec.graceMs);
    await gone;
    clearTimeout(bound);
  }

  #spawn(): ChildProcess {
    const startedAt = performance.now();
    this.#startedAt = startedAt;
    const child = spawn(process.execPath, [...this.spec.args], {
      detached: true,
      env: { ...this.spec.env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#state = { kind: 'running', process: child };
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) =>
        this.#events.line(this.spec.name, redact(line)),
      );
    }
    child.once('error', (error) => this.#log.error(`cannot start ${this.spec.name}`, { error }));
    child.once('exit', (code, by) =>
      this.#onExit(child, { how: by ?? code, ranMs: performance.now() - startedAt }),
    );
    return child;
  }

  #onExit(child: ChildProcess, { how, ranMs }: { how: string | number | null; ranMs: number }): void {
    // What it started and left behind goes with it.
    killGroup(child.pid);
    if (!('process' in this.#state) || this.#state.process !== child) return;
    if (!this.#everReady) {
      this.#state = { kind: 'stopped' };
      return;
    }
    if (ranMs > STEADY_MS) this.#delayMs = FIRST_DELAY_MS;
    this.#log.warn(`${this.spec.name} ended with ${how}; it is started again`, { delayMs: this.#delayMs });
    const timer = setTimeout(() => {
      this.#log.info(`${this.spec.name} is started again`, { pid: this.#spawn().pid });
    }, this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, LONGEST_DELAY_MS);
    this.#state = { kind: 'waiting', timer };
  }

  async #ready(signal: AbortSignal): Promise<void> {
    const { readyUrl } = this.spec;
    while (readyUrl !== undefined && !(await answersOk(readyUrl))) {
      signal.throwIfAborted();
      if (this.#state.kind === 'stopped') return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    await response.body?.cancel();
    // A server that does not know the path is up all the same; one that says 503 is not.
    return response.status < 500;
  } catch {
    return false;
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody of the group is left.
  }
}
