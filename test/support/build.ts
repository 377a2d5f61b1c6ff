import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const BUILD = fileURLToPath(new URL('../../.ci/build.mjs', import.meta.url));

/** The users' entry point: the `outrigger` command. */
export const OUTRIGGER = fileURLToPath(new URL('../../dist/outrigger.js', import.meta.url));

let built: Promise<unknown> | undefined;

/** Brings dist up to date with the sources, once a test run. */
export async function ensureBuilt(): Promise<void> {
  built ??= promisify(execFile)(process.execPath, [BUILD], { timeout: 60_000 });
  await built;
}
