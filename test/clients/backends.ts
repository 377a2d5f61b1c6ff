import { fileURLToPath } from 'node:url';
import { freePort } from '../support/ports.ts';
import { type ReadyProcess, spawnReady } from '../support/spawn-ready.ts';

/** The programs of public MCP servers, from node_modules. */
export const PUBLIC_SERVERS = {
  everything: fileURLToPath(import.meta.resolve('@modelcontextprotocol/server-everything/dist/index.js')),
  filesystem: fileURLToPath(import.meta.resolve('@modelcontextprotocol/server-filesystem/dist/index.js')),
  memory: fileURLToPath(import.meta.resolve('@modelcontextprotocol/server-memory/dist/index.js')),
  thinking: fileURLToPath(
    import.meta.resolve('@modelcontextprotocol/server-sequential-thinking/dist/index.js'),
  ),
};

/** Starts `@modelcontextprotocol/server-everything` over Streamable HTTP on a free port; `ready` is its URL. */
export async function spawnEverything(): Promise<ReadyProcess<string>> {
  const port = await freePort();
  return spawnReady({
    args: [PUBLIC_SERVERS.everything, 'streamableHttp'],
    env: { PORT: String(port) },
    ready: (line) =>
      line.includes(`listening on port ${port}`) ? `http://127.0.0.1:${port}/mcp` : undefined,
  });
}
