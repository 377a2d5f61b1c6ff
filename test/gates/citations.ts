import { lineAt, type SourceFiles, withoutComments } from './source-files.ts';

export interface Citation {
  readonly id: string;
  /** `path:line` of the test. */
  readonly at: string;
}

export interface Citations {
  readonly found: readonly Citation[];
  /** Calls of `verifies` that name something else than literal ids, by place. */
  readonly unreadable: readonly string[];
}

/** Reads which requirements the tests cite from their source, so that it depends on no run. */
export function citationsIn(files: SourceFiles): Citations {
  const found: Citation[] = [];
  const unreadable: string[] = [];
  for (const [path, text] of files) {
    const source = withoutComments(text);
    for (const call of source.matchAll(/\bverifies\(([^)]*)\)/g)) {
      const at = `${path}:${lineAt(source, call.index)}`;
      const ids = call[1] ?? '';
      if (!/^\s*'[\w-]+'(?:\s*,\s*'[\w-]+')*\s*,?\s*$/.test(ids)) unreadable.push(at);
      for (const id of ids.matchAll(/'([\w-]+)'/g)) found.push({ id: id[1] ?? '', at });
    }
  }
  return { found, unreadable };
}
