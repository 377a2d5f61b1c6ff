import { execFile } from 'node:child_process';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { NotHere } from '../row.ts';

const run = promisify(execFile);

/** The peers that are measured beside the product, at these versions. They are no dependencies of it. */
const PEERS: Readonly<Record<string, string>> = {
  'mcp-proxy': '6.7.19',
  'mcp-hub': '4.2.1',
};

/** Where they are installed; a program that imports one lies there. */
const PEERS_FOLDER = fileURLToPath(new URL('../../../.cache/bench/peers', import.meta.url));

let installed: Promise<void> | undefined;

/** Installs the peers once, from npm. Rejects with NotHere where npm cannot. */
export function installPeers(): Promise<void> {
  installed ??= install();
  return installed;
}

async function install(): Promise<void> {
  const wanted = JSON.stringify({ private: true, type: 'module', dependencies: PEERS }, null, 2);
  const stamp = join(PEERS_FOLDER, 'installed.json');
  if ((await readFile(stamp, 'utf8').catch(() => undefined)) === wanted) return;
  await mkdir(PEERS_FOLDER, { recursive: true });
  await writeFile(join(PEERS_FOLDER, 'package.json'), wanted);
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
  await run('npm', args, { cwd: PEERS_FOLDER, timeout: 300_000 }).catch((cause: unknown) => {
    throw new NotHere('npm could not install it', { cause });
  });
  await writeFile(stamp, wanted);
}

/** The program file of a command that a peer brings. */
export async function peerProgram(path: string): Promise<string> {
  await installPeers();
  const program = join(PEERS_FOLDER, 'node_modules', path);
  await access(program);
  return program;
}
