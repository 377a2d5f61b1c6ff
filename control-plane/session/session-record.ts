import type { BackendHint } from '../backend/backend.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';

/*
 * A sealed body is 64 KiB at most, so its plain text about 48. These parts grow with
 * what clients and backends send; together they leave room for the rest.
 */
/** As they stand in the body. */
export const MAX_INITIALIZE_CHARS = 16 * 1024;
export const MAX_SUBSCRIPTION_CHARS = 8 * 1024;
const MAX_HINT_CHARS = 20 * 1024;
/** What is on its way between client and backends takes its room from the hints. */
const MAX_ASKED_CHARS = 4 * 1024;
const MAX_CANCELLED_ID_CHARS = 256;
const MAX_CANCELLED_REASON_CHARS = 200;
const MOST_CANCELLED = 4;

/** The hints that a record has room for beside `taken` characters, the shortest first; a backend session without its hint is made afresh on another replica. */
export function fitting(
  hints: Readonly<Record<string, BackendHint>>,
  taken: number,
): Record<string, BackendHint> {
  const sized = Object.entries(hints).map(([name, hint]) => ({
    name,
    hint,
    chars: JSON.stringify(hint).length + name.length + 4,
  }));
  let room = MAX_HINT_CHARS - taken;
  const kept = sized
    .toSorted((a, b) => a.chars - b.chars)
    .filter(({ chars }) => {
      room -= chars;
      return room >= 0;
    });
  return Object.fromEntries(kept.map(({ name, hint }) => [name, hint]));
}

/** Those of the unanswered requests that a record has room for, the newest first; undefined for none. */
export function fittingAsked(asked: readonly string[]): readonly string[] | undefined {
  let room = MAX_ASKED_CHARS;
  const kept = asked.toReversed().filter((id) => {
    room -= id.length + 3;
    return room >= 0;
  });
  return kept.length === 0 ? undefined : kept.reverse();
}

/** The cancellations with one more; the same ones where it does not fit, for ids that no client has. */
export function withCancelled(
  cancelled: readonly Cancellation[] = [],
  { id, epoch, reason }: Cancellation,
): readonly Cancellation[] {
  if (id.length > MAX_CANCELLED_ID_CHARS) return cancelled;
  const told = reason === undefined ? {} : { reason: reason.slice(0, MAX_CANCELLED_REASON_CHARS) };
  return [...cancelled, { id, epoch, ...told }].slice(-MOST_CANCELLED);
}

/**
 * What the store keeps of a session beyond the header: sealed, and without any credential. A newer release
 * may have written more of it. What it wrote beside these fields is carried along unchanged, so a new field
 * must still be true when an older owner has served the session meanwhile: name the epoch, or leave it out.
 */
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
  /** Those of them that have had a backend session for this session: what it held is lost when it is made afresh. */
  readonly opened: readonly string[];
  readonly hints: Readonly<Record<string, BackendHint>>;
  /** Tasks made in this session at backends to which all callers are the same, by `known-tasks`; the newest last. */
  readonly tasks?: readonly string[] | undefined;
  /** Those of them whose loss of state the client was not told yet. */
  readonly restarted?: readonly string[] | undefined;
  /** Requests of backends that the client has not answered, by the ids that it sees, the oldest first. */
  readonly asked?: readonly string[] | undefined;
  /** Requests that the client has cancelled and that an earlier owner may still be finishing. */
  readonly cancelled?: readonly Cancellation[] | undefined;
  /** Names the stored routing table that the client last saw. */
  readonly table?: string | undefined;
  /** The versions of the lists that the client was last given, or told of. */
  readonly served?: ServedVersions | undefined;
}

export type ServedVersions = Readonly<Partial<Record<ListKind, string>>>;

export interface Cancellation {
  /** The client's raw JSON-RPC id. */
  readonly id: string;
  /** Of the owner that heard of it: it concerns what runs at earlier ones. */
  readonly epoch: number;
  readonly reason?: string;
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
    isStrings(value['opened']) &&
    isStrings(value['subscriptions']) &&
    isOptionalString(value['logLevel']) &&
    isOptionalString(value['table']) &&
    isOptional(value['tasks'], isStrings) &&
    isOptional(value['served'], isObject) &&
    isOptional(value['restarted'], isStrings) &&
    isOptional(value['asked'], isStrings) &&
    isOptional(value['cancelled'], isCancellations) &&
    isObject(value['hints']) &&
    Object.values(value['hints']).every(isHint)
  );
}

function isHint(value: unknown): value is BackendHint {
  return (
    isObject(value) &&
    isOptionalString(value['sessionId']) &&
    isOptionalString(value['place']) &&
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

function isCancellations(value: unknown): boolean {
  return Array.isArray(value) && value.every(isCancellation);
}

function isCancellation(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value['id'] === 'string' &&
    typeof value['epoch'] === 'number' &&
    isOptionalString(value['reason'])
  );
}

function isOptionalString(value: unknown): boolean {
  return isOptional(value, (each) => typeof each === 'string');
}

function isOptional(value: unknown, is: (value: unknown) => boolean): boolean {
  return value === undefined || is(value);
}
