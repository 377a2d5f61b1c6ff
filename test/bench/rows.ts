import { type Mesh, startMesh } from '../support/mesh.ts';
import { freePorts } from '../support/ports.ts';
import { readUrlLine, spawnReady } from '../support/spawn-ready.ts';
import type { Programs } from './programs.ts';
import {
  BAD_NEIGHBOUR,
  BARE_PROXY,
  DIRECT,
  GOOD_NEIGHBOUR,
  OUTRIGGER,
  OUTRIGGER_TWO,
  SIDECAR,
} from './row-names.ts';

/** A way from the client to the backend that is measured. */
export interface Row {
  readonly name: string;
  /** It has a neighbour: only the loads for that are measured. */
  readonly beside?: true;
  start(to: { backendUrl: string; programs: Programs }): Promise<RunningRow>;
}

/** A row that stands: where the client connects, and which processes it consists of. */
export interface RunningRow extends AsyncDisposable {
  readonly url: string;
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
  /** Works while this row is measured, and rests before and after. */
  readonly neighbour?: { work(): void; rest(): void };
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
  besides('good', GOOD_NEIGHBOUR),
  besides('bad', BAD_NEIGHBOUR),
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

/** One replica with two backends: the one that is measured, and a neighbour under calls of its own. */
function besides(kind: 'good' | 'bad', name: string): Row {
  return {
    name,
    beside: true,
    async start({ backendUrl, programs }) {
      const [port = 0] = await freePorts(1);
      const mesh = await startMesh({
        store: 'embedded',
        config: {
          mcpServers: {
            bench: { type: 'http', url: backendUrl },
            neighbour: {
              type: 'http',
              url: `http://127.0.0.1:${port}/mcp`,
              timeouts: { request: '500ms' },
              breaker: { open: '200ms' },
            },
          },
          virtualServers: { default: { naming: { mode: 'priority', order: ['bench', 'neighbour'] } } },
          limits: { initializeAnswer: '500ms' },
        },
        anonymous: true,
      });
      const args = [programs.neighbour, kind, String(port), mesh.url];
      const neighbour = await spawnReady({ args, ready: readUrlLine });
      const toggle = () => process.kill(neighbour.pid, 'SIGUSR2');
      return {
        url: mesh.url,
        processes: processesOf(mesh),
        neighbour: { work: toggle, rest: toggle },
        async [Symbol.asyncDispose]() {
          await neighbour.stop();
          await mesh[Symbol.asyncDispose]();
        },
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
