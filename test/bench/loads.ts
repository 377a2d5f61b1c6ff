/** The shape of a load: what is asked, how large, and how much of it at once. */
export interface Load {
  readonly name: string;
  readonly method: 'tools/call' | 'tools/list';
  /** Calls in flight at any time, each on a keep-alive connection of its own. */
  readonly concurrency: number;
  /** MCP sessions that the connections share, in turn. */
  readonly sessions: number;
  /** Size of the JSON-RPC request, about, in bytes. */
  readonly requestBytes: number;
  /** Size of the text in the answer, in bytes; has no meaning for tools/list. */
  readonly answerBytes: number;
  /** Asks the backend to answer by SSE. */
  readonly sse: boolean;
  /** For the rows that have a neighbour, and for no others. */
  readonly beside?: true;
}

const CALL = {
  method: 'tools/call',
  sessions: 1,
  requestBytes: 300,
  answerBytes: 500,
  sse: false,
} as const;

/** The loads of a whole run. */
export const LOADS: readonly Load[] = [
  { ...CALL, name: '500 B x1', concurrency: 1 },
  { ...CALL, name: '500 B x16', concurrency: 16 },
  { ...CALL, name: '500 B x64', concurrency: 64 },
  { ...CALL, name: '64 KiB x64', concurrency: 64, answerBytes: 65_536 },
  { ...CALL, name: 'SSE 500 B x64', concurrency: 64, sse: true },
  { ...CALL, name: 'tools/list x64', method: 'tools/list', concurrency: 64 },
  { ...CALL, name: '500 B x10 in 10 sessions', concurrency: 10, sessions: 10, beside: true },
];
