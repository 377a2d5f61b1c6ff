import { readUrlLine, spawnReady } from '../support/spawn-ready.ts';
import {
  CALLS_1,
  CALLS_16,
  CALLS_64,
  CALLS_256,
  CHURN_16,
  LARGE_64,
  LISTS_64,
  PROGRESS_64,
  SSE_64,
} from './loads.ts';
import { anonymousMesh, anonymousRedisMesh, besideNeighbour, securedMesh } from './mesh-rows.ts';
import { startMcpHub, startMcpProxy, startNginx } from './peers/rows.ts';
import type { Row, RunningRow } from './row.ts';
import {
  BAD_NEIGHBOUR,
  BARE_PROXY,
  DIRECT,
  GOOD_NEIGHBOUR,
  MCP_HUB,
  MCP_PROXY,
  NGINX,
  OUTRIGGER,
  OUTRIGGER_AUDITED,
  OUTRIGGER_REDIS,
  OUTRIGGER_SECURED,
  OUTRIGGER_TWO,
  SIDECAR,
  TWO_BARE_HOPS,
} from './row-names.ts';

const OF_BARE_HOPS = [CALLS_1, CALLS_16, CALLS_64, CALLS_256, LARGE_64];
const OF_PEERS = [CALLS_1, CALLS_64, LARGE_64, SSE_64, LISTS_64, CHURN_16];
/** A log more or less is seen where calls are smallest. */
const OF_AUDITED = [CALLS_1, CALLS_64];
const OF_VARIANTS = [CALLS_1, CALLS_64, LARGE_64, PROGRESS_64, LISTS_64, CHURN_16];

/** All rows of a whole run. */
export const ROWS: readonly Row[] = [
  {
    name: DIRECT,
    start: async ({ backendUrl }) => ({
      endpoint: { url: backendUrl },
      processes: [],
      [Symbol.asyncDispose]: async () => {},
    }),
  },
  {
    name: BARE_PROXY,
    async start({ backendUrl, programs }) {
      const proxy = await spawnReady({ args: [programs.bareProxy, backendUrl], ready: readUrlLine });
      return {
        endpoint: { url: proxy.ready },
        processes: [{ name: 'proxy', pid: proxy.pid }],
        [Symbol.asyncDispose]: () => proxy.stop(),
      };
    },
  },
  // Beside what they are held against: what is compared runs within seconds of each other.
  anonymousMesh({ name: OUTRIGGER }),
  { name: TWO_BARE_HOPS, loads: OF_BARE_HOPS, start: startBareHops },
  { ...anonymousMesh({ name: OUTRIGGER_TWO, replicas: 2 }), loads: OF_VARIANTS },
  { name: NGINX, loads: OF_PEERS, start: startNginx },
  { name: MCP_PROXY, loads: OF_PEERS, start: startMcpProxy },
  { name: MCP_HUB, loads: OF_PEERS, start: startMcpHub },
  { ...anonymousRedisMesh(OUTRIGGER_REDIS), loads: OF_VARIANTS },
  { ...securedMesh({ name: OUTRIGGER_SECURED, audit: false }), loads: OF_VARIANTS },
  { ...securedMesh({ name: OUTRIGGER_AUDITED, audit: true }), loads: OF_AUDITED },
  besideNeighbour('good', GOOD_NEIGHBOUR),
  besideNeighbour('bad', BAD_NEIGHBOUR),
];

/** The least that a sidecar and a replica can be: how far the mesh is from what its architecture can reach here. */
async function startBareHops({ backendUrl, programs }: Parameters<Row['start']>[0]): Promise<RunningRow> {
  const replica = await spawnReady({ args: [programs.bareReplica, backendUrl], ready: readUrlLine });
  const sidecar = await spawnReady({
    args: [programs.bareSidecar, replica.ready],
    ready: readUrlLine,
  }).catch(async (error: unknown) => {
    await replica.stop();
    throw error;
  });
  return {
    endpoint: { url: sidecar.ready },
    processes: [
      { name: SIDECAR, pid: sidecar.pid },
      { name: 'replica', pid: replica.pid },
    ],
    async [Symbol.asyncDispose]() {
      await sidecar.stop();
      await replica.stop();
    },
  };
}
