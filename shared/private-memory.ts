import { writeFileSync } from 'node:fs';
import { url as inspectorUrl } from 'node:inspector';
import { EXIT_USAGE, ExitError } from './lifecycle.ts';

/**
 * What a program of ours holds in memory, the tokens of its callers among it, is for
 * it alone: a core dump, also of what it starts, has no memory in it (Linux, core(5)).
 * In production nobody looks in by Node's inspector either. Throws `ExitError` where
 * somebody already does.
 */
export function keepMemoryPrivate({ production }: { readonly production: boolean }): void {
  try {
    writeFileSync('/proc/self/coredump_filter', '0');
  } catch {
    // Another system, or one that does not let us: there is nothing else to be done from here.
  }
  if (!production) return;
  if (inspectorUrl() !== undefined)
    throw new ExitError('refusing to run under --inspect: it shows every token in memory', EXIT_USAGE);
  // Node opens its inspector on this signal unless somebody listens for it.
  process.on('SIGUSR1', () => {});
}
