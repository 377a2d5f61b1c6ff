import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type ListenOptions } from 'node:net';
import type { Duplex } from 'node:stream';
import { ExitError } from '../../shared/lifecycle.ts';
import type { Logger } from '../../shared/log.ts';
import { surviveAccepting } from '../../shared/overload/accepting.ts';
import { MOST_DESCRIPTORS } from '../../shared/overload/gauges.ts';
import { bindHosts, type ListenAddress, showAddress } from './address.ts';
import { answerRefusal } from './answers.ts';
import { methodNotAllowed } from './checks.ts';
import type { Edge } from './edge.ts';

export interface ListenerOptions {
  readonly address: ListenAddress;
  readonly edge: Edge;
  readonly maxConnections: number;
  /** From the connection's start, or a request's, until its headers are whole. */
  readonly headersTimeoutMs: number;
  /** Until the whole request is there. */
  readonly requestTimeoutMs: number;
  /** How long a connection may stay without a request. */
  readonly keepAliveTimeoutMs: number;
  readonly log: Logger;
}

export interface Listener {
  /** As it was bound: with the port that the system chose. */
  readonly address: ListenAddress;
  readonly connectionsRefused: number;
  /** Ends what nobody uses now: connections between two requests, and those that take long to begin their first. */
  relieve(): void;
  /** No new connections; those without a request end. */
  stop(): void;
  /** Ends every connection and resolves when the listener is gone. */
  close(): Promise<void>;
}

/** A request line with its headers; beyond it Node answers 431. */
const MAX_HEADER_BYTES = 16 * 1024;

/** How many times a port that the system chose is tried for both families. */
const PORT_ATTEMPTS = 5;

/** Binds and serves the edge. Throws `ExitError` when the address cannot be had. */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const { address, edge } = options;
  if (address.kind === 'unix') {
    const server = createEdgeServer(options);
    await bindUnix(server, address.path);
    edge.setPort(undefined);
    return new OpenListener(address, [server]);
  }
  for (let attempt = 1; ; attempt += 1) {
    const bound = await bindBoth(options, address);
    if (bound !== undefined) return bound;
    if (address.port !== 0 || attempt === PORT_ATTEMPTS) throw inUse(address);
  }
}

class OpenListener implements Listener {
  readonly address: ListenAddress;
  readonly #servers: readonly Server[];
  connectionsRefused = 0;

  constructor(address: ListenAddress, servers: readonly Server[]) {
    this.address = address;
    this.#servers = servers;
    for (const server of servers) {
      server.on('drop', () => {
        this.connectionsRefused += 1;
        // Whoever was served is served on; silence makes room.
        hurry(server);
      });
    }
  }

  relieve(): void {
    for (const server of this.#servers) {
      server.closeIdleConnections();
      hurry(server);
    }
  }

  stop(): void {
    for (const server of this.#servers) server.close();
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#servers.map(async (server) => {
        const closed = new Promise<void>((resolve) => {
          if (server.listening) server.close(() => resolve());
          else resolve();
        });
        server.closeAllConnections();
        await closed;
      }),
    );
  }
}

function createEdgeServer(options: ListenerOptions): Server {
  const { edge, headersTimeoutMs, requestTimeoutMs } = options;
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    // How often Node looks for those that are too slow.
    connectionsCheckingInterval: Math.max(50, Math.min(headersTimeoutMs / 4, 5_000)),
    // The edge looks for it itself, for HTTP/1.0 too, and answers like for any other fault.
    requireHostHeader: false,
    insecureHTTPParser: false,
    noDelay: true,
  });
  server.maxConnections = mostConnections(options.maxConnections);
  surviveAccepting(server, options.log);
  // Node would drop the headers beyond a number in silence; the edge refuses the request.
  server.maxHeadersCount = 0;
  server.on('request', (request, response) => edge.handle(request, response));
  server.on('checkContinue', (request, response) => edge.handleContinue(request, response));
  server.on('connect', (_request, socket) => refuseTunnel(socket));
  return server;
}

