import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PROBE = new URL('heap-probe.mjs', import.meta.url).href;

/** Looks into the memory of programs that a test starts, from outside. */
export interface HeapProbe extends AsyncDisposable {
  /** To be in the environment of these programs. */
  readonly env: Readonly<Record<string, string>>;
  /** Bytes that a program holds in its heap and in buffers beside it, once what it can let go is let go. */
  held(program: { readonly pid: number }): Promise<number>;
}

/** What is let go after a while (timers, connections at rest) is waited for. */
const SETTLED_BYTES = 100 * 1024;
const SETTLE_MS = 500;
const LOOKS = 20;

export async function heapProbe(): Promise<HeapProbe> {
  const folder = await mkdtemp(join(tmpdir(), 'outrigger-heap-'));
  const look = async (pid: number) => {
    const port = await readFile(join(folder, String(pid)), 'utf8');
    const response = await fetch(`http://127.0.0.1:${port}/`);
    const { heapUsed, external } = (await response.json()) as NodeJS.MemoryUsage;
    return heapUsed + external;
  };
  return {
    env: { NODE_OPTIONS: `--expose-gc --import=${PROBE}`, OUTRIGGER_TEST_HEAP: folder },
    async held({ pid }) {
      let least = await look(pid);
      for (let n = 0; n < LOOKS; n += 1) {
        await sleep(SETTLE_MS);
        const now = await look(pid);
        if (now > least - SETTLED_BYTES) return Math.min(now, least);
        least = now;
      }
      return least;
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
