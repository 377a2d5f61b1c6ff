import type { BackendSession } from '../backend/backend.ts';
import type { TaskPlace } from '../virtual-server/task-results.ts';
import { openBytes, sealBytes } from './record-crypto.ts';

/** What of a backend's request the client sees under a name of ours. */
export type SealedPart = 'id' | 'progress token';

const CONTEXT: Readonly<Record<SealedPart, string>> = {
  id: 'server request',
  'progress token': 'server progress',
};
/** Longer ids of a backend do not fit into ours; its request is refused. */
const LONGEST = 96;
const MARKS = { created: 'c', state: 's', none: '-' } as const;
const PLACES = ['created', 'state'] as const;

export interface RequestOrigin {
  /** The client's stream that carries the request. */
  readonly stream: string;
  readonly backend: string;
  /** The backend's own id or token, raw JSON: value and type come back exactly. */
  readonly id: Buffer;
  /** Under which epoch of the session it was passed on. */
  readonly epoch: number;
  /** Where the answer speaks of a task of the client; absent where it does not. */
  readonly place?: TaskPlace | undefined;
}

/**
 * The id under which a client sees a backend's request: the name of the stream
 * that carried it, a dot, and sealed under the session's key the backend, the
 * backend's id and the very backend session that asked. Any replica that took up
 * that backend session can deliver the reply, a reply to any other is recognised,
 * and a sidecar finds the exchange that it belongs to. Undefined when the id is too long.
 */
export function sealRequestId(
  key: Uint8Array,
  session: BackendSession,
  { stream, backend, epoch, id, place }: RequestOrigin,
  part: SealedPart = 'id',
): string | undefined {
  if (id.length > LONGEST) return undefined;
  const head = [session.fingerprint.slice(0, 16), backend, epoch, MARKS[place ?? 'none'], ''].join(' ');
  const plain = Buffer.concat([Buffer.from(head), id]);
  return `${stream}.${sealBytes(key, plain, contextOf(part, stream)).toString('base64url')}`;
}

export interface OpenedRequestId extends RequestOrigin {
  /** Whether this is the backend session that asked. */
  isFrom(session: BackendSession): boolean;
}

/** Undefined for an id that is not ours, or not this session's. */
export function openRequestId(
  keys: readonly Uint8Array[],
  text: string,
  part: SealedPart = 'id',
): OpenedRequestId | undefined {
  const dot = text.indexOf('.');
  const stream = text.slice(0, Math.max(0, dot));
  const sealed = Buffer.from(text.slice(dot + 1), 'base64url');
  // One id has one spelling: another one could be answered a second time.
  if (sealed.toString('base64url') !== text.slice(dot + 1)) return undefined;
  for (const key of keys) {
    const plain = openBytes(key, sealed, contextOf(part, stream));
    if (plain === undefined) continue;
    const [fingerprint = '', backend = '', epoch = '', mark = ''] = plain.toString('latin1').split(' ', 4);
    const id = plain.subarray(fingerprint.length + backend.length + epoch.length + mark.length + 4);
    return {
      stream,
      backend,
      id,
      epoch: Number(epoch),
      place: PLACES.find((place) => MARKS[place] === mark),
      isFrom: (session) => session.fingerprint.slice(0, 16) === fingerprint,
    };
  }
  return undefined;
}

function contextOf(part: SealedPart, stream: string): string {
  return `${CONTEXT[part]} ${stream}`;
}
