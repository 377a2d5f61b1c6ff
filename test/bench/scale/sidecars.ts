import { setTimeout as sleep } from 'node:timers/promises';
import { startMesh } from '../../support/mesh.ts';
import { readUrlLine, spawnReady } from '../../support/spawn-ready.ts';
import { cpuUs, rssBytes } from '../process-use.ts';
import { compilePrograms } from '../programs.ts';
import { type Measurement, type Point, sized } from './curve.ts';
import { startSidecars } from './many-sidecars.ts';
import { Opened } from './opened.ts';

const SIDECARS = [1, 100, 200];
const REST_MS = 3_000;
const IDLE_MS = 20_000;

/** What sidecars that do nothing cost the replica that they are connected to. */
export const SIDECARS_CURVE: Measurement = {
  name: 'a replica by idle sidecars',
  async measure(options) {
    const points: Point[] = [];
    for (const whole of SIDECARS) points.push(await measureAt(whole === 1 ? 1 : sized(whole, options)));
    return { name: this.name, along: 'sidecars', points };
  },
};

async function measureAt(at: number): Promise<Point> {
  await using stage = new Opened();
  const { backend: program } = await compilePrograms();
  const backend = stage.use(await spawnReady({ args: [program, '10'], ready: readUrlLine }));
  const mesh = stage.use(
    await startMesh({
      config: { mcpServers: { bench: { type: 'http', url: backend.ready } } },
      anonymous: true,
    }),
  );
  const [replica] = mesh.replicas;
  if (replica === undefined) throw new Error('there is no replica');
  await startSidecars(stage, [replica.grpc], at);
  await sleep(REST_MS);
  const before = await cpuUs(replica.pid);
  await sleep(IDLE_MS);
  const used = (await cpuUs(replica.pid)) - before;
  return {
    at,
    values: {
      'replica MiB': (await rssBytes(replica.pid)) / 2 ** 20,
      'CPU ms/s': used / IDLE_MS,
    },
  };
}
