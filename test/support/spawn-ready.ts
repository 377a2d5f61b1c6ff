import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** A child process that said it was ready; disposing it ends it. */
export interface ReadyProcess<Ready> extends AsyncDisposable {
  readonly pid: number;
  /** What `ready` read from the line that announced it. */
  readonly ready: Ready;
  /** Sends SIGTERM, and SIGKILL after 3 s; resolves when the process is gone. */
  stop(): Promise<void>;
}

/** What to start, and how to know that it is ready. */
export interface SpawnReady<Ready> {
  /** The program; the running Node when absent. */
  readonly command?: string;
  readonly args: readonly string[];
  readonly env?: Record<string, string>;
  /** Reads one line of stdout or stderr; anything but undefined means ready. */
  ready(line: string): Ready | undefined;
  /** How long to wait for readiness, in milliseconds (15 s). */
  readonly timeoutMs?: number;
}

/**
 * Starts a program and resolves when a line of its output says that it is ready. Rejects, with the last
 * lines it wrote, when it exits before that or takes too long; nothing is left running then.
 */
export async function spawnReady<Ready>(options: SpawnReady<Ready>): Promise<ReadyProcess<Ready>> {
  const child = spawn(options.command ?? process.execPath, options.args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  const ready = await readiness(child, options).catch(async (error: unknown) => {
    await stop(child);
    throw error;
  });
  return {
    pid: child.pid as number,
    ready,
    stop: () => stop(child),
    [Symbol.asyncDispose]: () => stop(child),
  };
}

/** The URL in a ready line such as `{"url":"http://127.0.0.1:4280/mcp"}`. */
export function readUrlLine(line: string): string | undefined {
  return /^\{"url":"([^"]+)"/.exec(line)?.[1];
}

function readiness<Ready>(child: ChildProcess, options: SpawnReady<Ready>): Promise<Ready> {
  const { promise, resolve, reject } = withResolvers<Ready>();
  const name = [options.command ?? 'node', ...options.args].join(' ');
  const lastLines: string[] = [];
  const fail = (why: string) => reject(new Error(`${name} ${why}\n${lastLines.join('\n')}`));
  const timer = setTimeout(() => fail('was not ready in time'), options.timeoutMs ?? 15_000);
  // The readers stay for the life of the process, so that a full pipe never stops it.
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on('line', (line) => {
      lastLines.push(line);
      if (lastLines.length > 20) lastLines.shift();
      const value = options.ready(line);
      if (value !== undefined) resolve(value);
    });
  }
  child.once('error', (error) => fail(error.message));
  child.once('exit', (code, signal) => fail(`ended with ${signal ?? code} before it was ready`));
  return promise.finally(() => clearTimeout(timer));
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await gone;
  clearTimeout(timer);
}

function withResolvers<Value>() {
  let resolve!: (value: Value) => void;
  let reject!: (reason: Error) => void;
  const promise = new Promise<Value>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}
