import { fileURLToPath } from 'node:url';
import { type ReadyProcess, readUrlLine, spawnReady } from '../spawn-ready.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));

/** Starts the reference backend as a process of its own, on an ephemeral port; `ready` is its URL. */
export function spawnReferenceBackend(): Promise<ReadyProcess<string>> {
  return spawnReady({
    args: ['--import', 'tsx', MAIN, '--port', '0'],
    ready: readUrlLine,
  });
}
