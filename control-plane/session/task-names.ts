import type { BackendSession } from '../backend/backend.ts';
import type { LiveSession } from './live-session.ts';
import { openBytes, sealName } from './record-crypto.ts';

/** What is named to one side for the other; a name of one kind is none of another. */
export type NameKind =
  /** A backend's task, as the client knows it. */
  | 'task of a backend'
  /** The client's task, as the backend that caused it knows it. */
  | 'task of the client'
  /** Where the rest of a backend's tasks begins, as the client knows it. */
  | 'rest of tasks'
  /** The client's progress token, as the backend knows it: it outlives the call that created a task. */
  | 'progress for the client'
  /** A backend's progress token, as the client knows it. */
  | 'progress for a backend';

/** What a session seals under. */
export type Keyed = Pick<LiveSession, 'sessionKeys'>;

/** Whose value a name stands for. */
export interface Party {
  readonly session: Keyed;
  /** The configured name. */
  readonly backend: string;
  readonly at: BackendSession;
}

export interface OpenedName {
  readonly backend: string;
  /** What it stands for, raw JSON. */
  readonly value: Buffer;
  /** Whether it was made for this backend session: of another one nothing is left. */
  isOf(at: BackendSession): boolean;
}

/**
 * The name under which one side knows what the other calls `value` (raw JSON): sealed
 * under the session's key, so that it means nothing in any other session, and the same
 * each time and on every replica, so that nothing has to be stored for it.
 */
export function nameFor(kind: NameKind, { session, backend, at }: Party, value: Uint8Array): string {
  const [key] = keysOf(session);
  if (key === undefined) throw new Error('a replica seals under a key that it has');
  const plain = Buffer.concat([Buffer.from(`${scopeOf(at)} ${backend} `), value]);
  return sealName(key, plain, kind).toString('base64url');
}

/** Undefined for a name that is not ours, not this session's, or of another kind. */
export function openName(kind: NameKind, session: Keyed, name: string): OpenedName | undefined {
  const sealed = Buffer.from(name, 'base64url');
  // One spelling only: decoding passes over what is not of the alphabet.
  if (sealed.toString('base64url') !== name) return undefined;
  for (const key of keysOf(session)) {
    const plain = openBytes(key, sealed, kind);
    if (plain === undefined) continue;
    const [scope = '', backend = ''] = plain.toString('latin1').split(' ', 2);
    const value = plain.subarray(scope.length + backend.length + 2);
    return { backend, value, isOf: (at) => scopeOf(at) === scope };
  }
  return undefined;
}

const keys = new WeakMap<Keyed, readonly Uint8Array[]>();

function keysOf(session: Keyed): readonly Uint8Array[] {
  const known = keys.get(session) ?? session.sessionKeys('tasks');
  keys.set(session, known);
  return known;
}

/** A backend that gives no session ids holds nothing in a session: it is the same whoever resumes it. */
function scopeOf({ hint, fingerprint }: BackendSession): string {
  return hint !== undefined && hint.sessionId === undefined ? '-' : fingerprint.slice(0, 16);
}
