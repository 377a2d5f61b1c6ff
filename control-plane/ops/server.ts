import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { ExitError } from '../../shared/lifecycle.ts';
import type { Health, Report } from './health.ts';

/**
 * Health and metrics over HTTP, for probes and scrapers: `/livez`, `/readyz`,
 * `/startupz` answer 200 or 503 with the reasons as JSON, `/metrics` the text of
 * Prometheus. It answers while the replica drains, until the very end.
 */
export interface OpsServer {
  /** Where it listens; the port is real also when 0 was asked for. */
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

export interface OpsOptions {
  readonly host: string;
  readonly port: number;
  readonly health: Health;
  readonly registry: Registry;
  /** Answers what is none of these, if it is its own; returns whether it is. */
  readonly pages?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

/** Rejects with `ExitError` when the address cannot be had. */
export async function startOpsServer(options: OpsOptions): Promise<OpsServer> {
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, (request, response) => {
    answer(options, request, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 5_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'it is in use' : (error.code ?? error.message);
      reject(
        new ExitError(`cannot listen on ${options.host}:${options.port} for health and metrics: ${why}`),
      );
    });
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    host: options.host,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  options: OpsOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end();
    return;
  }
  switch (request.url) {
    case '/livez':
      return report(response, options.health.live());
    case '/startupz':
      return report(response, options.health.startup());
    case '/readyz':
      return report(response, options.health.ready());
    case '/metrics': {
      const text = await options.registry.metrics();
      response.writeHead(200, { 'content-type': options.registry.contentType }).end(text);
      return;
    }
    default:
      if (options.pages?.(request, response) !== true) response.writeHead(404).end();
  }
}

function report(response: ServerResponse, { ok, reasons }: Report): void {
  response
    .writeHead(ok ? 200 : 503, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(`${JSON.stringify({ ok, reasons })}\n`);
}
