import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import { spawnReferenceBackend } from '../support/reference-backend/spawn.ts';
import type { ReadyProcess } from '../support/spawn-ready.ts';
import { metric, until } from '../support/story.ts';
import {
  type Check,
  type ConformanceResults,
  passing,
  runConformance,
  shortfalls,
} from './run-conformance.ts';

/** Scenarios that run at once between two kills. */
const BATCH = 4;
/** A sidecar that has a home is in no hurry to find a second replica again. */
const BACK_WITHIN_MS = 35_000;

describe('the official conformance suite, revision 2025-11-25', function () {
  this.timeout(180_000);

  let backend: ReadyProcess<string>;
  let direct: ConformanceResults;

  before(async () => {
    backend = await spawnReferenceBackend();
    direct = await runConformance({ url: backend.ready, timeoutMs: 60_000 });
  });

  after(() => backend?.stop());

  it('is passed in full by the reference backend itself', () => {
    expect(shortfalls(direct)).to.deep.equal([]);
    expect(passing(direct)).to.have.lengthOf(84);
  });

  it(
    verifies(
      'HTTP-2',
      'HTTP-7',
      'HTTP-11',
      'HTTP-15',
      'HTTP-17',
      'RPC-4',
      'RPC-7',
      'RPC-8',
      'AGG-8',
      'AGG-12',
      'AGG-13',
    )('is passed through the mesh in everything that passes directly'),
    async () => {
      await using mesh = await meshInFrontOf(backend.ready, 1);
      const results = await runConformance({
        url: mesh.url,
        timeoutMs: 90_000,
      });
      expect(shortfalls(results, direct)).to.deep.equal([]);
    },
  );

  it(
    verifies(
      'RST-1',
      'BACK-1',
    )('is passed with two replicas of which one is killed before every few scenarios'),
    async () => {
      await using mesh = await meshInFrontOf(backend.ready, 2);
      const results = new Map<string, readonly Check[]>();
      let victim = 0;
      for (const scenarios of batches([...direct.keys()], BATCH)) {
        await mesh.replicas[victim]?.kill('SIGKILL');
        const [part] = await Promise.all([
          runConformance({ url: mesh.url, scenarios, timeoutMs: 60_000 }),
          mesh.replicas[victim]?.start(),
        ]);
        for (const [scenario, checks] of part) results.set(scenario, checks);
        // The survivor is home now; killing it next makes every kill one of the owner.
        await until(
          'the sidecar has both replicas',
          async () => (await metric(mesh.sidecar, 'outrigger_sidecar_mesh_streams')) === 2,
          BACK_WITHIN_MS,
        );
        victim = 1 - victim;
      }
      expect(shortfalls(results, direct)).to.deep.equal([]);
    },
  );
});

/** One backend alone keeps its names, which the suite asks for. */
function meshInFrontOf(url: string, replicas: number): Promise<Mesh> {
  return startMesh({
    replicas,
    store: 'embedded',
    config: { mcpServers: { reference: { type: 'http', url } } },
    anonymous: true,
  });
}

function batches<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}
