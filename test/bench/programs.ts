import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const SOURCES = [
  new URL('./backend.ts', import.meta.url),
  new URL('./bare-proxy.ts', import.meta.url),
  new URL('./bare-replica.ts', import.meta.url),
  new URL('./bare-sidecar.ts', import.meta.url),
  new URL('./load-client.ts', import.meta.url),
  new URL('./neighbour.ts', import.meta.url),
  new URL('./peers/mcp-proxy.ts', import.meta.url),
];
const OUT = fileURLToPath(new URL('../../.cache/bench', import.meta.url));

/** The programs of the bench, bundled as the product is, so that no loader weighs on one side alone. */
export interface Programs {
  readonly backend: string;
  readonly bareProxy: string;
  readonly bareReplica: string;
  readonly bareSidecar: string;
  readonly loadClient: string;
  readonly neighbour: string;
  readonly mcpProxy: string;
}

/** Bundles the programs into `.cache/bench` and returns their paths. */
export async function compilePrograms(): Promise<Programs> {
  await build({
    entryPoints: SOURCES.map((source) => fileURLToPath(source)),
    outdir: OUT,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: ['undici', '@grpc/grpc-js', 'mcp-proxy', '@modelcontextprotocol/*'],
    logLevel: 'warning',
  });
  return {
    backend: join(OUT, 'backend.mjs'),
    bareProxy: join(OUT, 'bare-proxy.mjs'),
    bareReplica: join(OUT, 'bare-replica.mjs'),
    bareSidecar: join(OUT, 'bare-sidecar.mjs'),
    loadClient: join(OUT, 'load-client.mjs'),
    neighbour: join(OUT, 'neighbour.mjs'),
    mcpProxy: join(OUT, 'peers', 'mcp-proxy.mjs'),
  };
}
