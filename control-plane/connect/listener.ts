import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ExitError } from '../../shared/lifecycle.ts';
import type { PageAnswer } from './answers.ts';
import type { Connect } from './connect.ts';
import { PAGE_HEADERS } from './pages.ts';

/** The public listener: it serves `/connect/` to browsers, and nothing else. TLS ends before it. */
export interface ConnectListener {
  readonly port: number;
  close(): Promise<void>;
}

export interface ConnectListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly publicUrl: string;
  readonly connect: Pick<Connect, 'answer'>;
}

const LONGEST_FORM = 4_096;
const MOST_CONNECTIONS = 1_024;
const PATIENCE_MS = 10_000;

/** Rejects with `ExitError` when the address cannot be had. */
export async function startConnectListener(options: ConnectListenerOptions): Promise<ConnectListener> {
  const { host, port } = options;
  const server = createServer(
    { requestTimeout: PATIENCE_MS, headersTimeout: PATIENCE_MS, keepAliveTimeout: PATIENCE_MS },
    (request, response) => {
      serve(options, request, response).catch(() => response.destroy());
    },
  );
  server.maxConnections = MOST_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'it is in use' : (error.code ?? error.message);
      reject(new ExitError(`cannot listen on ${host}:${port} for logins: ${why}`));
    });
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        const cut = setTimeout(() => server.closeAllConnections(), 1_000);
        server.once('close', () => clearTimeout(cut));
      }),
  };
}

async function serve(
  { publicUrl, connect }: ConnectListenerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = '', url: target = '', headers } = request;
  // A target of another form than a path names no page of ours.
  if (!target.startsWith('/') || !URL.canParse(target, publicUrl)) return write(response, { status: 400 });
  const url = new URL(`${publicUrl}${target}`);
  const form = method === 'POST' ? await readForm(request) : undefined;
  if (method === 'POST' && form === undefined) return write(response, { status: 413 });
  write(response, await connect.answer({ method, url, headers, form }));
}

function write(
  response: ServerResponse,
  { status, cookies = [], location, html = '', document }: PageAnswer,
): void {
  response
    .writeHead(status, {
      ...PAGE_HEADERS,
      ...(cookies.length === 0 ? {} : { 'set-cookie': [...cookies] }),
      ...(location === undefined ? {} : { location }),
      ...(status === 405 ? { allow: 'GET, POST' } : {}),
      ...(status === 413 || status === 400 ? { connection: 'close' } : {}),
      'content-type': document === undefined ? 'text/html; charset=utf-8' : 'application/json',
    })
    .end(document ?? html);
}

/** Undefined where it is too long, or no form. */
async function readForm(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  if (!/^application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '')) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > LONGEST_FORM) return undefined;
    chunks.push(chunk as Buffer);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
}
