import { createHmac, timingSafeEqual } from 'node:crypto';
import { MeshError } from '../../shared/errors.ts';

/** What a cursor belongs to: it is worth nothing for another list, or another version of it. */
export interface CursorScope {
  /** Any secret of at least 16 bytes that the replicas share. */
  readonly key: Buffer;
  readonly kind: string;
  readonly version: string;
}

const INDEX_BYTES = 4;
const MAC_BYTES = 16;

/** An opaque, authenticated cursor for the item at which a page begins. */
export function encodeCursor(scope: CursorScope, index: number): string {
  const position = Buffer.alloc(INDEX_BYTES);
  position.writeUInt32BE(index);
  return Buffer.concat([position, mac(scope, position)]).toString('base64url');
}

/** The item at which the page begins; the empty cursor is the first page. Throws MeshError `invalid_params` for one we did not give for this list. */
export function decodeCursor(scope: CursorScope, cursor: string | undefined): number {
  if (cursor === undefined || cursor === '') return 0;
  const bytes = Buffer.from(cursor, 'base64url');
  const position = bytes.subarray(0, INDEX_BYTES);
  const given = bytes.subarray(INDEX_BYTES);
  if (given.length !== MAC_BYTES || !timingSafeEqual(given, mac(scope, position))) {
    throw new MeshError(
      'invalid_params',
      'The cursor is not one of this list, or the list has changed since.',
    );
  }
  return position.readUInt32BE();
}

function mac({ key, kind, version }: CursorScope, position: Buffer): Buffer {
  const hmac = createHmac('sha256', key)
    .update(`outrigger list cursor\0${kind}\0${version}\0`)
    .update(position);
  return hmac.digest().subarray(0, MAC_BYTES);
}
