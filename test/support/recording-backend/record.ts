import type { IncomingHttpHeaders } from 'node:http';

export interface JsonRpc {
  readonly jsonrpc?: string;
  readonly id?: string | number | null;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
}

/** One HTTP request as the backend received it. */
export interface RecordedRequest {
  /** Counts from 0 over the life of the backend. */
  readonly order: number;
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly authorization: string | undefined;
  /** The `Mcp-Session-Id` it named. */
  readonly sessionId: string | undefined;
  /** The body as it came. */
  readonly body: string;
  /** The body parsed, where it is JSON. */
  readonly message: JsonRpc | undefined;
  /** Its JSON-RPC method; `response` for a response, undefined without a body. */
  readonly rpc: string | undefined;
}

/** One tool call that really ran. */
export interface Execution {
  readonly tool: string;
  readonly arguments: unknown;
  readonly authorization: string | undefined;
  readonly sessionId: string | undefined;
}

/** A session this backend gave out: who made it, and everybody who ever named it. */
export interface RecordedSession {
  readonly id: string;
  readonly initializedBy: string | undefined;
  /** Distinct Authorization values, the first being the one that initialised it. */
  readonly usedBy: readonly (string | undefined)[];
}

/** Everything the backend saw; plain data, so that it also crosses a process boundary. */
export interface BackendRecord {
  readonly requests: readonly RecordedRequest[];
  readonly executions: readonly Execution[];
  readonly sessions: readonly RecordedSession[];
  readonly openStreams: number;
}

/** Which requests are meant: all that is given must match. */
export interface RequestFilter {
  readonly method?: string;
  readonly rpc?: string;
  readonly sessionId?: string;
  readonly authorization?: string;
}

/** Questions to a record: the same in this process and over a process boundary. */
export class RecordView {
  readonly record: BackendRecord;

  constructor(record: BackendRecord) {
    this.record = record;
  }

  requests(filter: RequestFilter = {}): readonly RecordedRequest[] {
    return this.record.requests.filter((request) =>
      (Object.keys(filter) as (keyof RequestFilter)[]).every((key) => request[key] === filter[key]),
    );
  }

  /** How many times it was initialised. */
  get initialises(): number {
    return this.requests({ rpc: 'initialize' }).length;
  }

  get deletes(): readonly RecordedRequest[] {
    return this.requests({ method: 'DELETE' });
  }

  /** How many times a tool really ran; all tools without a name. */
  executionsOf(tool?: string): number {
    return this.record.executions.filter((each) => tool === undefined || each.tool === tool).length;
  }

  /** The distinct Authorization values seen, undefined for requests without one. */
  get authorizations(): readonly (string | undefined)[] {
    return [...new Set(this.record.requests.map((request) => request.authorization))];
  }

  get sessions(): readonly RecordedSession[] {
    return this.record.sessions;
  }
}