/** File descriptors that connections of clients leave to everything else. */
const RESERVED_DESCRIPTORS = 48;

/** As many as configured, and never so many that the mesh streams and the probes would get none. */
function mostConnections(configured: number): number {
  if (MOST_DESCRIPTORS === undefined) return configured;
  const reserved = Math.max(RESERVED_DESCRIPTORS, MOST_DESCRIPTORS / 5);
  return Math.min(configured, Math.max(MIN_CONNECTIONS, Math.floor(MOST_DESCRIPTORS - reserved)));
}

const MIN_CONNECTIONS = 8;
/** How long a connection may take for its first request while there are too many, in milliseconds, */
const SHORT_HEADERS_MS = 5_000;
/** and how long that lasts. */
const RELIEVED_MS = 10_000;

/** Node reads the timeout whenever it looks for connections that are too slow. */
function hurry(server: Server): void {
  const { headersTimeout } = server;
  if (headersTimeout <= SHORT_HEADERS_MS) return;
  server.headersTimeout = SHORT_HEADERS_MS;
  setTimeout(() => {
    server.headersTimeout = headersTimeout;
  }, RELIEVED_MS).unref();
}

/** CONNECT asks for a tunnel; there is none, and Node leaves the answer to us. */
function refuseTunnel(socket: Duplex): void {
  const { body, headers } = answerRefusal(methodNotAllowed());
  let head = 'HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\n';
  for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
  socket.on('error', () => {});
  socket.end(`${head}\r\n${body}`);
}

type TcpAddress = Extract<ListenAddress, { kind: 'tcp' }>;

/** Undefined when the port that the system chose for one family is taken in the other. */
async function bindBoth(options: ListenerOptions, address: TcpAddress): Promise<Listener | undefined> {
  const servers: Server[] = [];
  let { port } = address;
  for (const host of bindHosts(address.host)) {
    const server = createEdgeServer(options);
    const failure = await bind(server, { host, port, ipv6Only: host === '::1' });
    if (failure === undefined) {
      servers.push(server);
      port = (server.address() as AddressInfo).port;
      options.edge.setPort(port);
    } else if (!isAbsentFamily(failure, servers)) {
      for (const other of servers) other.close();
      if (failure.code === 'EADDRINUSE') return undefined;
      throw new ExitError(`cannot listen on ${showAddress(address)}: ${failure.code ?? failure.message}`);
    }
  }
  return new OpenListener({ ...address, port }, servers);
}

/** A machine without IPv6 is served on IPv4 alone. */
function isAbsentFamily(failure: NodeJS.ErrnoException, servers: readonly Server[]): boolean {
  return servers.length > 0 && (failure.code === 'EADDRNOTAVAIL' || failure.code === 'EAFNOSUPPORT');
}

/** Resolves with why it could not be bound, or with nothing. */
function bind(server: Server, options: ListenOptions): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    server.once('error', resolve);
    server.listen(options, () => {
      server.off('error', resolve);
      resolve(undefined);
    });
  });
}

async function bindUnix(server: Server, path: string): Promise<void> {
  const address = { kind: 'unix', path } as const;
  await removeStaleSocket(path);
  // The file must never be there with another mode, not even for a moment.
  const mask = process.umask(0o177);
  const bound = bind(server, { path });
  process.umask(mask);
  const failure = await bound;
  if (failure === undefined) chmodSync(path, 0o600);
  else if (failure.code === 'EADDRINUSE') throw inUse(address);
  else throw new ExitError(`cannot listen on ${showAddress(address)}: ${failure.code ?? failure.message}`);
}

/** What a killed sidecar left behind goes; a socket that somebody serves, or another kind of file, stays. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isSocket() !== true) return;
  const served = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => resolve(true));
    probe.once('error', () => resolve(false));
    probe.once('connect', () => probe.destroy());
  });
  if (!served) unlinkSync(path);
}

function inUse(address: ListenAddress): ExitError {
  return new ExitError(`${showAddress(address)} is already in use: is another sidecar running here?`);
}
