/**
 * Makes a clean clone ready: the right Node, the dependencies of the lock file,
 * the bundled programs. Plain Node, so that it runs before anything is installed;
 * quick, and silent, when there is nothing to do.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const lock = join(root, 'package-lock.json');
const modules = join(root, 'node_modules');
const stamp = join(modules, '.outrigger-lock');

try {
  checkNode();
  if (!installed()) install();
  const { build } = await import('./build.mjs');
  if (await build()) console.error('Built the programs into dist.');
} catch (error) {
  console.error(error instanceof AggregateError ? 'The build failed; the errors are above.' : error.message);
  process.exitCode = 1;
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new Error(`Outrigger needs Node 20.19 or newer; this is ${process.version}.`);
}

/** By content where this script installed, by time where somebody else did. */
function installed() {
  const hidden = join(modules, '.package-lock.json');
  if (!existsSync(hidden)) return false;
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest()) return true;
  return statSync(hidden).mtimeMs >= statSync(lock).mtimeMs;
}

function install() {
  console.error('Installing the dependencies (npm ci).');
  const npm = process.env.npm_execpath;
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund'];
  const [command, prefix] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  try {
    execFileSync(command, [...prefix, ...args], { cwd: root, stdio: ['ignore', 2, 2] });
  } catch {
    throw new Error('npm ci failed, see above: Outrigger needs npm and its registry once, to install.');
  }
  checkNative();
  writeFileSync(stamp, digest());
}

/** npm 11 runs no install scripts unless told to; both packages bring ready-made binaries, and here is the proof. */
function checkNative() {
  for (const name of ['esbuild', 'lmdb']) {
    const probe = name === 'esbuild' ? "transformSync('1')" : 'open';
    try {
      execFileSync(process.execPath, ['-e', `require('${name}').${probe}`], { cwd: root, stdio: 'ignore' });
    } catch {
      throw new Error(
        `The package ${name} has no binary for ${process.platform} ${process.arch}: try npm rebuild ${name}.`,
      );
    }
  }
}

function digest() {
  return createHash('sha256').update(readFileSync(lock)).digest('hex');
}
