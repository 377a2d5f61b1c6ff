import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Server } from '@modelcontextprotocol/server';
import { proxyServer, startHTTPServer } from 'mcp-proxy';

// The mcp-proxy library between a backend and its clients, as a program: `mcp-proxy BACKEND_URL PORT`.

const [backend = '', port] = process.argv.slice(2);
const client = new Client({ name: 'mcp-proxy', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(backend)));
const serverInfo = client.getServerVersion() ?? { name: 'bench', version: '1.0.0' };
const serverCapabilities = client.getServerCapabilities() ?? {};

const { close } = await startHTTPServer({
  host: '127.0.0.1',
  port: Number(port),
  createServer: async () => {
    const server = new Server(serverInfo, { capabilities: serverCapabilities });
    await proxyServer({ client, server, serverCapabilities });
    return server;
  },
});
console.log(JSON.stringify({ url: `http://127.0.0.1:${port}/mcp` }));
process.once('SIGTERM', () => void close().then(() => process.exit()));
