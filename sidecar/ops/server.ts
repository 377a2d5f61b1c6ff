import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ExitError } from '../../shared/lifecycle.ts';
import type { SidecarMetrics } from './metrics.ts';

/** What the probes of an orchestrator ask (Kubernetes, health endpoints). */
export interface Health {
  /** The MCP endpoint listens. */
  readonly started: boolean;
  /** A replica serves this sidecar, and it is not on its way out. */
  readonly ready: boolean;
}

export interface OpsOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly health: Health;
  readonly metrics: SidecarMetrics;
}

export interface OpsServer {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/** Serves health and metrics. Nothing here is secret, and nothing here changes anything. */
export async function startOps(options: OpsOptions): Promise<OpsServer> {
  const { host } = options;
  const server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 10_000, headersTimeout: 5_000 });
  server.maxConnections = 64;
  server.on('request', (request, response) => answer(request, response, options));
  await bind(server, options);
  const { port } = server.address() as AddressInfo;
  return {
    host,
    port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function bind(server: Server, { host, port }: OpsOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'EADDRINUSE' ? 'the address is already in use' : (error.code ?? error.message);
      reject(new ExitError(`cannot serve health and metrics on ${host}:${port}: ${why}`));
    });
    server.listen({ host, port }, resolve);
  });
}

function answer(request: IncomingMessage, response: ServerResponse, { health, metrics }: OpsOptions): void {
  if (request.method !== 'GET') {
    response.setHeader('Allow', 'GET');
    say(response, 405, 'method not allowed');
    return;
  }
  switch (request.url) {
    case '/livez':
      return say(response, 200, 'ok');
    case '/startupz':
      return health.started ? say(response, 200, 'ok') : say(response, 503, 'starting');
    case '/readyz':
      return health.ready ? say(response, 200, 'ok') : say(response, 503, 'no replica serves this sidecar');
    case '/metrics':
      response.setHeader('Content-Type', 'text/plain; version=0.0.4; charset=utf-8');
      response.end(metrics.render());
      return;
    default:
      return say(response, 404, 'not found');
  }
}

function say(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}
