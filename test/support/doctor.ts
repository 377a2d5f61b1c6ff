import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Finding } from '../../shared/findings.ts';
import { ensureBuilt, OUTRIGGER } from './build.ts';

export interface Visit {
  readonly code: number;
  readonly findings: readonly Finding[];
  /** As people see it. */
  readonly text: string;
  readonly stderr: string;
}

/** A folder with configuration files in it, and `outrigger doctor` run there. */
export class Practice implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(): Promise<Practice> {
    await ensureBuilt();
    return new Practice(await mkdtemp(join(tmpdir(), 'outrigger-doctor-test-')));
  }

  /** A text as it is, anything else as JSON. */
  async write(name: string, content: unknown): Promise<string> {
    const file = join(this.folder, name);
    await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
    return file;
  }

  /** As programs read it. */
  async visit(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<Visit> {
    const { code, out, err } = await this.run(['doctor', '-o', 'json', ...args], env);
    const findings = out === '' ? [] : (JSON.parse(out) as { findings: Finding[] }).findings;
    return { code, findings, text: out, stderr: err };
  }

  run(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [OUTRIGGER, ...args],
        { cwd: this.folder, env: { PATH: process.env['PATH'] ?? '', ...env }, timeout: 40_000 },
        (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err }),
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A web server with nothing of ours in it. */
export async function startWebServer(
  answer: RequestListener,
): Promise<AsyncDisposable & { readonly url: string; readonly port: number }> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
