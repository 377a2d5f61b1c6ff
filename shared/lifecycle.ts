import { isatty } from 'node:tty';
import { createLogger, type Logger } from './log.ts';

/**
 * The life of a program: what it opened is closed in reverse order on SIGTERM,
 * SIGINT or the end of its parent, within a bound; a second signal ends it at
 * once. SIGHUP asks a program that can to look at its configuration again; it ends
 * one that cannot, and any whose terminal is gone. An unhandled rejection or exception is logged and ends it with a
 * non-zero code, because a process in an unknown state must not hold sessions.
 */

/** `sysexits`: bad usage or configuration; a fault of our own. */
export const EXIT_USAGE = 64;
const EXIT_FAILURE = 1;
export const EXIT_FAULT = 70;
/** As a shell names the end by a signal. */
const EXIT_SIGNALLED = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Ends the program with a message for people, printed as it is: in our own words, each line one problem, without any value that could be a secret. */
export class ExitError extends Error {
  override readonly name: string = 'ExitError';
  readonly exitCode: number;

  constructor(message: string, exitCode = EXIT_FAILURE) {
    super(message);
    this.exitCode = exitCode;
  }
}

type Release = () => void | Promise<void>;

/** Closes what was opened, last first, each once. A failing release does not keep the others from running. */
class DisposableStack {
  readonly #releases: { readonly name: string; readonly release: Release }[] = [];
  #failed: ((name: string, error: unknown) => void) | undefined;

  /** What is deferred after the end is released at once: a start that was overtaken by a signal leaves nothing open. */
  defer(name: string, release: Release): void {
    this.#releases.push({ name, release });
    if (this.#failed !== undefined) void this.dispose(this.#failed);
  }

  /** Resolves when all are done; `failed` hears of those that were not. */
  async dispose(failed: (name: string, error: unknown) => void): Promise<void> {
    for (let next = this.#releases.pop(); next !== undefined; next = this.#releases.pop()) {
      try {
        await next.release();
      } catch (error) {
        failed(next.name, error);
      }
    }
    this.#failed = failed;
  }
}

export interface Program {
  /** Runs at the end of the program, in reverse order of the calls. After the end it runs at once. */
  defer(name: string, release: Release): void;
  /** Replaces the first logger and the first bound on the shutdown, once the configuration is known. */
  configure(options: { log: Logger; graceMs: number }): void;
  /** What SIGHUP asks for from now on, instead of the end. */
  onReload(reload: () => void): void;
  /** Aborted as soon as the shutdown begins. */
  readonly stopping: AbortSignal;
  /** Begins the shutdown; resolves when everything is released. */
  stop(reason: string): Promise<void>;
}

/** Runs `start` and keeps the program going until it is told to stop. The only caller of `process.exit`. */
export async function runProgram(start: (program: Program) => Promise<void>): Promise<void> {
  const program = new RunningProgram();
  program.listen();
  try {
    await start(program);
  } catch (error) {
    await program.fail(error);
  }
}

/** After a complete shutdown something may still hold the event loop; it is given this long. */
const LINGER_MS = 1_000;
const FIRST_GRACE_MS = 5_000;

class RunningProgram implements Program {
  readonly #stack = new DisposableStack();
  readonly #stopping = new AbortController();
  #log: Logger | undefined;
  #graceMs = FIRST_GRACE_MS;
  #stopped: Promise<void> | undefined;
  #reload: (() => void) | undefined;

  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  defer(name: string, release: Release): void {
    this.#stack.defer(name, release);
  }

  configure(options: { log: Logger; graceMs: number }): void {
    this.#log = options.log;
    this.#graceMs = options.graceMs;
  }

  onReload(reload: () => void): void {
    this.#reload = reload;
  }

  stop(reason: string): Promise<void> {
    this.#stopped ??= this.#shutDown(reason);
    return this.#stopped;
  }

  listen(): void {
    const onSignal = (signal: keyof typeof EXIT_SIGNALLED) => {
      if (this.#stopped !== undefined) process.exit(EXIT_SIGNALLED[signal]);
      void this.stop(signal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    const terminals = [0, 1, 2].filter(isatty);
    process.on('SIGHUP', () => {
      // A terminal that is closed says the same; what it started in front of it ends with it.
      const hungUp = terminals.some((descriptor) => !isatty(descriptor));
      if (this.#reload === undefined || hungUp) onSignal('SIGHUP');
      else if (this.#stopped === undefined) this.#reload();
    });
    process.on('uncaughtException', (error) => this.#crash('uncaught exception', error));
    process.on('unhandledRejection', (error) => this.#crash('unhandled rejection', error));
    if (process.channel !== undefined) {
      // A supervisor holds the other end: when it dies, however it dies, this program ends too.
      process.once('disconnect', () => void this.stop('the supervisor is gone'));
      process.channel.unref();
    }
  }

  async fail(error: unknown): Promise<void> {
    if (error instanceof ExitError) process.stderr.write(`${error.message}\n`);
    else this.#logger().error('the program could not start', { error });
    process.exitCode = error instanceof ExitError ? error.exitCode : EXIT_FAILURE;
    await this.stop('it could not start');
  }

  async #shutDown(reason: string): Promise<void> {
    this.#stopping.abort();
    const log = this.#logger();
    if (process.exitCode === undefined) log.info('stopping', { reason });
    const bound = setTimeout(() => {
      log.error('the shutdown took too long', { durationMs: this.#graceMs });
      process.exit(EXIT_FAILURE);
    }, this.#graceMs);
    await this.#stack.dispose((name, error) => log.error(`could not close ${name}`, { error }));
    clearTimeout(bound);
    process.exitCode ??= 0;
    setTimeout(() => {
      log.warn('something still holds the process');
      process.exit();
    }, LINGER_MS).unref();
  }

  #crash(what: string, error: unknown): void {
    this.#logger().error(what, { error });
    process.exit(EXIT_FAULT);
  }

  #logger(): Logger {
    this.#log ??= createLogger();
    return this.#log;
  }
}
