import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../../support/ports.ts';
import { spawnReady } from '../../support/spawn-ready.ts';
import type { Opened } from './opened.ts';

const PER_PROCESS = 50;
const READY_WITHIN_MS = 20_000;
const PROGRAM = fileURLToPath(new URL('./herd-sidecars.ts', import.meta.url));

/** Starts so many sidecars of these replicas, some processes full of them, and returns where each is called. */
export async function startSidecars(
  stage: Opened,
  replicas: readonly string[],
  count: number,
): Promise<string[]> {
  const urls: string[] = [];
  for (let first = 0; first < count; first += PER_PROCESS) {
    const here = Math.min(PER_PROCESS, count - first);
    const ports = await freePorts(2 * here);
    const args = ['--import', 'tsx', PROGRAM, replicas.join(','), String(first), String(here)];
    const ready = (line: string) => (line.includes('"started":true') ? true : undefined);
    stage.use(await spawnReady({ args: [...args, ...ports.map(String)], ready, timeoutMs: 60_000 }));
    for (let n = 0; n < ports.length; n += 2) {
      await untilReady(`http://127.0.0.1:${ports[n + 1]}/readyz`);
      urls.push(`http://127.0.0.1:${ports[n]}/mcp`);
    }
  }
  return urls;
}

async function untilReady(url: string): Promise<void> {
  for (const end = performance.now() + READY_WITHIN_MS; ; await sleep(50)) {
    const { ok } = await fetch(url);
    if (ok) return;
    if (performance.now() > end) throw new Error(`${url} is not ready`);
  }
}
