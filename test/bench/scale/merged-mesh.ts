import { type Mesh, type MeshOptions, startMesh } from '../../support/mesh.ts';
import { type ReadyProcess, readUrlLine, spawnReady } from '../../support/spawn-ready.ts';
import { compilePrograms } from '../programs.ts';
import type { Opened } from './opened.ts';

/** Sessions are opened by the thousand, as fast as they come. */
export const ROOMY = {
  initializePerMinute: 10_000_000,
  initializeBurst: 1_000_000,
  sessionsPerPrincipal: 100_000,
  anonymousPerSidecar: 100_000,
};

interface Merged extends Omit<MeshOptions, 'config'> {
  readonly backends: number;
  readonly toolsPerBackend: number;
  /** More than any curve opens, unless what they are limited to is of the matter. */
  readonly handshakesPerSecond?: number;
}

/** A mesh before one program that stands for many backends: `b0`, `b1` and so on, each name before its tools. */
export async function startMerged(
  opened: Opened,
  { backends, toolsPerBackend, handshakesPerSecond = 10_000, ...options }: Merged,
): Promise<{
  readonly mesh: Mesh;
  readonly backend: ReadyProcess<string>;
  readonly tools: readonly string[];
}> {
  const { backend: program } = await compilePrograms();
  const backend = opened.use(
    await spawnReady({ args: [program, String(toolsPerBackend)], ready: readUrlLine }),
  );
  const server = { type: 'http', url: backend.ready, handshakes: { perSecond: handshakesPerSecond } };
  const names = Array.from({ length: backends }, (_, n) => `b${n}`);
  const config = {
    mcpServers: Object.fromEntries(names.map((name) => [name, server])),
    virtualServers: { default: { naming: { mode: 'prefix' } } },
    limits: ROOMY,
  };
  const mesh = opened.use(await startMesh({ anonymous: true, ...options, config }));
  return { mesh, backend, tools: names.map((name) => `${name}__echo`) };
}
