import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { installPackage, unpackPackages, withFreshLists } from './debian-packages.ts';

const run = promisify(execFile);

const CACHE = join(import.meta.dirname, '..', '..', '.cache', 'chromium');
const ROOT = join(CACHE, 'root');
const FONTS = join(CACHE, 'fonts.conf');
const FONTS_CONFIGURATION = `<fontconfig>
  <dir>${join(ROOT, 'usr/share/fonts')}</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>${join(CACHE, 'fonts')}</cachedir>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
  <match target="pattern">
    <edit name="family" mode="append_last"><string>DejaVu Sans</string></edit>
  </match>
</fontconfig>
`;
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const SENTENCE =
  'These tests need Chromium: install it (Debian: apt-get install chromium), or make apt-get download chromium work.';

export interface ChromiumBinary {
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
}

let found: Promise<ChromiumBinary> | undefined;

/** Chromium: from the PATH, else Debian's package, kept in the cache folder. Rejects with one sentence. */
export function chromiumBinary(): Promise<ChromiumBinary> {
  found ??= find().catch((error: unknown) => {
    found = undefined;
    throw error;
  });
  return found;
}

async function find(): Promise<ChromiumBinary> {
  const known = (await ofPath()) ?? (await ofFolder());
  if (known !== undefined) return known;
  console.log(`Chromium is not on the PATH: fetching it from this system's packages into ${CACHE} (120 MB)`);
  const fetched = (await fetchPackages().catch(() => undefined)) ?? (await install().catch(() => undefined));
  if (fetched === undefined) throw new Error(SENTENCE);
  return fetched;
}

async function ofPath(): Promise<ChromiumBinary | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    for (const name of NAMES) {
      const binary = { path: join(folder, name), env: process.env };
      if (await works(binary)) return binary;
    }
  }
  return undefined;
}

/** What was unpacked: its libraries are where they are, and it is told so; so are the fonts. */
async function ofFolder(): Promise<ChromiumBinary | undefined> {
  if (!existsSync(ROOT)) return undefined;
  // Some packages still have theirs in /lib.
  const folders = await Promise.all(['usr/lib', 'lib'].map((lib) => libraryFolders(join(ROOT, lib))));
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    LD_LIBRARY_PATH: folders.flat().join(delimiter),
    FONTCONFIG_FILE: FONTS,
  };
  await writeFile(FONTS, FONTS_CONFIGURATION);
  const binary = { path: join(ROOT, 'usr/lib/chromium/chromium'), env };
  return (await works(binary)) ? binary : undefined;
}

async function libraryFolders(root: string): Promise<readonly string[]> {
  const files: string[] = await readdir(root, { recursive: true }).catch(() => []);
  const libraries = files.filter((file) => /\.so[.\d]*$/.test(file));
  return [...new Set(libraries.map((file) => dirname(join(root, file))))];
}

async function works({ path, env }: ChromiumBinary): Promise<boolean> {
  try {
    await run(path, ['--version'], { env, timeout: 20_000 });
    return true;
  } catch {
    return false;
  }
}

async function fetchPackages(): Promise<ChromiumBinary | undefined> {
  // What apt would install beside what is there already; a rehearsal needs no root.
  const rehearsal = ['install', '--simulate', '--no-install-recommends', 'chromium', 'fonts-dejavu-core'];
  const { stdout } = await withFreshLists(() => run('apt-get', rehearsal, { timeout: 60_000 }));
  const packages = [...stdout.matchAll(/^Inst (\S+)/gm)].map((match) => match[1] ?? '');
  await unpackPackages(packages, ROOT);
  return ofFolder();
}

async function install(): Promise<ChromiumBinary | undefined> {
  return (await installPackage('chromium')) ? ofPath() : undefined;
}
