/** How a tool of the recording backend behaves. */
export type ToolBehaviour =
  /** Answers its arguments as text. */
  | 'echo'
  /** Answers the Authorization and session id that the call came with. */
  | 'whoami'
  /** Counts its calls in this session: state that a fresh session does not have. */
  | 'count'
  /** Answers after `ms`. */
  | 'slow'
  /** Sends `steps` progress notifications and a log message before its answer. */
  | 'progress'
  /** Sends the client the request in `request` (a method) and `params`, and answers what came back. */
  | 'ask'
  /** Closes its stream with `retry: ms` and answers only on the resumed stream (SEP-1699). */
  | 'poll'
  /** A result with `isError`. */
  | 'fail'
  /** A JSON-RPC error with data. */
  | 'error'
  /** Never answers; gone when cancelled. */
  | 'hang';

export interface ScriptedTool {
  readonly name: string;
  readonly behaviour?: ToolBehaviour;
  /** More fields of its definition, such as description or annotations. */
  readonly definition?: Readonly<Record<string, unknown>>;
}

/** What the backend is and does; every field may be changed while it runs. */
export interface Script {
  name: string;
  protocolVersion: string;
  capabilities: Readonly<Record<string, unknown>>;
  instructions: string | undefined;
  /** How requests are answered. What sends something before its answer, or resumes, always streams. */
  answers: 'json' | 'sse';
  /** Whether session ids are given out and asked for. */
  sessions: boolean;
  /** The status for a session it does not know. */
  lostStatus: 404 | 400;
  /** A GET opens a stream, or gets this status. */
  get: 'stream' | number;
  /** Whether SSE events carry ids and are replayed. */
  eventIds: boolean;
  /** Milliseconds before each answer, by JSON-RPC method; `*` for all others. */
  delays: Readonly<Record<string, number>>;
  /** The status for these Authorization values, `''` for none. */
  refuse: Readonly<Record<string, number>>;
  tools: readonly ScriptedTool[];
  /** What single sessions are shown instead, by their ids. */
  toolsOf: Readonly<Record<string, readonly ScriptedTool[]>>;
  resources: readonly { readonly uri: string; readonly name: string }[];
  resourceTemplates: readonly { readonly uriTemplate: string; readonly name: string }[];
  prompts: readonly { readonly name: string }[];
  /** Items on a page of a list. */
  pageSize: number;
  /** Results by tool name, as raw JSON, carried to the byte. */
  results: Readonly<Record<string, string>>;
}

/** What happens to the next request of a method, once, instead of its answer. */
export type Reaction =
  /** This HTTP answer. */
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
      /** Ends the connection in the middle of the body. */
      readonly cut?: boolean;
      /** Leaves the body open. */
      readonly open?: boolean;
    }
  /** The connection is reset when the request is there. */
  | { readonly reset: true }
  /** No answer, ever. */
  | { readonly hang: true }
  /** The ordinary answer, after the tool ran, but the connection is reset before it. */
  | { readonly runThenReset: true };

export function defaultScript(): Script {
  return {
    name: 'recording',
    protocolVersion: '2025-11-25',
    capabilities: {
      tools: { listChanged: true },
      resources: { listChanged: true, subscribe: true },
      prompts: { listChanged: true },
      completions: {},
      logging: {},
    },
    instructions: undefined,
    answers: 'json',
    sessions: true,
    lostStatus: 404,
    get: 'stream',
    eventIds: true,
    delays: {},
    refuse: {},
    tools: BEHAVIOURS.map((behaviour) => ({ name: behaviour, behaviour })),
    toolsOf: {},
    resources: [{ uri: 'memo://one', name: 'one' }],
    resourceTemplates: [{ uriTemplate: 'memo://{name}', name: 'memo' }],
    prompts: [{ name: 'greet' }],
    pageSize: 100,
    results: {},
  };
}

const BEHAVIOURS: readonly ToolBehaviour[] = [
  'echo',
  'whoami',
  'count',
  'slow',
  'progress',
  'ask',
  'poll',
  'fail',
  'error',
  'hang',
];
