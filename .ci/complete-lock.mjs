/**
 * npm ci refuses a lock file that does not name the optional packages of every
 * platform, and npm install leaves out those that its registry does not have (a
 * mirror for one platform, say). This adds them, by name and version, so that the
 * lock file installs everywhere. `--check` changes nothing and exits 1 when some
 * are missing.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SYSTEMS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
];
const PROCESSORS = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64'];

const file = join(import.meta.dirname, '..', 'package-lock.json');
const lock = JSON.parse(readFileSync(file, 'utf8'));
const missing = Object.entries(lock.packages).flatMap(([path, { dev, optionalDependencies = {} }]) =>
  Object.entries(optionalDependencies)
    .filter(
      ([name]) => !lock.packages[`${path}/node_modules/${name}`] && !lock.packages[`node_modules/${name}`],
    )
    .map(([name, version]) => [`node_modules/${name}`, entry({ name, version, dev })]),
);

if (missing.length > 0) {
  if (process.argv.includes('--check')) {
    console.error(
      `package-lock.json lacks ${missing.length} packages of other platforms: run node .ci/complete-lock.mjs`,
    );
    process.exitCode = 1;
  } else {
    const all = [...Object.entries(lock.packages), ...missing];
    lock.packages = Object.fromEntries(all.sort(([one], [other]) => one.localeCompare(other, 'en')));
    writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  }
}

/** Such packages are named for the platform that they are for: `@biomejs/cli-linux-x64-musl`. */
function entry({ name, version, dev }) {
  const words = name.split('/').at(-1).split('-');
  const os = words.filter((word) => SYSTEMS.includes(word));
  const cpu = words.filter((word) => PROCESSORS.includes(word));
  if (os.length !== 1 || cpu.length !== 1 || !/^\d/.test(version))
    throw new Error(`what is ${name}@${version} for?`);
  const libc = words.some((word) => word.startsWith('musl'))
    ? 'musl'
    : words.some((word) => word.startsWith('gnu'))
      ? 'glibc'
      : undefined;
  return { version, cpu, ...(dev && { dev }), ...(libc && { libc: [libc] }), optional: true, os };
}
