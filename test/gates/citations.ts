import { lineAt, type SourceFiles, withoutComments } from './source-files.ts';

export interface Citation {
  readonly id: string;
  /** `path:line` of the test. */
  readonly at: string;
}

export interface Citations {
  readonly found: readonly Citation[];
  /** Calls of `verifies` whose ids stand nowhere in their file, by place. */
  readonly unreadable: readonly string[];
}

/** One or more ids, each a literal. */
const LITERALS = /^\s*'[\w-]+'(?:\s*,\s*'[\w-]+')*\s*,?\s*$/;

/**
 * Reads which requirements the tests cite from their source, so that it depends
 * on no run. Where a call takes its ids from a table, every literal of the file
 * that is a known id counts, at its own place.
 */
export function citationsIn(files: SourceFiles, known: ReadonlySet<string>): Citations {
  const found: Citation[] = [];
  const unreadable: string[] = [];
  for (const [path, text] of files) {
    const source = withoutComments(text);
    const literals = (code: string, from: number): Citation[] =>
      [...code.matchAll(/'([\w-]+)'/g)].map((id) => ({
        id: id[1] ?? '',
        at: `${path}:${lineAt(source, from + id.index)}`,
      }));
    for (const call of source.matchAll(/\bverifies\(([^)]*)\)/g)) {
      const ids = call[1] ?? '';
      if (LITERALS.test(ids)) {
        found.push(...literals(ids, call.index));
        continue;
      }
      const table = literals(source, 0).filter(({ id }) => known.has(id));
      if (table.length === 0) unreadable.push(`${path}:${lineAt(source, call.index)}`);
      found.push(...table);
    }
  }
  return { found, unreadable };
}
