import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const CACHE = fileURLToPath(new URL('../../.cache', import.meta.url));
const PACKAGE = `node-${process.platform}-${process.arch}`;

/**
 * The path of a Node 22 (or newer) binary, for tools that need one: the running Node when it is new
 * enough, else the npm package `node-<os>-<arch>@22` in `.cache/node22`, installed on first use. Safe to
 * call from several processes at once. Throws one sentence that says what to do when npm cannot get it.
 */
export async function node22(): Promise<string> {
  if (Number(process.versions.node.split('.')[0]) >= 22) return process.execPath;
  const binary = join(CACHE, 'node22', 'node_modules', PACKAGE, 'bin', 'node');
  if (!existsSync(binary)) await install();
  return binary;
}

/** Installs beside the cache and renames, so that no other process ever sees half of it. */
async function install(): Promise<void> {
  console.error(
    `Fetching Node 22 (npm package ${PACKAGE}) into .cache/node22: the conformance suite needs it.`,
  );
  await mkdir(CACHE, { recursive: true });
  const folder = await mkdtemp(join(CACHE, 'node22-'));
  try {
    await writeFile(join(folder, 'package.json'), '{"private":true}');
    const npm = ['install', '--no-audit', '--no-fund', '--prefix', folder, `${PACKAGE}@22`];
    await promisify(execFile)('npm', npm, { timeout: 300_000 });
    await rename(folder, join(CACHE, 'node22'));
  } catch (cause) {
    if (existsSync(join(CACHE, 'node22', 'node_modules', PACKAGE))) return;
    throw new Error(
      `The conformance suite needs Node 22, and npm could not install ${PACKAGE}@22: run the tests with Node 22, or where npm reaches its registry.`,
      { cause },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
