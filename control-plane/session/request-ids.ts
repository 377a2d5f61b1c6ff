import type { BackendSession } from '../backend/backend.ts';
import { openBytes, sealBytes } from './record-crypto.ts';

const CONTEXT = 'server request';
/** Longer ids of a backend do not fit into ours; its request is refused. */
const LONGEST = 96;

export interface RequestOrigin {
  readonly backend: string;
  /** The backend's own id, raw JSON: value and type come back exactly. */
  readonly id: Buffer;
  /** Under which epoch of the session it was passed on. */
  readonly epoch: number;
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
  { backend, epoch, id }: RequestOrigin,
): string | undefined {
  if (id.length > LONGEST) return undefined;
  const plain = Buffer.concat([Buffer.from(`${session.fingerprint.slice(0, 16)} ${backend} ${epoch} `), id]);
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
    const [fingerprint = '', backend = '', epoch = ''] = plain.toString('latin1').split(' ', 3);
    const id = plain.subarray(fingerprint.length + backend.length + epoch.length + 3);
    return {
      backend,
      id,
      epoch: Number(epoch),
      isFrom: (session) => session.fingerprint.slice(0, 16) === fingerprint,
    };
  }
  return undefined;
}
