import { mkdirSync } from 'node:fs';
import { ExitError, type Program } from '../../shared/lifecycle.ts';
import { createLogger, type Logger } from '../../shared/log.ts';
import { type LoadedConfig, loadConfig } from '../config.ts';
import { Child, type ChildSpec } from './child.ts';
import { firstScreen } from './first-screen.ts';
import { planUp, stateFolders, type UpOptions, type UpSurroundings } from './plan.ts';
import { checkFree, showAddress } from './ports.ts';

/** How long everything together may take to become ready. */
const READY_WITHIN_MS = 60_000;

/**
 * Brings up a whole mesh on this machine and keeps it up: helper processes,
 * replicas, then the sidecar, each its own operating-system process, started
 * again when it dies. Resolves when all of it is ready. The end goes the other
 * way around: the sidecar drains while replicas are still there to answer.
 */
export async function up(options: UpOptions, around: UpSurroundings, program: Program): Promise<void> {
  const { config: file, replicas: _replicas, portBase: _portBase, ...given } = options;
  const overrides = { ...given, sharedState: true };
  const loaded = forPeople(loadConfig({ file, env: around.env, cwd: around.cwd, overrides }));
  const plan = await planUp(options, loaded, around);
  const { settings } = loaded;
  const text = settings.log.format === 'text';
  const log = createLogger({ ...settings.log, fields: { program: 'up' } });
  const specs = [...plan.helpers, ...plan.replicas.map(({ spec }) => spec), plan.sidecar.spec];
  program.configure({ log, graceMs: longest(plan.helpers) + longest(specs) * 2 + 5_000 });
  await checkFree(plan.claims);
  for (const folder of [settings.stateFolder, ...stateFolders(loaded)]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  let children: readonly Child[] = [];
  program.onReload(() => {
    log.info('the replicas and the sidecar look at their configuration again', { event: 'config_reload' });
    // A helper process may have no ear for it, and would end.
    for (const child of children) if (!plan.helpers.includes(child.spec)) child.reload();
  });
  children = await startAll([plan.helpers, plan.replicas.map(({ spec }) => spec), [plan.sidecar.spec]], {
    log,
    program,
    text,
  });
  if (program.stopping.aborted) return;
  if (text) process.stdout.write(firstScreen({ plan, settings, children, cwd: around.cwd }));
  else log.info('ready', { url: `http://${showAddress(plan.sidecar.address)}/mcp` });
}

/** This command is for people, so its lines are text, also in a pipe, unless JSON is asked for. */
function forPeople(loaded: LoadedConfig): LoadedConfig {
  const { log } = loaded.settings;
  if (log.format !== 'auto') return loaded;
  return { ...loaded, settings: { ...loaded.settings, log: { ...log, format: 'text' } } };
}

interface Starting {
  readonly log: Logger;
  readonly program: Program;
  readonly text: boolean;
}

/** Each group starts together, after the group before it is ready. */
async function startAll(groups: readonly (readonly ChildSpec[])[], options: Starting): Promise<Child[]> {
  const { log, program, text } = options;
  const patience = AbortSignal.any([program.stopping, AbortSignal.timeout(READY_WITHIN_MS)]);
  const width = Math.max(...groups.flat().map(({ name }) => name.length));
  const events = {
    line: (name: string, line: string) => {
      process.stdout.write(text ? `${name.padEnd(width)} | ${line}\n` : `${line}\n`);
    },
  };
  const children: Child[] = [];
  for (const group of groups) {
    const started = group.map((spec) => new Child({ spec, log, events }));
    children.push(...started);
    program.defer('a group of processes', async () => {
      await Promise.all(started.map((child) => child.stop()));
    });
    try {
      await Promise.all(started.map((child) => child.start(patience)));
    } catch (error) {
      if (program.stopping.aborted) return children;
      if (patience.aborted)
        throw new ExitError(`not ready within ${READY_WITHIN_MS / 1_000} s: ${names(group)}`);
      throw new ExitError(error instanceof Error ? error.message : String(error));
    }
  }
  return children;
}

function names(specs: readonly ChildSpec[]): string {
  return specs.map(({ name }) => name).join(', ');
}

function longest(specs: readonly ChildSpec[]): number {
  return Math.max(0, ...specs.map(({ graceMs }) => graceMs));
}
