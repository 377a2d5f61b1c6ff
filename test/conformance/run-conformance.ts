import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { node22 } from '../support/node22.ts';

/** The revision whose requirements are judged, and at whose wire version scenarios run unless said otherwise. */
const REVISION = '2025-11-25';

/** One check of a scenario, as the suite writes it to `checks.json`. Only SUCCESS is passing. */
export interface Check {
  readonly id: string;
  readonly status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'INFO' | 'SKIPPED';
  readonly errorMessage?: string;
}

/** Wire versions that the suite has scenarios for, of the era that begins with initialize. */
export type LegacyVersion = '2025-03-26' | '2025-06-18' | '2025-11-25';

/** The checks of each scenario, by the scenario's name, in the order of the run. */
export type ConformanceResults = ReadonlyMap<string, readonly Check[]>;

/** What to judge. */
export interface RunConformance {
  /** The MCP endpoint, on loopback: the suite's Host and Origin checks ask for that. */
  readonly url: string;
  /** Scenarios by name, each in a process of its own and all at once; absent, the revision's whole set in one process. */
  readonly scenarios?: readonly string[];
  /** Instead, everything the suite has (`--suite all`): for this wire version, or for each scenario's own with `any`. */
  readonly all?: LegacyVersion | 'any';
  /** Limit for the whole call, in milliseconds; the suite is killed beyond it. */
  readonly timeoutMs: number;
}

const CLI = fileURLToPath(import.meta.resolve('@modelcontextprotocol/conformance/dist/index.js'));

/**
 * Runs the official conformance suite against a URL, on Node 22, and returns what every check said.
 * Failing checks are results; it throws only when the suite itself could not run, or not in time.
 */
export async function runConformance({
  url,
  scenarios,
  all,
  timeoutMs,
}: RunConformance): Promise<ConformanceResults> {
  const node = await node22();
  const signal = AbortSignal.timeout(timeoutMs);
  const output = await mkdtemp(join(tmpdir(), 'conformance-'));
  const selections = scenarios?.map((name) => ['--scenario', name, '--spec-version', REVISION]) ?? [
    all === undefined ? ['--requirements', REVISION] : suiteOf(all),
  ];
  try {
    const run = (selection: string[]) =>
      runSuite(
        node,
        ['server', '--url', url, ...selection, '--output-dir', output, '--timeout', '20000'],
        signal,
      );
    const logs = await Promise.all(selections.map(run));
    const results = await readResults(output);
    const missing = scenarios?.filter((name) => !results.has(name)) ?? [];
    if (results.size === 0 || missing.length > 0)
      throw new Error(
        `The conformance suite left no result of ${missing.join(', ') || 'any scenario'}:\n${logs.join('\n')}`,
      );
    return results;
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}

/**
 * Runs one scenario that judges a client: the suite starts the command with the URL of its own server, and
 * returns what every check said. Throws as `runConformance` does.
 */
export async function runClientConformance({
  command,
  scenario,
  revised = false,
  timeoutMs,
}: {
  readonly command: string;
  readonly scenario: string;
  /** At the wire version of our revision, also where the scenario is of a later one. */
  readonly revised?: boolean;
  /** Limit for the whole call, in milliseconds; the suite is killed beyond it. */
  readonly timeoutMs: number;
}): Promise<readonly Check[]> {
  const node = await node22();
  const output = await mkdtemp(join(tmpdir(), 'conformance-'));
  try {
    const args = ['client', '--command', command, '--scenario', scenario, '--output-dir', output];
    const version = revised ? ['--spec-version', REVISION, '--force'] : [];
    const log = await runSuite(node, [...args, ...version], AbortSignal.timeout(timeoutMs));
    const folder = join(output, dirname(scenario));
    const entries = await readdir(folder).catch(() => []);
    const [entry] = entries.filter((name) => name.startsWith(`${basename(scenario)}-`));
    if (entry === undefined) throw new Error(`The conformance suite left no result of ${scenario}:\n${log}`);
    return JSON.parse(await readFile(join(folder, entry, 'checks.json'), 'utf8')) as Check[];
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}

/** Every scenario that the suite has to judge a client. */
export async function clientScenarios(): Promise<readonly string[]> {
  const text = await runSuite(await node22(), ['list', '--client'], AbortSignal.timeout(30_000));
  return [...text.matchAll(/^ {2}- (\S+)/gm)].map(([, name = '']) => name);
}

/** The scenarios with a check that failed or warned, sorted. */
export function failing(results: ConformanceResults): string[] {
  return [...results]
    .filter(([, checks]) => checks.some(({ status }) => status === 'FAILURE' || status === 'WARNING'))
    .map(([scenario]) => scenario)
    .sort();
}

/** The passing checks, as `scenario/check`, sorted. */
export function passing(results: ConformanceResults): string[] {
  return [...results]
    .flatMap(([scenario, checks]) =>
      checks.filter(({ status }) => status === 'SUCCESS').map(({ id }) => `${scenario}/${id}`),
    )
    .sort();
}

/** One line for each check that failed or warned, and for each that passes in `baseline` but not in `results`. */
export function shortfalls(results: ConformanceResults, baseline: ConformanceResults = new Map()): string[] {
  const passed = new Set(passing(results));
  const lost = passing(baseline).filter((check) => !passed.has(check));
  const bad = [...results].flatMap(([scenario, checks]) =>
    checks
      .filter(({ status }) => status === 'FAILURE' || status === 'WARNING')
      .map(({ id, status, errorMessage }) => `${scenario}/${id}: ${status} ${errorMessage ?? ''}`),
  );
  return [...bad, ...lost.map((check) => `${check}: passes directly, not here`)];
}

function suiteOf(version: LegacyVersion | 'any'): string[] {
  return ['--suite', 'all', ...(version === 'any' ? [] : ['--spec-version', version])];
}

async function runSuite(node: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  const child = spawn(node, [CLI, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = () => child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(String(chunk)));
  try {
    await once(child, 'close');
  } finally {
    signal.removeEventListener('abort', kill);
  }
  const log = output.join('').slice(-4000);
  if (signal.aborted) throw new Error(`The conformance suite did not end in time:\n${log}`);
  return log;
}

/** The suite writes `server-<scenario>-<timestamp>/checks.json` for each scenario it finished. */
async function readResults(folder: string): Promise<Map<string, readonly Check[]>> {
  const results = new Map<string, readonly Check[]>();
  for (const entry of await readdir(folder)) {
    const scenario = /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(entry)?.[1];
    if (scenario === undefined) continue;
    const checks = await readFile(join(folder, entry, 'checks.json'), 'utf8').catch(() => undefined);
    if (checks !== undefined) results.set(scenario, JSON.parse(checks) as Check[]);
  }
  return results;
}
