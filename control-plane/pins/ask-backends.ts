import type { Environment } from '../../shared/config/variables.ts';
import { EXIT_USAGE, ExitError, type Program } from '../../shared/lifecycle.ts';
import type { Logger } from '../../shared/log.ts';
import { callerOf, probeBackends } from '../probe-backends.ts';
import type { BackendSettings, Settings } from '../settings.ts';
import type { PinsOptions } from './command-line.ts';
import type { Compared } from './comparison.ts';
import { shownDefinitions } from './shown-definitions.ts';

export interface PinsEnvironment {
  readonly program: Program;
  readonly log: Logger;
  readonly env: Environment;
  readonly cwd: string;
}

/** What a backend shows, or why it cannot be asked. */
export type Answer = Compared | { readonly backend: string; readonly problem: string };

/** All at once, under the caller's credentials or under those that are nobody's own. Throws `ExitError`. */
export async function askBackends(
  settings: Settings,
  { backends, tokenFile }: PinsOptions,
  { program, log, cwd }: PinsEnvironment,
): Promise<Answer[]> {
  const wanted = wantedBackends(settings, backends);
  const caller = tokenFile === undefined ? undefined : await callerOf(settings, { tokenFile, log, cwd });
  const results = await probeBackends({
    ...{ settings, backends: wanted, caller, program, log },
    client: 'outrigger pins',
    ask: shownDefinitions,
  });
  return results.map((result): Answer => {
    const { backend } = result;
    if (result.kind === 'answer') return { backend, shown: result.answer };
    if (result.kind === 'problem') return { backend, problem: result.problem };
    const whose = `its credential (${result.strategy}) is each caller's own; --token-file says whose`;
    return { backend, problem: whose };
  });
}

function wantedBackends(
  { backends }: Settings,
  names: readonly string[] | undefined,
): readonly BackendSettings[] {
  const known = backends.map(({ name }) => name);
  const unknown = names?.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new ExitError(`--backend ${unknown}: no such server; known here: ${known.join(', ')}`, EXIT_USAGE);
  return names === undefined ? backends : backends.filter(({ name }) => names.includes(name));
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
}
