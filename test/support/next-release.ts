import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BUILD = fileURLToPath(new URL('next-release.mjs', import.meta.url));

/**
 * A later release of the programs: they say more than this one in every message and record, as a next
 * release may that keeps to the rules for mixed versions.
 */
export interface NextRelease extends AsyncDisposable {
  /** Its `outrigger` command. */
  readonly outrigger: string;
}

export async function buildNextRelease(): Promise<NextRelease> {
  // Beside `dist`: packages and protos are found from there.
  const folder = await mkdtemp(join(ROOT, 'dist.next-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    await promisify(execFile)(process.execPath, [BUILD, folder], { timeout: 60_000 });
  } catch (error) {
    await remove();
    throw error;
  }
  return { outrigger: join(folder, 'outrigger.js'), [Symbol.asyncDispose]: remove };
}
