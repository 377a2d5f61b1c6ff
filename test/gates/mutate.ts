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
];
const LINKED = ['node_modules', '.cache'];
const RUN_LIMIT_MS = 180_000;

interface Verdict {
  readonly passed: number;
  readonly failed: readonly string[];
}

async function main(): Promise<number> {
  const tree = copyTree();
  try {
    const unbroken = await runTests(tree, [...new Set(MUTANTS.flatMap(({ tests }) => tests))]);
    if (unbroken === undefined || unbroken.failed.length > 0 || unbroken.passed === 0) {
      return fail(`the tests do not pass unbroken: ${unbroken?.failed.join('; ') ?? 'no verdict'}`);
    }
    let survivors = 0;
    for (const mutant of MUTANTS) {
      const outcome = await judge(tree, mutant);
      if (!outcome.noticed) survivors += 1;
      say(`${outcome.noticed ? 'noticed ' : 'SURVIVED'}  ${mutant.behaviour} (${outcome.detail})`);
    }
    return survivors === 0 ? 0 : fail(`${survivors} of ${MUTANTS.length} broken behaviours went unnoticed`);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

async function judge(tree: string, mutant: Mutant): Promise<{ noticed: boolean; detail: string }> {
  const path = join(tree, mutant.file);
  const original = readFileSync(path, 'utf8');
  const found = original.split(mutant.find).length - 1;
  if (found !== 1) return { noticed: false, detail: `its text is found ${found} times in ${mutant.file}` };
  writeFileSync(
    path,
    original.replace(mutant.find, () => mutant.replace),
  );
  try {
    const verdict = await runTests(tree, mutant.tests);
    if (verdict === undefined) return { noticed: false, detail: 'the run gave no verdict' };
    const [first] = verdict.failed;
    return first === undefined
      ? { noticed: false, detail: `${verdict.passed} tests passed` }
      : { noticed: true, detail: first };
  } finally {
    writeFileSync(path, original);
  }
}

/** `undefined` when the tests could not be loaded or did not end: such a mutant proves nothing. */
async function runTests(tree: string, tests: readonly string[]): Promise<Verdict | undefined> {
  const report = join(tree, 'mutation-report.json');
  rmSync(report, { force: true });
  const mocha = join(tree, 'node_modules', 'mocha', 'bin', 'mocha.js');
  const flags = ['--import=tsx', '--timeout=20000', '--bail', '--exit'];
  const child = spawn(
    process.execPath,
    [mocha, ...flags, '--reporter=json', `--reporter-option=output=${report}`, ...tests],
    { cwd: tree, stdio: 'ignore', timeout: RUN_LIMIT_MS, killSignal: 'SIGKILL' },
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

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function fail(why: string): number {
  process.stderr.write(`mutate: ${why}\n`);
  return 1;
}

process.exitCode = await main();
