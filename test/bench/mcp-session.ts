import type { HttpConnection } from './http-connection.ts';
import { openLegacySession } from './legacy-session.ts';
import type { HttpAnswer } from './response-reader.ts';
import { openStreamable } from './streamable-session.ts';

/** Where a row is reached, and what is special there. */
export interface Endpoint {
  readonly url: string;
  /** Sent as the bearer of every request. */
  readonly token?: string;
  /** What the backend's `echo` is called there, when it is called otherwise. */
  readonly tool?: string;
  /** It knows only the older HTTP+SSE (MCP 2024-11-05). */
  readonly legacy?: true;
}

/** One MCP session of the load. */
export interface BenchSession {
  /** Sends a JSON-RPC message on a connection and returns what answers it; for a notification, what accepted it. */
  send(connection: HttpConnection, message: string): Promise<HttpAnswer>;
  /** Ends the session as its transport has it. */
  end(): Promise<void>;
}

/** Initializes a session as a client does. Rejects when it is refused. */
export function openSession(endpoint: Endpoint): Promise<BenchSession> {
  return endpoint.legacy === true ? openLegacySession(endpoint.url) : openStreamable(endpoint);
}
