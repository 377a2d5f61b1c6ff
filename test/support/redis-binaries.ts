import { execFile } from 'node:child_process';
import { access, readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { installPackage, unpackPackages, withFreshLists } from './debian-packages.ts';

const run = promisify(execFile);

const CACHE = join(import.meta.dirname, '..', '..', '.cache', 'redis');
const ROOT = join(CACHE, 'root');
const SENTENCE =
  'These tests need redis-server 7.0 or newer: install it (Debian and Ubuntu: apt-get install redis-server), or make apt-get download redis-tools work.';

export interface RedisBinaries {
  readonly server: string;
  readonly cli: string;
  readonly env: NodeJS.ProcessEnv;
}

let found: Promise<RedisBinaries> | undefined;

/**
 * redis-server and redis-cli: from the PATH, else from Debian's packages, kept in the cache folder.
 * Rejects with one sentence.
 */
export function redisBinaries(): Promise<RedisBinaries> {
  found ??= find().catch((error: unknown) => {
    found = undefined;
    throw error;
  });
  return found;
}

async function find(): Promise<RedisBinaries> {
  const onPath = await ofPath();
  if (onPath !== undefined) return onPath;
  const cached = await ofFolder(ROOT);
  if (cached !== undefined) return cached;
  console.log(`redis-server is not on the PATH: fetching it from this system's packages into ${CACHE}`);
  const fetched = (await fetchPackages().catch(() => undefined)) ?? (await install().catch(() => undefined));
  if (fetched === undefined) throw new Error(SENTENCE);
  return fetched;
}

async function ofPath(): Promise<RedisBinaries | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const binaries = {
      server: join(folder, 'redis-server'),
      cli: join(folder, 'redis-cli'),
      env: process.env,
    };
    if (await works(binaries)) return binaries;
  }
  return undefined;
}

async function ofFolder(root: string): Promise<RedisBinaries | undefined> {
  const folders = await Promise.all(
    ['usr/lib', 'lib'].map(async (lib) => {
      const entries = await readdir(join(root, lib), { withFileTypes: true }).catch(() => []);
      return entries.filter((entry) => entry.isDirectory()).map((entry) => join(root, lib, entry.name));
    }),
  );
  const binaries = {
    server: join(root, 'usr/bin/redis-server'),
    cli: join(root, 'usr/bin/redis-cli'),
    env: { ...process.env, LD_LIBRARY_PATH: folders.flat().join(delimiter) },
  };
  return (await works(binaries)) ? binaries : undefined;
}

async function works({ server, cli, env }: RedisBinaries): Promise<boolean> {
  try {
    await access(cli);
    const { stdout } = await run(server, ['--version'], { env, timeout: 10_000 });
    return Number(/v=(\d+)\./.exec(stdout)?.[1] ?? 0) >= 7;
  } catch {
    return false;
  }
}

async function fetchPackages(): Promise<RedisBinaries | undefined> {
  const { stdout } = await withFreshLists(() =>
    run('apt-cache', ['depends', 'redis-tools'], { timeout: 30_000 }),
  );
  const libraries = [...stdout.matchAll(/Depends: ((?:lib|lua)\S+)/g)].map((match) => match[1] ?? '');
  const needed = libraries.filter((name) => !name.startsWith('libc6'));
  await unpackPackages(['redis-server', 'redis-tools', ...needed], ROOT);
  return ofFolder(ROOT);
}

/** The library that gives a process another clock, for LD_PRELOAD. Rejects with one sentence. */
export async function fakeTimeLibrary(): Promise<string> {
  const folder = join(CACHE, 'faketime');
  const find = async () => {
    const files = await readdir(folder, { recursive: true }).catch(() => []);
    const library = files.find((file) => file.endsWith('/libfaketime.so.1'));
    return library === undefined ? undefined : join(folder, library);
  };
  const cached = await find();
  if (cached !== undefined) return cached;
  console.log(`libfaketime is not there: fetching it from this system's packages into ${folder}`);
  await unpackPackages(['libfaketime'], folder).catch(() => {});
  const fetched = await find();
  if (fetched === undefined)
    throw new Error('This test needs libfaketime: make apt-get download libfaketime work.');
  return fetched;
}

async function install(): Promise<RedisBinaries | undefined> {
  return (await installPackage('redis-server')) ? ofPath() : undefined;
}
