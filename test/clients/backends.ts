import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { type ReadyProcess, spawnReady } from '../support/spawn-ready.ts';

const require = createRequire(import.meta.url);

/** The program of a public MCP server, from node_modules: `everything`, `filesystem` or `memory`. */
export function publicServer(name: 'everything' | 'filesystem' | 'memory'): string {
  return join(
    dirname(require.resolve(`@modelcontextprotocol/server-${name}/package.json`)),
    'dist',
    'index.js',
  );
}

/** Starts `@modelcontextprotocol/server-everything` over Streamable HTTP on a free port; `ready` is its URL. */
export async function spawnEverything(): Promise<ReadyProcess<string>> {
  const port = await freePort();
  return spawnReady({
    args: [publicServer('everything'), 'streamableHttp'],
    env: { PORT: String(port) },
    ready: (line) =>
      line.includes(`listening on port ${port}`) ? `http://127.0.0.1:${port}/mcp` : undefined,
  });
}

/** A port that was free a moment ago, for a program that cannot choose one and say which. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
