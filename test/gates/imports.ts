import { lineAt, withoutComments } from './source-files.ts';

export interface Import {
  /** What is named; `undefined` where a dynamic import computes it. */
  readonly specifier: string | undefined;
  /** Erased before anything runs. */
  readonly typeOnly: boolean;
  readonly line: number;
}

/** `import(…)` of anything, and `require(…)` of a literal: methods may be called require too. */
const DYNAMIC = /(?<![.\w$])(?:import\s*\(|require\s*\(\s*(?=['"`]))\s*(?:(['"`])([^'"`$]+)\1\s*[,)])?/g;

/**
 * The imports of a formatted module: statements begin their line, whatever
 * lines they span. Dynamic imports and `require` are found anywhere.
 */
export function importsOf(text: string): Import[] {
  const source = withoutComments(text);
  const found: Import[] = [];
  for (const match of source.matchAll(/^(?:import|export)\b([^'"`;=]*?)\bfrom\s*['"]([^'"]+)['"]/gm)) {
    found.push({
      specifier: match[2],
      typeOnly: isTypeOnly(match[1] ?? ''),
      line: lineAt(source, match.index),
    });
  }
  for (const match of source.matchAll(/^import\s*['"]([^'"]+)['"]/gm)) {
    found.push({ specifier: match[1], typeOnly: false, line: lineAt(source, match.index) });
  }
  for (const match of source.matchAll(DYNAMIC)) {
    found.push({ specifier: match[2], typeOnly: false, line: lineAt(source, match.index) });
  }
  return found;
}

/** `import type …`, `export type … from`, or braces that hold types alone. */
function isTypeOnly(clause: string): boolean {
  if (/^\s+type\s+[^,]/.test(clause) && !/^\s+type\s+from\b/.test(clause)) return true;
  const braces = /^\s*\{([^}]*)\}\s*$/.exec(clause)?.[1];
  if (braces === undefined) return false;
  const names = braces.split(',').filter((name) => name.trim() !== '');
  return names.length > 0 && names.every((name) => /^\s*type\s/.test(name));
}
