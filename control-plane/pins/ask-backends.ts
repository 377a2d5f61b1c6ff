import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemClock } from '../../shared/clock.ts';
import type { Environment } from '../../shared/config/variables.ts';
import { EXIT_USAGE, ExitError, type Program } from '../../shared/lifecycle.ts';
import type { Logger } from '../../shared/log.ts';
import { redact } from '../../shared/redact.ts';
import { createBoundedFetch } from '../backend/bounded-fetch.ts';
import { BackendRegistry } from '../backend/registry.ts';
import { createStrategy } from '../credentials/create.ts';
import type { Credential } from '../credentials/strategy.ts';
import type { Caller } from '../identity/caller.ts';
import { createVerifier } from '../identity/verifier.ts';
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
  const caller = tokenFile === undefined ? undefined : await callerOf(settings, tokenFile, { log, cwd });
  const registry = new BackendRegistry({
    backends: wanted,
    messageBytes: settings.limits.messageBytes,
    stdioChildren: settings.limits.stdioChildren,
    tokenGraceMs: settings.identity.tokenGraceMs,
    stateFolder: settings.stateFolder,
    log,
  });
  program.defer('backends', () => registry.stop());
  const providers = createBoundedFetch();
  program.defer('credential providers', () => providers.stop());
  const signal = program.stopping;
  return Promise.all(
    wanted.map(async (each): Promise<Answer> => {
      const backend = registry.get(each.name);
      if (backend === undefined) return { backend: each.name, problem: 'it is not configured' };
      try {
        const credential = await credentialFor(each, { caller, fetch: providers.fetch, signal });
        const shown = await shownDefinitions({ backend, credential, timeouts: each.timeouts, signal });
        return { backend: each.name, shown };
      } catch (error) {
        return {
          backend: each.name,
          problem: redact(error instanceof Error ? error.message : String(error)),
        };
      }
    }),
  );
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

/** The caller whose token it is, verified as a live one. */
async function callerOf(
  settings: Settings,
  tokenFile: string,
  { log, cwd }: Pick<PinsEnvironment, 'log' | 'cwd'>,
): Promise<Caller> {
  const token = readToken(tokenFile, cwd);
  try {
    return await createVerifier(settings.identity, { clock: systemClock, log }).verify(`Bearer ${token}`);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ExitError(`--token-file: the token is refused: ${redact(why)}`);
  }
}

function readToken(tokenFile: string, cwd: string): string {
  try {
    return readFileSync(tokenFile === '-' ? 0 : resolve(cwd, tokenFile), 'utf8').trim();
  } catch (error) {
    throw new ExitError(`--token-file: cannot be read (${codeOf(error)})`, EXIT_USAGE);
  }
}

interface CredentialOptions {
  readonly caller: Caller | undefined;
  readonly fetch: Parameters<typeof createStrategy>[1]['fetch'];
  readonly signal: AbortSignal;
}

/** The caller's own, or one that is nobody's. */
async function credentialFor(
  { name, credential }: BackendSettings,
  { caller, fetch, signal }: CredentialOptions,
): Promise<Credential> {
  const strategy = createStrategy(credential, {
    backend: name,
    clock: systemClock,
    fetch,
    onIssue: () => {},
  });
  if (caller !== undefined) return strategy.obtain({ caller, backend: name, signal });
  if (strategy.unattended !== undefined) return strategy.unattended();
  throw new Error(`its credential (${strategy.name}) is each caller's own; --token-file says whose`);
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
}
