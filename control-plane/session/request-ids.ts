import type { BackendSession } from '../backend/backend.ts';
import type { TaskPlace } from '../virtual-server/task-results.ts';
import { openBytes, sealBytes } from './record-crypto.ts';

const CONTEXT = 'server request';
/** Longer ids of a backend do not fit into ours; its request is refused. */
const LONGEST = 96;
const MARKS = { created: 'c', state: 's', none: '-' } as const;
const PLACES = ['created', 'state'] as const;

export interface RequestOrigin {
  readonly backend: string;
  /** The backend's own id, raw JSON: value and type come back exactly. */
  readonly id: Buffer;
  /** Under which epoch of the session it was passed on. */
  readonly epoch: number;
  /** Where the answer speaks of a task of the client; absent where it does not. */
  readonly place?: TaskPlace | undefined;
}

/**
 * The id under which a client sees a backend's request: sealed under the
 * session's key, it names the backend, the backend's id and the very backend
 * session that asked. Any replica that took up that backend session can deliver
 * the reply, and a reply to any other is recognised.
 */
export function sealRequestId(
  key: Uint8Array,
  session: BackendSession,
  { backend, epoch, id, place }: RequestOrigin,
): string | undefined {
  if (id.length > LONGEST) return undefined;
  const head = [session.fingerprint.slice(0, 16), backend, epoch, MARKS[place ?? 'none'], ''].join(' ');
  const plain = Buffer.concat([Buffer.from(head), id]);
  return sealBytes(key, plain, CONTEXT).toString('base64url');
}

export interface OpenedRequestId extends RequestOrigin {
  /** Whether this is the backend session that asked. */
  isFrom(session: BackendSession): boolean;
}

/** Undefined for an id that is not ours, or not this session's. */
export function openRequestId(keys: readonly Uint8Array[], text: string): OpenedRequestId | undefined {
  const sealed = Buffer.from(text, 'base64url');
  for (const key of keys) {
    const plain = openBytes(key, sealed, CONTEXT);
    if (plain === undefined) continue;
    const [fingerprint = '', backend = '', epoch = '', mark = ''] = plain.toString('latin1').split(' ', 4);
    const id = plain.subarray(fingerprint.length + backend.length + epoch.length + mark.length + 4);
    return {
      backend,
      id,
      epoch: Number(epoch),
      place: PLACES.find((place) => MARKS[place] === mark),
      isFrom: (session) => session.fingerprint.slice(0, 16) === fingerprint,
    };
  }
  return undefined;
}
