/**
 * Breaks the listed behaviours one at a time, in a copy of the tree, and runs
 * the tests that guard each. Exits 1 when a mutant survives, when its text is
 * not found exactly once, when the tests fail unbroken, or when no verdict came.
 */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MUTANTS, type Mutant } from './mutants.ts';
import { ROOT } from './source-files.ts';

const COPIED = [
  'shared',
  'sidecar',
  'control-plane',
  'proto',
  'test',
  'docker',
  'package.json',
  'tsconfig.json',
  '.mocharc.json',
];
const LINKED = ['node_modules', '.cache'];
const RUN_LIMIT_MS = 60_000;
/** Trees to break side by side. */
const WORKERS = 2;
/** Seeded tests play the same schedules every time. */
const SEED = '1';

type Killers = Pick<Mutant, 'tests' | 'only'>;

interface Verdict {
  readonly passed: number;
  readonly failed: readonly string[];
}

async function main(): Promise<number> {
  const trees = Array.from({ length: WORKERS }, copyTree);
  try {
    const unready = (await shared(trees, unbroken(), passes)).filter((why) => why !== undefined);
    if (unready.length > 0) return fail(`the tests do not pass unbroken: ${unready.join('; ')}`);
    const survivors = (await shared(trees, MUTANTS, judge)).filter((noticed) => !noticed).length;
    return survivors === 0 ? 0 : fail(`${survivors} of ${MUTANTS.length} broken behaviours went unnoticed`);
  } finally {
    for (const tree of trees) rmSync(tree, { recursive: true, force: true });
  }
}

/** Does all of the work, one piece at a time in each tree. */
async function shared<Work, Result>(
  trees: readonly string[],
  work: readonly Work[],
  run: (tree: string, piece: Work) => Promise<Result>,
): Promise<Result[]> {
  const queue = [...work];
  const results = trees.map(async (tree) => {
    const done: Result[] = [];
    for (let piece = queue.shift(); piece !== undefined; piece = queue.shift())
      done.push(await run(tree, piece));
    return done;
  });
  return (await Promise.all(results)).flat();
}

/** Every killer once: those that run whole together, the others as they are narrowed. */
function unbroken(): Killers[] {
  const whole = MUTANTS.filter(({ only }) => only === undefined).flatMap(({ tests }) => tests);
  const narrowed = new Map<string, Killers>();
  for (const mutant of MUTANTS)
    if (mutant.only !== undefined) narrowed.set(`${mutant.tests} ${mutant.only}`, mutant);
  return [...narrowed.values(), { tests: [...new Set(whole)] }];
}

async function passes(tree: string, killers: Killers): Promise<string | undefined> {
  const verdict = await runTests(tree, killers);
  if (verdict === undefined) return `${killers.tests}: no verdict`;
  return verdict.passed === 0 ? `${killers.tests}: no test` : verdict.failed[0];
}

/** Resolves to whether the tests noticed. */
async function judge(tree: string, mutant: Mutant): Promise<boolean> {
  const path = join(tree, mutant.file);
  const original = readFileSync(path, 'utf8');
  const found = original.split(mutant.find).length - 1;
  if (found !== 1) return say(mutant, false, `its text is found ${found} times in ${mutant.file}`);
  const broken = original.replace(mutant.find, () => mutant.replace);
  writeFileSync(path, broken);
  try {
    const verdict = await runTests(tree, mutant);
    if (verdict === undefined) return say(mutant, false, 'the run gave no verdict');
    const [first] = verdict.failed;
    return first === undefined
      ? say(mutant, false, `${verdict.passed} tests passed`)
      : say(mutant, true, first);
  } finally {
    writeFileSync(path, original);
  }
}

/** `undefined` when the tests could not be loaded or did not end: such a mutant proves nothing. */
async function runTests(tree: string, { tests, only }: Killers): Promise<Verdict | undefined> {
  const report = join(tree, 'mutation-report.json');
  rmSync(report, { force: true });
  const mocha = join(tree, 'node_modules', 'mocha', 'bin', 'mocha.js');
  const flags = ['--bail', '--exit', ...(only === undefined ? [] : ['--fgrep', only])];
  const child = spawn(
    process.execPath,
    [mocha, ...flags, '--reporter=json', `--reporter-option=output=${report}`, ...tests],
    {
      cwd: tree,
      env: { ...process.env, OUTRIGGER_SEED: SEED },
      stdio: 'ignore',
      timeout: RUN_LIMIT_MS,
      killSignal: 'SIGKILL',
    },
  );
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => resolve());
  });
  if (!existsSync(report)) return undefined;
  const { stats, failures } = JSON.parse(readFileSync(report, 'utf8')) as {
    stats: { passes: number };
    failures: { fullTitle: string }[];
  };
  return { passed: stats.passes, failed: failures.map(({ fullTitle }) => fullTitle) };
}

function copyTree(): string {
  const tree = mkdtempSync(join(tmpdir(), 'outrigger-mutants-'));
  for (const name of COPIED) {
    if (existsSync(join(ROOT, name))) cpSync(join(ROOT, name), join(tree, name), { recursive: true });
  }
  for (const name of LINKED) {
    if (existsSync(join(ROOT, name))) symlinkSync(join(ROOT, name), join(tree, name));
  }
  return tree;
}

function say({ behaviour }: Mutant, noticed: boolean, detail: string): boolean {
  process.stdout.write(`${noticed ? 'noticed ' : 'SURVIVED'}  ${behaviour} (${detail})\n`);
  return noticed;
}

function fail(why: string): number {
  process.stderr.write(`mutate: ${why}\n`);
  return 1;
}

process.exitCode = await main();
