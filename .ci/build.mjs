/**
 * Bundles the programs into dist: small, quick to start, and needing nothing of
 * the sources. Does nothing when dist is newer than all that it is made of.
 * Files appear whole, by renaming, so a build beside running programs is safe.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

/** Output → source. */
const PROGRAMS = {
  'cli.js': 'control-plane/cli/main.ts',
  'guard.js': 'control-plane/cli/guard/main.ts',
  'control-plane.js': 'control-plane/main.ts',
  'sidecar.js': 'sidecar/main.ts',
  'connect.js': 'sidecar/connect/main.ts',
  'webhook.js': 'control-plane/injector/main.ts',
  'pins.js': 'control-plane/pins/main.ts',
};
const SOURCES = ['control-plane', 'shared', 'sidecar', '.ci', 'package-lock.json'];

/** What CommonJS packages expect to find around them. */
const BANNER = [
  "import { createRequire as outriggerRequire } from 'node:module';",
  'const require = outriggerRequire(import.meta.url);',
  'const __filename = import.meta.filename;',
  'const __dirname = import.meta.dirname;',
].join('\n');

/** Resolves to whether anything was built. Rejects when a program cannot be. */
export async function build() {
  if (isFresh()) return false;
  const { build: bundle } = await import('esbuild');
  const scratch = `${dist}.${process.pid}`;
  mkdirSync(scratch, { recursive: true });
  try {
    const results = await Promise.allSettled(
      Object.entries(PROGRAMS).map(([output, source]) => bundle(settings(source, join(scratch, output)))),
    );
    copyFileSync(join(root, '.ci/launcher.mjs'), join(scratch, 'outrigger.js'));
    chmodSync(join(scratch, 'outrigger.js'), 0o755);
    mkdirSync(dist, { recursive: true });
    for (const file of readdirSync(scratch)) renameSync(join(scratch, file), join(dist, file));
    const failed = results.filter(({ status }) => status === 'rejected');
    if (failed.length > 0)
      throw new AggregateError(
        failed.map(({ reason }) => reason),
        'the build failed',
      );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return true;
}

function settings(source, outfile) {
  return {
    absWorkingDir: root,
    entryPoints: [source],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    banner: { js: BANNER },
    // Their native parts, and files beside their code, are found from their own folders.
    external: ['lmdb', '@cedar-policy/cedar-wasm', '@grpc/reflection'],
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    sourcemap: 'linked',
    sourcesContent: false,
    logLevel: 'error',
  };
}

function isFresh() {
  const outputs = [...Object.keys(PROGRAMS), 'outrigger.js'].map((name) => join(dist, name));
  if (!outputs.every((file) => existsSync(file))) return false;
  const built = Math.min(...outputs.map((file) => statSync(file).mtimeMs));
  return SOURCES.every((source) => newest(join(root, source)) < built);
}

function newest(path) {
  const { mtimeMs } = statSync(path);
  if (!statSync(path).isDirectory()) return mtimeMs;
  return Math.max(mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await build();
