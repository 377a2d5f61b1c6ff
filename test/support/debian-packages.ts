import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** Debian's packages, for what tests need from the system. Two processes must not fetch at once: apt lets only one of them. */

const run = promisify(execFile);

/** Does it again, once the lists of packages are fresh: a new machine knows no packages, or too old ones. */
export async function withFreshLists<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch {
    await run('apt-get', ['update'], { timeout: 120_000 });
    return await attempt();
  }
}

/** Downloads packages and unpacks them into a folder. Needs no root, and installs nothing. */
export async function unpackPackages(packages: readonly string[], folder: string): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const work = await mkdtemp(`${folder}-`);
  try {
    await withFreshLists(() => run('apt-get', ['download', ...packages], { cwd: work, timeout: 300_000 }));
    const unpacked = join(work, 'root');
    for (const file of await readdir(work)) {
      if (file.endsWith('.deb'))
        await run('dpkg-deb', ['-x', join(work, file), unpacked], { timeout: 120_000 });
    }
    // Another test run may have been faster: then its folder is as good.
    await rename(unpacked, folder).catch(() => {});
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Installs a package, where that is allowed; returns whether it did. */
export async function installPackage(name: string): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  console.log(`unpacking it did not work: installing the package ${name}`);
  const install = ['install', '-y', '--no-install-recommends', name];
  await withFreshLists(() => run('apt-get', install, { timeout: 300_000 }));
  return true;
}
