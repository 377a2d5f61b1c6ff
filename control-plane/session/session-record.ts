import type { BackendHint } from '../backend/backend.ts';

/** What the store keeps of a session beyond the header: sealed, and without any credential. */
export interface SessionBody {
  /** The negotiated MCP revision. */
  readonly protocolVersion: string;
  /** The client's true `initialize` params, verbatim JSON. */
  readonly initializeParams: string;
  /** The virtual server that the session was made on. */
  readonly virtualServer: string;
  /** The backends that the session is meant to have. Set when it is made; nothing that fails shrinks it. */
  readonly desired: readonly string[];
  readonly logLevel?: string | undefined;
  /** URIs as the client knows them. */
  readonly subscriptions: readonly string[];
  readonly hints: Readonly<Record<string, BackendHint>>;
  /** Names the stored routing table that the client last saw. */
  readonly table?: string | undefined;
}

/** For admins; sealed under the server key. */
export interface SessionSummary {
  readonly issuer: string;
  readonly subject: string;
  readonly tenant: string;
  readonly client: string;
  readonly virtualServer: string;
  readonly backends: readonly string[];
}

/** Undefined when the text is not a body of this schema; a body is trusted whole or not at all. */
export function parseBody(text: string): SessionBody | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isBody(value) ? value : undefined;
}

function isBody(value: unknown): value is SessionBody {
  if (!isObject(value)) return false;
  return (
    typeof value['protocolVersion'] === 'string' &&
    typeof value['initializeParams'] === 'string' &&
    typeof value['virtualServer'] === 'string' &&
    isStrings(value['desired']) &&
    isStrings(value['subscriptions']) &&
    isOptionalString(value['logLevel']) &&
    isOptionalString(value['table']) &&
    isObject(value['hints']) &&
    Object.values(value['hints']).every(isHint)
  );
}

function isHint(value: unknown): value is BackendHint {
  return (
    isObject(value) &&
    isOptionalString(value['sessionId']) &&
    typeof value['protocolVersion'] === 'string' &&
    typeof value['initializeResult'] === 'string'
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

function isOptionalString(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}
