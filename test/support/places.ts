import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OUTRIGGER } from './build.ts';
import type { Place } from './canaries.ts';
import type { RedisServer } from './redis.ts';

/** Everything that Redis holds and ever wrote: each key with its value, its snapshot and its log. */
export async function redisContents(redis: RedisServer): Promise<Place[]> {
  const keys = (await redis.cli('--scan')).split('\n').filter((key) => key !== '');
  const values = await Promise.all(
    keys.map(async (key) => ({ name: `the key ${key}`, content: `${key}\n${await readKey(redis, key)}` })),
  );
  await redis.cli('save');
  const folder = (await redis.cli('config', 'get', 'dir')).split('\n')[1] ?? '';
  return [...values, ...(await filesBelow(folder, ({ name }) => name !== 'redis.conf'))];
}

const READ: Readonly<Record<string, readonly [command: string, ...args: string[]]>> = {
  string: ['get'],
  hash: ['hgetall'],
  list: ['lrange', '0', '-1'],
  set: ['smembers'],
  zset: ['zrange', '0', '-1'],
  stream: ['xrange', '-', '+'],
};

async function readKey(redis: RedisServer, key: string): Promise<string> {
  const type = await redis.cli('type', key);
  if (type === 'none') return '';
  const read = READ[type];
  if (read === undefined) throw new Error(`what is in a ${type}?`);
  const [command, ...args] = read;
  return await redis.cli(command, key, ...args);
}

/** Every file in a folder and below it. */
export async function filesBelow(
  folder: string,
  wanted: (file: { readonly name: string }) => boolean = () => true,
): Promise<Place[]> {
  const entries = await readdir(folder, { recursive: true });
  const files: Place[] = [];
  for (const name of entries.filter((each) => wanted({ name: each }))) {
    const path = join(folder, name);
    // What is removed while the folder is read holds nothing any more.
    const content = (await stat(path).catch(() => undefined))?.isFile()
      ? await readFile(path).catch(() => undefined)
      : undefined;
    if (content !== undefined) files.push({ name: `the file ${path}`, content });
  }
  return files;
}

/** What the programs say of themselves; those that do not answer are left out. */
export async function metricsAt(ops: readonly string[]): Promise<Place[]> {
  const places: Place[] = [];
  for (const base of ops) {
    for (const path of ['metrics', 'readyz', 'livez', 'startupz']) {
      const response = await fetch(`${base}/${path}`, { signal: AbortSignal.timeout(2_000) }).catch(
        () => undefined,
      );
      if (response === undefined) continue;
      const headers = JSON.stringify([...response.headers]);
      places.push({ name: `${base}/${path}`, content: `${headers}\n${await response.text()}` });
    }
  }
  return places;
}

export interface ProcessFacts {
  readonly pid: number;
  readonly commandLine: string;
  readonly environment: string;
  /** A program that is none of ours. */
  readonly isBackend: boolean;
}

/** Those of these processes that run, and all that they started. */
export async function processesBelow(pids: readonly number[]): Promise<ProcessFacts[]> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    const fields = /^\d+$/.test(name) ? await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '') : '';
    // The program's name, in brackets, may hold spaces and brackets.
    const parent = /^.*\) \S (\d+)/s.exec(fields)?.[1];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const below = new Set(pids);
  for (let before = 0; before !== below.size; ) {
    before = below.size;
    for (const [pid, parent] of parents) if (below.has(parent)) below.add(pid);
  }
  const processes: ProcessFacts[] = [];
  for (const pid of below) {
    const read = (name: string) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '');
    const [commandLine, environment] = await Promise.all([read('cmdline'), read('environ')]);
    if (commandLine === '' || environment === '') continue;
    processes.push({ pid, commandLine, environment, isBackend: !commandLine.includes(`${OUTRIGGER}\0`) });
  }
  return processes;
}
