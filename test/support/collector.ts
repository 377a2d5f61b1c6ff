import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import protobuf from 'protobufjs';

/**
 * A collector of traces (OTLP over HTTP), in both encodings. What it is sent it keeps, as a
 * program on the other side of the network would read it.
 */
export class Collector implements AsyncDisposable {
  readonly spans: CollectedSpan[] = [];
  readonly requests: { readonly headers: IncomingHttpHeaders; readonly body: Buffer }[] = [];
  /** What it answers. */
  status = 200;
  readonly #server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const body = Buffer.concat(pieces);
      this.requests.push({ headers: request.headers, body });
      if (this.status === 200)
        this.spans.push(...read(body, request.headers['content-type'] === 'application/json'));
      response.writeHead(this.status).end();
    });
  });

  static async start(port = 0): Promise<Collector> {
    const collector = new Collector();
    collector.#server.listen(port, '127.0.0.1');
    await once(collector.#server, 'listening');
    return collector;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/v1/traces`;
  }

  /** The section of a configuration that sends spans here, soon. */
  get tracing() {
    return { otlp: { url: this.url }, interval: '20ms' };
  }

  /** Those of one trace. */
  of(traceId: string): readonly CollectedSpan[] {
    return this.spans.filter((span) => span.traceId === traceId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client' | 'other';
  readonly service: string;
  readonly instance: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly resource: Readonly<Record<string, string>>;
  readonly failed: boolean;
  /** In milliseconds since the epoch. */
  readonly startedAt: number;
  readonly endedAt: number;
}

const KINDS = ['other', 'internal', 'server', 'client'] as const;

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string };
}

interface ExportRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly WrittenSpan[] }[];
  }[];
}

interface WrittenSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status?: { readonly code?: number };
}

function read(body: Buffer, asJson: boolean): CollectedSpan[] {
  const { resourceSpans } = asJson ? (JSON.parse(body.toString()) as ExportRequest) : decoded(body);
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const said = table(resource.attributes);
    return scopeSpans.flatMap(({ spans }) => spans.map((span) => collected(span, said)));
  });
}

function collected(span: WrittenSpan, resource: Readonly<Record<string, string>>): CollectedSpan {
  const { traceId, spanId, parentSpanId = '', name, kind, status, attributes } = span;
  return {
    traceId,
    spanId,
    parentSpanId,
    name,
    kind: KINDS[kind] ?? 'other',
    service: resource['service.name'] ?? '',
    instance: resource['service.instance.id'] ?? '',
    resource,
    attributes: table(attributes),
    failed: status?.code === 2,
    startedAt: Number(BigInt(span.startTimeUnixNano) / 1_000n) / 1_000,
    endedAt: Number(BigInt(span.endTimeUnixNano) / 1_000n) / 1_000,
  };
}

function table(attributes: readonly Attribute[]): Record<string, string> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? '']));
}

function decoded(body: Buffer): ExportRequest {
  const message = PROTO.lookupType('ExportTraceServiceRequest');
  const object = message.toObject(message.decode(body), { longs: String, defaults: true, bytes: String });
  return hexIds(object as ExportRequest);
}

/** OTLP writes ids in hex where it is JSON; protobuf.js writes bytes in base64. */
function hexIds(request: ExportRequest): ExportRequest {
  const hex = (base64 = '') => Buffer.from(base64, 'base64').toString('hex');
  return {
    resourceSpans: request.resourceSpans.map((each) => ({
      ...each,
      scopeSpans: each.scopeSpans.map(({ spans }) => ({
        spans: spans.map((span) => ({
          ...span,
          traceId: hex(span.traceId),
          spanId: hex(span.spanId),
          parentSpanId: hex(span.parentSpanId),
        })),
      })),
    })),
  };
}

/** The part of opentelemetry-proto's trace.proto, version 1, that is read here. */
const PROTO = protobuf.parse(`
  syntax = "proto3";
  message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message ScopeSpans { repeated Span spans = 2; }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message AnyValue { string string_value = 1; }
  message Status { string message = 2; int32 code = 3; }
  message Span {
    bytes trace_id = 1;
    bytes span_id = 2;
    bytes parent_span_id = 4;
    string name = 5;
    int32 kind = 6;
    fixed64 start_time_unix_nano = 7;
    fixed64 end_time_unix_nano = 8;
    repeated KeyValue attributes = 9;
    Status status = 15;
  }
`).root;
