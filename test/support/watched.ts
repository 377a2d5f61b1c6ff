import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

/** Arguments of Node for a TypeScript program, wherever it runs. */
export const TSX: readonly string[] = [
  '--import',
  pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href,
];

export interface LineOptions {
  /** Which of the lines that match: the first is 1. */
  readonly nth?: number;
  readonly withinMs?: number;
}

/** A program that a test watches by the lines it writes. */
export class Watched {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  readonly exited: Promise<number | null>;
  readonly #waiting = new Set<() => void>();

  constructor(args: readonly string[], options: { cwd: string; env?: Record<string, string> }) {
    this.child = spawn(process.execPath, [...args], {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.exited = once(this.child, 'exit').then(([code]) => code as number | null);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        this.lines.push(line);
        for (const check of this.#waiting) check();
      });
    }
  }

  /** The match of the `nth` line that matches, now or later. */
  line(pattern: RegExp, { nth = 1, withinMs = 15_000 }: LineOptions = {}): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no ${pattern} in\n${this.lines.join('\n')}`)),
        withinMs,
      );
      const check = () => {
        const found = this.lines.map((line) => pattern.exec(line)).filter((match) => match !== null)[nth - 1];
        if (found === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve(found);
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** The number that the pattern's group finds. */
  async pid(pattern: RegExp, options?: LineOptions): Promise<number> {
    return Number((await this.line(pattern, options))[1]);
  }
}
