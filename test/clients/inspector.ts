import { execFile } from 'node:child_process';
import { delimiter, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { resultText, type Visit, type Visited } from './visit.ts';

const CLI = fileURLToPath(import.meta.resolve('@modelcontextprotocol/inspector/cli/build/cli.js'));

/** `mcp-inspector --cli`, one process and one session for each of its methods. */
export async function inspector(visit: Visit): Promise<Visited> {
  const listed = (await run(visit, 'tools/list')) as { tools: { name: string }[] };
  const texts: string[] = [];
  for (const call of visit.calls) {
    const pairs = Object.entries(call.arguments).flatMap(([name, value]) => [
      '--tool-arg',
      `${name}=${value}`,
    ]);
    texts.push(resultText(await run(visit, 'tools/call', '--tool-name', call.name, ...pairs)));
  }
  return { tools: listed.tools.map(({ name }) => name), texts };
}

async function run(visit: Visit, method: string, ...args: string[]): Promise<unknown> {
  if (visit.headers !== undefined) throw new Error('the inspector command line sends no headers of its own');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [CLI, '--cli', visit.url, '--transport', 'http', '--method', method, ...args],
    // It starts a second process as plain `node`, which has to be this one.
    {
      timeout: 30_000,
      env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH']}` },
    },
  );
  return JSON.parse(stdout) as unknown;
}
