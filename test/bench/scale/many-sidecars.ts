import { fileURLToPath } from 'node:url';
import { freePorts } from '../../support/ports.ts';
import { spawnReady } from '../../support/spawn-ready.ts';
import type { Opened } from './opened.ts';

const PER_PROCESS = 50;
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
    urls.push(...ports.filter((_, index) => index % 2 === 0).map((port) => `http://127.0.0.1:${port}/mcp`));
  }
  return urls;
}
