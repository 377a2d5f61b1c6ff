// What the bench uses of a library that it installs for itself (install.ts).
declare module 'mcp-proxy' {
  import type { Client } from '@modelcontextprotocol/client';
  import type { Server, ServerCapabilities } from '@modelcontextprotocol/server';

  export function proxyServer(options: {
    client: Client;
    server: Server;
    serverCapabilities: ServerCapabilities;
  }): Promise<void>;
  export function startHTTPServer(options: {
    host: string;
    port: number;
    createServer: () => Promise<Server>;
  }): Promise<{ close(): Promise<void> }>;
}
