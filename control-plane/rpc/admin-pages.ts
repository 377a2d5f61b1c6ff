import { createHash } from 'node:crypto';
import { invalid } from './admin-fault.ts';

/** A request for a page of a list (AIP-158). */
export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

const USUAL_PAGE = 50;
const LARGEST_PAGE = 1_000;

/** How many entries a page may have. Throws INVALID_ARGUMENT for a negative size. */
export function pageSizeOf({ pageSize }: PageRequest): number {
  if (pageSize < 0) throw invalid('page_size: expected 0 or more.');
  return Math.min(pageSize === 0 ? USUAL_PAGE : pageSize, LARGEST_PAGE);
}

/** Where the next page begins; good for this list under this filter alone. */
export function writePageToken(list: string, position: string): string {
  return Buffer.from(JSON.stringify([digest(list), position])).toString('base64url');
}

/** Undefined for the first page. Throws INVALID_ARGUMENT for the token of another list, or of none. */
export function readPageToken(list: string, token: string): string | undefined {
  if (token === '') return undefined;
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (Array.isArray(parts)) {
      const [of, position]: unknown[] = parts;
      if (of === digest(list) && typeof position === 'string') return position;
    }
  } catch {
    // Falls through: not JSON is no token either.
  }
  throw invalid('page_token: this is no token of this list, with this filter.');
}

/** A page of a list that is whole in memory; entries come in the order of their names. */
export function pageOf<T extends { readonly name: string }>(
  entries: readonly T[],
  { list, request }: { readonly list: string; readonly request: PageRequest },
): { readonly page: readonly T[]; readonly nextPageToken: string } {
  const after = readPageToken(list, request.pageToken);
  const sorted = entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const rest = after === undefined ? sorted : sorted.filter(({ name }) => name > after);
  const page = rest.slice(0, pageSizeOf(request));
  const last = page.at(-1);
  const more = last !== undefined && rest.length > page.length;
  return { page, nextPageToken: more ? writePageToken(list, last.name) : '' };
}

function digest(list: string): string {
  return createHash('sha256').update(list).digest('base64url').slice(0, 12);
}
