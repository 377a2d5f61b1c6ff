import { MeshError } from '../../shared/errors.ts';

/** Where a page of all sessions ends: the sort key of its last entry, opaque to its readers. */
export function writeCursor(parts: readonly string[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** Rejects what is no cursor of ours with `invalid_request`. */
export function readCursor(cursor: string): readonly [string, string] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(parts)) {
      const [first, second]: unknown[] = parts;
      if (typeof first === 'string' && typeof second === 'string') return [first, second];
    }
  } catch {
    // Falls through: not JSON is not a cursor either.
  }
  throw badCursor();
}

export function badCursor(): MeshError {
  return new MeshError('invalid_request', 'The page token is not one of ours.');
}
