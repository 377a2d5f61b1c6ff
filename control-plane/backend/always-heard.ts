import { once } from 'node:events';
import type { ListenOptions } from './backend.ts';

/** Listening where there is nothing to open, because all that the backend says is heard anyway: it only waits. */
export async function alwaysHeard(
  { signal, onState }: ListenOptions,
  sessionOver: AbortSignal,
): Promise<'closed'> {
  const over = AbortSignal.any([signal, sessionOver]);
  if (over.aborted) return 'closed';
  onState(true);
  await once(over, 'abort');
  onState(false);
  return 'closed';
}
