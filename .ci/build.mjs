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
  // No program, but what a program loads that writes traces.
  'tracing.js': 'shared/telemetry/otlp-tracer.ts',
  'doctor.js': 'control-plane/doctor/main.ts',
  'sidecar-doctor.js': 'sidecar/doctor/main.ts',
};
/** The page of the dashboard, beside the programs: its script is bundled, the rest is as it is. */
const PAGE = 'control-plane/dashboard/page';
const PAGE_FILES = ['dashboard.html', 'dashboard.css', 'dashboard.svg'];
const SOURCES = ['control-plane', 'shared', 'sidecar', '.ci', 'package-lock.json'];

/** What CommonJS packages expect to find around them. */
const BANNER = [
  "import { createRequire as outriggerRequire } from 'node:module';",
  'const require = outriggerRequire(import.meta.url);',
  'const __filename = import.meta.filename;',
  'const __dirname = import.meta.dirname;',
].join('\n');

/** Without traces a program does not even read what writes them. */
const TRACING_APART = {
  name: 'tracing-apart',
  setup(bundling) {
    bundling.onResolve({ filter: /\/otlp-tracer\.ts$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './tracing.js', external: true } : undefined,
    );
  },
};

/** Resolves to whether anything was built. Rejects when a program cannot be. */
export async function build() {
  if (isFresh()) return false;
  const scratch = `${dist}.${process.pid}`;
  mkdirSync(scratch, { recursive: true });
  try {
    const failed = await bundleAll(scratch).catch((error) => error);
    mkdirSync(dist, { recursive: true });
    for (const file of readdirSync(scratch)) renameSync(join(scratch, file), join(dist, file));
    if (failed !== undefined) throw failed;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return true;
}

/** Every program into this folder, with esbuild's plugins if any. Rejects, when the others are there, with those that cannot be. */
export async function bundleAll(folder, plugins = []) {
  const { build: bundle } = await import('esbuild');
  const results = await Promise.allSettled([
    ...Object.entries(PROGRAMS).map(([output, source]) =>
      bundle({ ...settings(source, join(folder, output)), plugins: [TRACING_APART, ...plugins] }),
    ),
    bundle(pageSettings(join(folder, 'dashboard.js'))),
  ]);
  for (const file of PAGE_FILES) copyFileSync(join(root, PAGE, file), join(folder, file));
  copyFileSync(join(root, '.ci/launcher.mjs'), join(folder, 'outrigger.js'));
  chmodSync(join(folder, 'outrigger.js'), 0o755);
  const failed = results.filter(({ status }) => status === 'rejected');
  if (failed.length > 0)
    throw new AggregateError(
      failed.map(({ reason }) => reason),
      'the build failed',
    );
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

/** For browsers, which get nothing of Node and no map of the sources. */
function pageSettings(outfile) {
  return {
    ...settings(`${PAGE}/main.ts`, outfile),
    platform: 'browser',
    target: 'es2022',
    banner: {},
    external: [],
    sourcemap: false,
    charset: 'utf8',
  };
}

function isFresh() {
  const outputs = [...Object.keys(PROGRAMS), 'outrigger.js', 'dashboard.js', ...PAGE_FILES].map((name) =>
    join(dist, name),
  );
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
