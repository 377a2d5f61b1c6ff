import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext } from 'node:tls';
import { ExitError } from '../../shared/lifecycle.ts';
import { answerReview, type ReviewOptions, type ReviewResult } from './admission-review.ts';
import type { Address } from './config.ts';
import type { Json } from './json.ts';

/**
 * The admission webhook over HTTPS. An API server asks at `/inject/namespace` about the
 * pods of namespaces that are opted in, and at `/inject/pod` about those that say so
 * themselves: by its selectors it knows the labels of a namespace, which are not in a
 * review. It is not asked for more than it takes: bodies and times are bounded, because
 * while it hangs nobody's pods start.
 */

export interface PemPair {
  readonly cert: string;
  readonly key: string;
}

export interface WebhookOptions extends Address {
  readonly tls: PemPair;
  /** As they are now. */
  readonly review: () => Omit<ReviewOptions, 'demandOptIn'>;
  /** Called for each review, and with undefined for a request that was none. */
  readonly onReview: (result: ReviewResult | undefined) => void;
}

export interface Webhook {
  readonly host: string;
  /** The real one, also when 0 was asked for. */
  readonly port: number;
  /** For connections from now on; those that stand go on. Throws, and changes nothing, where they cannot be used. */
  renew(tls: PemPair): void;
  /** Takes no more connections, and resolves when the answers under way are given, or after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** An API server takes no larger object, and sends it once or, of an update, twice. */
const BODY_BYTES = 6 * 1024 * 1024;
/** An API server waits 30 s at the most, and 10 s when it is not told. */
const REQUEST_MS = 10_000;
const MAX_CONNECTIONS = 256;

const PATHS: Readonly<Record<string, { readonly demandOptIn: boolean }>> = {
  '/inject/namespace': { demandOptIn: false },
  '/inject/pod': { demandOptIn: true },
};

/** Rejects with `ExitError` when the address cannot be had. */
export async function startWebhook(options: WebhookOptions): Promise<Webhook> {
  const server = createServer({ ...secure(options.tls), requestTimeout: REQUEST_MS, headersTimeout: 5_000 });
  server.maxConnections = MAX_CONNECTIONS;
  server.keepAliveTimeout = 75_000;
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    answer(request, response, options).catch(() => response.destroy());
  });
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  return {
    host: options.host,
    port,
    renew(tls) {
      const context = secure(tls);
      createSecureContext(context);
      server.setSecureContext(context);
    },
    async close(graceMs) {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      const bound = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearTimeout(bound);
    },
  };
}

function secure({ cert, key }: PemPair) {
  return { cert, key, minVersion: 'TLSv1.2' } as const;
}

function listen(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'it is in use' : (error.code ?? error.message);
      reject(new ExitError(`cannot listen on ${host}:${port} for the API server: ${why}`));
    });
    server.listen({ host, port }, resolve);
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: WebhookOptions,
): Promise<void> {
  const path = PATHS[(request.url ?? '').split('?')[0] ?? ''];
  if (path === undefined) return refuse(response, 404);
  if (request.method !== 'POST') return refuse(response, 405, { allow: 'POST' });
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) return refuse(response, 415);
  const body = await bodyOf(request);
  if (body === undefined) {
    options.onReview(undefined);
    return refuse(response, 413, { connection: 'close' });
  }
  const result = answerReview(parse(body), { ...options.review(), ...path });
  options.onReview(result);
  if (result === undefined) return refuse(response, 400);
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(result.answer));
}

function refuse(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, headers).end();
}

/** Undefined: it is longer than any object is. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What is no JSON is no review either. */
function parse(body: Buffer): Json {
  try {
    return JSON.parse(body.toString('utf8')) as Json;
  } catch {
    return null;
  }
}
