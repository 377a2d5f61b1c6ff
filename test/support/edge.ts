import { setTimeout as delay } from 'node:timers/promises';
import { type Logger, silentLogger } from '../../shared/log.ts';
import type { LocalLists } from '../../sidecar/capabilities/local-lists.ts';
import type { HeldToken } from '../../sidecar/credentials/held-token.ts';
import type { ListenAddress } from '../../sidecar/http/address.ts';
import { Edge } from '../../sidecar/http/edge.ts';
import type { EdgeLimits } from '../../sidecar/http/edge-state.ts';
import { type Listener, type ListenerOptions, listen } from '../../sidecar/http/listener.ts';
import type {
  AnswerSink,
  ExchangeHandle,
  ExchangeRequest,
  MeshClient,
  MeshFacts,
} from '../../sidecar/mesh/exchange.ts';
import { SidecarMetrics } from '../../sidecar/ops/metrics.ts';

/** What the test's end of the mesh saw of one exchange, and how the test answers it. */
export interface Crossed {
  readonly request: ExchangeRequest;
  readonly sink: AnswerSink;
  detached: boolean;
  cancelled: string | undefined;
  resumed: number;
}

type Script = (crossed: Crossed) => void;

/** The far side of the edge's seam: it answers as the test says, and remembers what crossed. */
export class ScriptedMesh implements MeshClient {
  readonly crossed: Crossed[] = [];
  facts: MeshFacts | undefined = {
    replica: 'r-0',
    resource: '',
    issuers: ['https://issuer.example'],
    scopes: ['mcp'],
    anonymous: true,
    maxMessageBytes: 4 * 1024 * 1024,
  };
  connected = true;
  script: Script;

  constructor(script: Script = echo) {
    this.script = script;
  }

  open(request: ExchangeRequest, sink: AnswerSink): ExchangeHandle {
    const crossed: Crossed = { request, sink, detached: false, cancelled: undefined, resumed: 0 };
    this.crossed.push(crossed);
    this.script(crossed);
    return {
      cancel: (reason) => {
        crossed.cancelled = reason;
      },
      detach: () => {
        crossed.detached = true;
      },
      resume: () => {
        crossed.resumed += 1;
      },
    };
  }

  async close(): Promise<void> {}

  /** The exchange that crossed last. */
  get last(): Crossed {
    const last = this.crossed.at(-1);
    if (last === undefined) throw new Error('nothing crossed the mesh');
    return last;
  }
}

/** Answers a request with its own params, a notification with 202, and DELETE. */
export function echo({ request, sink }: Crossed): void {
  const { scanned, body } = request;
  if (scanned?.id === undefined || body === undefined) {
    sink.accepted();
    return;
  }
  const id = body.subarray(scanned.id.start, scanned.id.end);
  sink.json([Buffer.from('{"jsonrpc":"2.0","id":'), id, Buffer.from(',"result":{}}')], undefined);
}

export interface EdgeOptions {
  readonly mesh?: ScriptedMesh;
  /** The product's own mesh client instead. */
  readonly client?: MeshClient;
  readonly heldToken?: HeldToken;
  readonly lists?: LocalLists;
  readonly address?: ListenAddress;
  readonly limits?: Partial<EdgeLimits>;
  readonly listener?: Partial<Omit<ListenerOptions, 'address' | 'edge'>>;
  readonly extraHosts?: readonly string[];
  readonly log?: Logger;
}

/** The edge on a real socket, with the test's own end of the mesh behind it. */
export interface RunningEdge extends AsyncDisposable {
  readonly mesh: ScriptedMesh;
  readonly edge: Edge;
  readonly listener: Listener;
  readonly metrics: SidecarMetrics;
  readonly port: number;
  readonly url: string;
  /** A POST of one message with the headers of a well-behaved client. */
  post(message: unknown, headers?: Record<string, string>): Promise<Response>;
}

export async function startEdge(options: EdgeOptions = {}): Promise<RunningEdge> {
  const mesh = options.mesh ?? new ScriptedMesh();
  const metrics = new SidecarMetrics();
  const edge = new Edge({
    mesh: options.client ?? mesh,
    heldToken: options.heldToken,
    ...(options.lists === undefined ? {} : { lists: options.lists }),
    limits: { ...LIMITS, ...options.limits },
    extraHosts: options.extraHosts ?? [],
    extraOrigins: [],
    metrics,
    log: options.log ?? silentLogger,
  });
  const address = options.address ?? { kind: 'tcp', host: '127.0.0.1', port: 0 };
  const listener = await listen({ ...LISTENER, log: silentLogger, ...options.listener, address, edge });
  const port = listener.address.kind === 'tcp' ? listener.address.port : 0;
  const url = `http://127.0.0.1:${port}/mcp`;
  return {
    mesh,
    edge,
    listener,
    metrics,
    port,
    url,
    post: (message, headers) =>
      fetch(url, {
        method: 'POST',
        headers: { ...CLIENT_HEADERS, ...headers },
        body: typeof message === 'string' ? message : JSON.stringify(message),
      }),
    async [Symbol.asyncDispose]() {
      await edge.drain(0);
      await listener.close();
    },
  };
}

export const CLIENT_HEADERS = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
};

export const PING = { jsonrpc: '2.0', id: 1, method: 'ping' };

const LIMITS: EdgeLimits = {
  bodyBytes: 4 * 1024 * 1024,
  bufferedBytes: 48 * 1024 * 1024,
  streams: 64,
  keepAliveMs: 15_000,
  stallMs: 30_000,
};

const LISTENER = {
  maxConnections: 64,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  keepAliveTimeoutMs: 5_000,
};

/** Polls until it holds; rejects after 4 s. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    if (await holds()) return;
    await delay(10);
  }
  throw new Error(`never happened: ${holds.toString()}`);
}
