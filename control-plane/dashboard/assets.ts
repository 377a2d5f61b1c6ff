import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A file of the page, as it is sent. */
export interface Asset {
  readonly type: string;
  readonly body: Buffer;
}

const FILES = [
  { path: '', file: 'dashboard.html', type: 'text/html; charset=utf-8' },
  { path: 'dashboard.css', file: 'dashboard.css', type: 'text/css; charset=utf-8' },
  { path: 'dashboard.js', file: 'dashboard.js', type: 'text/javascript; charset=utf-8' },
  { path: 'dashboard.svg', file: 'dashboard.svg', type: 'image/svg+xml' },
] as const;

/** The page's files by their paths below `/dashboard/`. Throws when they were not built. */
export function readAssets(): ReadonlyMap<string, Asset> {
  const folder = builtFolder(import.meta.dirname);
  return new Map(
    FILES.map(({ path, file, type }) => [path, { type, body: readFileSync(join(folder, file)) }]),
  );
}

/** The program runs from a bundle, beside which the files are, or from its sources. */
function builtFolder(from: string): string {
  const found = [from, join(from, 'dist')].find((folder) => existsSync(join(folder, 'dashboard.html')));
  if (found !== undefined) return found;
  const above = dirname(from);
  if (above === from) throw new Error("the dashboard's files are missing from this installation");
  return builtFolder(above);
}
