import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Source text by path from the root, with forward slashes. */
export type SourceFiles = ReadonlyMap<string, string>;

const IGNORED = new Set(['node_modules', 'dist', 'gen', 'coverage']);

/** Reads every file below `folders` whose name ends in one of `extensions`. */
export function readSources(
  folders: readonly string[],
  extensions: readonly string[] = ['.ts'],
): SourceFiles {
  const found = new Map<string, string>();
  const visit = (path: string): void => {
    if (statSync(path).isDirectory()) {
      for (const name of readdirSync(path)) {
        if (!IGNORED.has(name)) visit(join(path, name));
      }
    } else if (extensions.some((extension) => path.endsWith(extension))) {
      found.set(relative(ROOT, path).split(sep).join('/'), readFileSync(path, 'utf8'));
    }
  };
  for (const folder of folders) visit(join(ROOT, folder));
  return found;
}

/** The line, counted from one, on which `offset` lies. */
export function lineAt(source: string, offset: number): number {
  return source.slice(0, offset).split('\n').length;
}

/** Blanks comments, so that what they mention is not taken for code. Offsets and lines stay. */
export function withoutComments(source: string): string {
  return source.replace(
    /('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|(?<=^|[\s;,{}()])\/\/[^\n]*/g,
    (match, text: string | undefined) => text ?? match.replace(/[^\n]/g, ' '),
  );
}
