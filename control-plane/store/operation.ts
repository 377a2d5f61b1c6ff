import { MeshError } from '../../shared/errors.ts';
import type { StoreHooks } from './hooks.ts';

/** What a store's operations have in common: they are timed, they end, and a store that cannot be asked says so. */

/** What a caller is told to wait before it tries again. */
const RETRY_AFTER_MS = 1000;

/** The answer to a caller: 503 and a time to come back, never "gone". `why` is for the log alone. */
export function unavailable(why: unknown): MeshError {
  return new MeshError('store_unavailable', 'The session store cannot be asked at this moment.', {
    cause: typeof why === 'string' ? new Error(why) : why,
    retryAfterMs: RETRY_AFTER_MS,
  });
}

export async function timed<T>(
  { hooks, operation }: { readonly hooks: StoreHooks; readonly operation: string },
  run: () => Promise<T>,
): Promise<T> {
  const started = performance.now();
  let failed = true;
  try {
    const result = await run();
    failed = false;
    return result;
  } finally {
    hooks.onLatency?.(operation, performance.now() - started, failed);
  }
}

/** Rejects with an error that says `late` when the work takes longer. The work itself goes on. */
export function within<T>(
  { ms, late }: { readonly ms: number; readonly late: string },
  work: Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(late)), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
