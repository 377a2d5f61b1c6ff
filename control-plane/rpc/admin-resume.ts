import { createHash } from 'node:crypto';
import { invalid } from './admin-fault.ts';

/** What a watcher knows, in its own hands: so any replica can go on where another was lost. */

/** What was said of each entry: a digest of it, by its name. */
export type Said = ReadonlyMap<string, string>;

/** A watcher of more than this begins anew. */
const MOST_ENTRIES = 1_000;

/** Good for a watch of the same list under the same filter; empty where it would be too long. */
export function writeResumeToken(list: string, said: Said): string {
  if (said.size > MOST_ENTRIES) return '';
  return Buffer.from(JSON.stringify([digestOf(list), ...[...said].flat()])).toString('base64url');
}

/** Nothing for an empty token. Throws INVALID_ARGUMENT for the token of another watch, or of none. */
export function readResumeToken(list: string, token: string): Said {
  const said = new Map<string, string>();
  if (token === '') return said;
  const [of, ...rest] = parse(token);
  if (of !== digestOf(list) || rest.length % 2 !== 0 || rest.length > 2 * MOST_ENTRIES)
    throw invalid('resume_token: this is no token of this watch, with this filter.');
  for (let at = 0; at < rest.length; at += 2) said.set(rest[at] ?? '', rest[at + 1] ?? '');
  return said;
}

/** The same for equal entries. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 12);
}

function parse(token: string): readonly string[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (Array.isArray(parts) && parts.every((each) => typeof each === 'string')) return parts;
  } catch {
    // Not JSON is no token either.
  }
  return [];
}
