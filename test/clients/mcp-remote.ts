import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { type Visit, type Visited, visitWith } from './visit.ts';

const PROXY = fileURLToPath(import.meta.resolve('mcp-remote/dist/proxy.js'));

/** `mcp-remote` as a stdio server in front of the URL, driven by the SDK's stdio client. */
export async function mcpRemote(visit: Visit): Promise<Visited> {
  const home = await mkdtemp(join(tmpdir(), 'mcp-remote-'));
  const headers = Object.entries(visit.headers ?? {}).flatMap(([name, value]) => [
    '--header',
    `${name}:${value}`,
  ]);
  const client = new Client({ name: 'mcp-remote', version: '1.0.0' });
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [PROXY, visit.url, '--allow-http', '--transport', 'http-only', ...headers],
    // It keeps what it learns of a server in a folder of the user; a visit starts afresh.
    env: { PATH: process.env['PATH'] ?? '', HOME: home, MCP_REMOTE_CONFIG_DIR: home },
    stderr: 'ignore',
  });
  try {
    await client.connect(transport);
    return await visitWith(client, visit);
  } finally {
    await client.close();
    await rm(home, { recursive: true, force: true });
  }
}
