/** What a load does again and again, each time counted as one call. */
export type Kind =
  | 'call'
  | 'list'
  /** A notification of the client, accepted without an answer. */
  | 'notify'
  /** A whole session: initialize, list, call, delete. */
  | 'churn'
  /** Of ten: six small calls, one of 64 KiB, one with progress, a list, a notification. */
  | 'mix';

/** The shape of a load: what is asked, how large, and how much of it at once. */
export interface Load {
  readonly name: string;
  readonly kind: Kind;
  /** Calls in flight at any time, each on a keep-alive connection of its own. */
  readonly concurrency: number;
  /** MCP sessions that the connections share, in turn. */
  readonly sessions: number;
  /** Size of the JSON-RPC request, about, in bytes. */
  readonly requestBytes: number;
  /** Size of the text in the answer to a call, in bytes. */
  readonly answerBytes: number;
  /** Asks the backend to answer by SSE. */
  readonly sse: boolean;
  /** Notifications of progress that the backend sends before its answer; they need SSE. */
  readonly progress: number;
  /** For the rows that have a neighbour, and for no others. */
  readonly beside?: true;
}

const CALL = {
  kind: 'call',
  sessions: 1,
  requestBytes: 300,
  answerBytes: 500,
  sse: false,
  progress: 0,
} as const;

/** Loads that rows or targets speak of. */
export const CALLS_1 = '500 B x1';
export const CALLS_16 = '500 B x16';
export const CALLS_64 = '500 B x64';
export const CALLS_256 = '500 B x256';
export const LARGE_64 = '64 KiB x64';
export const SSE_64 = 'SSE 500 B x64';
export const PROGRESS_64 = 'progress x64';
export const LISTS_64 = 'tools/list x64';
export const CHURN_16 = 'churn x16';
export const BESIDE = '500 B x10 in 10 sessions';

/** The loads of a whole run. */
export const LOADS: readonly Load[] = [
  { ...CALL, name: CALLS_1, concurrency: 1 },
  { ...CALL, name: CALLS_16, concurrency: 16 },
  { ...CALL, name: CALLS_64, concurrency: 64 },
  { ...CALL, name: CALLS_256, concurrency: 256 },
  { ...CALL, name: LARGE_64, concurrency: 64, answerBytes: 65_536 },
  { ...CALL, name: SSE_64, concurrency: 64, sse: true },
  { ...CALL, name: PROGRESS_64, concurrency: 64, sse: true, progress: 2 },
  { ...CALL, name: LISTS_64, kind: 'list', concurrency: 64 },
  { ...CALL, name: 'notifications x64', kind: 'notify', concurrency: 64 },
  { ...CALL, name: CHURN_16, kind: 'churn', concurrency: 16 },
  { ...CALL, name: 'mix x64', kind: 'mix', concurrency: 64, sessions: 4 },
  { ...CALL, name: BESIDE, concurrency: 10, sessions: 10, beside: true },
];
