import type { Load } from './loads.ts';
import type { Endpoint } from './mcp-session.ts';
import { type LoadResult, runLoad } from './run-load.ts';

/** What the bench sends to this program, over the channel of `fork`. */
export type ToClient =
  | {
      readonly kind: 'run';
      readonly endpoint: Endpoint;
      readonly load: Load;
      readonly warmUpSeconds: number;
      readonly seconds: number;
    }
  | { readonly kind: 'go' };

/** What it answers: `warm` once for each run, then the result or the error; `ready` once at its start. */
export type FromClient =
  | { readonly kind: 'ready' }
  | { readonly kind: 'warm' }
  | { readonly kind: 'result'; readonly result: LoadResult }
  | { readonly kind: 'error'; readonly message: string };

let go = () => {};

process.on('message', (message: ToClient) => {
  if (message.kind === 'go') {
    go();
    return;
  }
  runLoad({ ...message, onWarm }).then(
    (result) => answer({ kind: 'result', result }),
    (error: unknown) => answer({ kind: 'error', message: String(error) }),
  );
});
process.once('disconnect', () => process.exit());
answer({ kind: 'ready' });

/** The bench reads the processes' counters here, while nothing moves. */
function onWarm(): Promise<void> {
  return new Promise((resolve) => {
    go = resolve;
    answer({ kind: 'warm' });
  });
}

function answer(message: FromClient): void {
  process.send?.(message);
}
