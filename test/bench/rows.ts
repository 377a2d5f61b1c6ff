import { type Mesh, startMesh } from '../support/mesh.ts';
import { readUrlLine, spawnReady } from '../support/spawn-ready.ts';
import type { Programs } from './programs.ts';
import { BARE_PROXY, DIRECT, OUTRIGGER, OUTRIGGER_TWO, SIDECAR } from './row-names.ts';

/** A way from the client to the backend that is measured. */
export interface Row {
  readonly name: string;
  start(to: { backendUrl: string; programs: Programs }): Promise<RunningRow>;
}

/** A row that stands: where the client connects, and which processes it consists of. */
export interface RunningRow extends AsyncDisposable {
  readonly url: string;
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
}

/** All rows of a whole run. */
export const ROWS: readonly Row[] = [
  {
    name: DIRECT,
    start: async ({ backendUrl }) => ({
      url: backendUrl,
      processes: [],
      [Symbol.asyncDispose]: async () => {},
    }),
  },
  {
    name: BARE_PROXY,
    async start({ backendUrl, programs }) {
      const proxy = await spawnReady({ args: [programs.bareProxy, backendUrl], ready: readUrlLine });
      return {
        url: proxy.ready,
        processes: [{ name: 'proxy', pid: proxy.pid }],
        [Symbol.asyncDispose]: () => proxy.stop(),
      };
    },
  },
  outrigger(OUTRIGGER, 1),
  outrigger(OUTRIGGER_TWO, 2),
];

function outrigger(name: string, replicas: number): Row {
  return {
    name,
    async start({ backendUrl }) {
      const mesh = await startMesh({
        replicas,
        store: 'embedded',
        config: { mcpServers: { bench: { type: 'http', url: backendUrl } } },
        anonymous: true,
      });
      return {
        url: mesh.url,
        processes: processesOf(mesh),
        [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose](),
      };
    },
  };
}

function processesOf(mesh: Mesh): RunningRow['processes'] {
  return [
    { name: SIDECAR, pid: mesh.sidecar.pid },
    ...mesh.replicas.map(({ pid }, index) => ({ name: `replica ${index}`, pid })),
  ];
}
