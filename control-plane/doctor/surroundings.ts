import type { Environment } from '../../shared/config/variables.ts';
import type { Check, Finding } from '../../shared/findings.ts';
import { ExitError, type Program } from '../../shared/lifecycle.ts';
import type { Logger } from '../../shared/log.ts';
import { redact } from '../../shared/redact.ts';

/** What checks are given. */
export interface Surroundings {
  readonly program: Program;
  readonly log: Logger;
  readonly env: Environment;
  readonly cwd: string;
  /** The entry point that looks at a sidecar's configuration. */
  readonly sidecarDoctor: string;
}

export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

/** Longer than any bound that a single question has by default. */
const LONGEST_MS = 20_000;

/** What a check found, within a bound; a check that breaks is a finding itself. Rejects with `ExitError` for what the command line says wrong. */
export async function within(
  { check, of }: { readonly check: Check; readonly of: string },
  work: Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${LONGEST_MS / 1_000} s`)), LONGEST_MS);
  });
  try {
    return await Promise.race([work, bound]);
  } catch (error) {
    if (error instanceof ExitError) throw error;
    const detail = redact(error instanceof Error ? error.message : String(error));
    return [{ check, of, status: 'failed', detail, remedy: 'look at what answers there, and try again' }];
  } finally {
    clearTimeout(timer);
  }
}
