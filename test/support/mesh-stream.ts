import type { IdentityVerifier } from '../../control-plane/identity/caller.ts';
import type { Departure, Exchange } from '../../control-plane/rpc/exchange.ts';
import {
  createMeshServer,
  type MeshServer,
  type MeshServerOptions,
} from '../../control-plane/rpc/mesh-server.ts';
import type { WelcomeFacts } from '../../control-plane/rpc/mesh-service.ts';
import type { MeshError } from '../../shared/errors.ts';
import { slice } from '../../shared/json-rpc/message.ts';
import { scanMessage } from '../../shared/json-rpc/scan.ts';
import { silentLogger } from '../../shared/log.ts';
import {
  createMeshClient,
  type MeshClientOptions,
  type ObservedMeshClient,
} from '../../sidecar/mesh/client.ts';
import type { AnswerSink, ExchangeHandle, ExchangeRequest } from '../../sidecar/mesh/exchange.ts';
import { verifierFor } from './identity.ts';

/**
 * The mesh stream's two ends in one process, over real sockets: replicas whose
 * handler the test writes, and a sidecar's mesh client.
 */

/** Polls until it holds. Rejects after `ms`. */
export async function until(holds: () => boolean, ms = 8_000): Promise<void> {
  const end = performance.now() + ms;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`it did not become true: ${holds.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface TestReplica extends AsyncDisposable {
  readonly name: string;
  readonly server: MeshServer;
  readonly port: number;
  readonly address: string;
  /** Every exchange that reached the handler. */
  readonly arrived: readonly Exchange[];
  /** What became of those that left before their answer, in order. */
  readonly departures: readonly Departure[];
}

export interface TestReplicaOptions
  extends Partial<Omit<MeshServerOptions, 'handle' | 'welcome' | 'replica'>> {
  readonly name?: string;
  readonly handle?: (exchange: Exchange, replica: string) => unknown;
  readonly facts?: Partial<WelcomeFacts>;
  /** `host:port`, to come back where another one was. */
  readonly address?: string;
}

/** A replica that serves anonymous callers, unless another verifier is given. By default it says the body back. */
export async function startReplica(options: TestReplicaOptions = {}): Promise<TestReplica> {
  const { name = 'a', handle = echo, facts, address = '127.0.0.1:0', ...rest } = options;
  const arrived: Exchange[] = [];
  const departures: Departure[] = [];
  const server = createMeshServer({
    replica: name,
    build: 'test',
    verifier: anonymousVerifier(),
    ready: () => true,
    log: silentLogger,
    welcome: () => ({
      resource: '',
      issuers: [],
      scopes: [],
      anonymous: true,
      replaySafeTools: [],
      ...facts,
    }),
    handle: (exchange) => {
      arrived.push(exchange);
      exchange.onDeparture = (why) => departures.push(why);
      return handle(exchange, name);
    },
    ...rest,
  });
  const port = await server.listen(address);
  return {
    name,
    server,
    port,
    address: `127.0.0.1:${port}`,
    arrived,
    departures,
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

export function echo(exchange: Exchange): void {
  exchange.reply.json([exchange.body]);
}

function anonymousVerifier(): IdentityVerifier {
  return verifierFor([], { anonymous: true }).verifier;
}

export type TestClient = ObservedMeshClient & AsyncDisposable;

export function startClient(
  replicas: MeshClientOptions['replicas'],
  options: Partial<MeshClientOptions> = {},
): TestClient {
  const client = createMeshClient({
    node: 'node-1',
    build: 'test',
    virtualServer: 'default',
    replicas,
    log: silentLogger,
    ...options,
  });
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.close(0) });
}

/** Resolves when there is a home, and as many streams as `streams`. */
export async function connected(client: TestClient, streams = 1): Promise<void> {
  await until(() => client.connected && client.streams().length >= streams);
}

/** Sorts replicas as the client does: home first. */
export function byHome(client: TestClient, replicas: readonly TestReplica[]): TestReplica[] {
  const home = client.streams().find((stream) => stream.home)?.address;
  return [...replicas].sort((x, y) => Number(y.address === home) - Number(x.address === home));
}

export interface Answer {
  readonly kind: 'json' | 'accepted' | 'end' | 'fail';
  readonly text: string;
  readonly sessionId: string | undefined;
  readonly error: MeshError | undefined;
  readonly events: readonly { text: string; id: string | undefined; retryMs: number | undefined }[];
  /** How often `stream` was called. */
  readonly streams: number;
  /** How often the answer was finished: more than once breaks the contract. */
  readonly finishes: number;
}

/** Keeps what the mesh says. With `hold`, asks after every event to wait. */
export class CollectingSink implements AnswerSink {
  readonly answered: Promise<Answer>;
  readonly events: { text: string; id: string | undefined; retryMs: number | undefined }[] = [];
  hold = false;
  streams = 0;
  finishes = 0;
  bytes = 0;
  #resolve: (answer: Answer) => void = () => {};

  constructor() {
    this.answered = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  json(pieces: readonly Uint8Array[], sessionId: string | undefined): void {
    this.#finish('json', { text: textOf(pieces), sessionId });
  }

  accepted(): void {
    this.#finish('accepted', {});
  }

  stream(): void {
    this.streams += 1;
  }

  event(pieces: readonly Uint8Array[], id: string | undefined, retryMs: number | undefined): boolean {
    const text = textOf(pieces);
    this.bytes += text.length;
    this.events.push({ text, id, retryMs });
    return !this.hold;
  }

  end(): void {
    this.#finish('end', {});
  }

  fail(error: MeshError): void {
    this.#finish('fail', { error });
  }

  #finish(kind: Answer['kind'], more: Partial<Answer>): void {
    this.finishes += 1;
    const { events, streams, finishes } = this;
    this.#resolve({
      text: '',
      sessionId: undefined,
      error: undefined,
      ...more,
      kind,
      events,
      streams,
      finishes,
    });
  }
}

export type Sent = ExchangeHandle & { readonly sink: CollectingSink; readonly answered: Promise<Answer> };

/** Opens an exchange. Text is sent as it is; an object is a JSON-RPC message, scanned as the edge does. */
export function send(
  client: TestClient,
  message: string | Buffer | Record<string, unknown> | undefined,
  more: Partial<ExchangeRequest> = {},
): Sent {
  const sink = new CollectingSink();
  const json = typeof message === 'object' && !Buffer.isBuffer(message);
  const body =
    message === undefined ? undefined : Buffer.from(json ? JSON.stringify(message) : (message as string));
  const scanned = json && body !== undefined ? scanMessage(body) : undefined;
  const handle = client.open(
    {
      kind: 'message',
      authorization: undefined,
      sessionId: 'session-1',
      protocolVersion: '2025-11-25',
      lastEventId: undefined,
      traceparent: undefined,
      tracestate: undefined,
      requestId: 'a-request',
      body,
      scanned,
      ids: scanned?.id === undefined || body === undefined ? [] : [slice(body, scanned.id).toString()],
      ...more,
    },
    sink,
  );
  return {
    sink,
    answered: sink.answered,
    cancel: (reason) => handle.cancel(reason),
    detach: () => handle.detach(),
    resume: () => handle.resume(),
  };
}

/** A request of the method, with an id. */
export function request(method: string, params: Record<string, unknown> = {}): Record<string, unknown> {
  return { jsonrpc: '2.0', id: 1, method, params };
}

function textOf(pieces: readonly Uint8Array[]): string {
  return Buffer.concat(pieces).toString('utf8');
}
