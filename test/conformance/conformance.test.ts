/**
 * The official suite, directly against a backend that passes it, and through the mesh in front of that
 * backend. A backend that is alone keeps its names. Under prefixed names the suite, which asks for names
 * of its own, gets them from an edge of the test that says and hides the prefix, and changes nothing else;
 * a second backend of the same kind stands beside the first, so that all names and URIs exist twice.
 */
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import { spawnReferenceBackend } from '../support/reference-backend/spawn.ts';
import type { ReadyProcess } from '../support/spawn-ready.ts';
import { metric, until } from '../support/story.ts';
import { startNameEdge } from './name-edge.ts';
import { OTHER_ERA } from './other-era.ts';
import {
  type Check,
  type ConformanceResults,
  failing,
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
      // All that the suite has for the revision, pending scenarios too, is what the revision requires.
      const results = await runConformance({ url: mesh.url, all: '2025-11-25', timeoutMs: 90_000 });
      expect(shortfalls(results, direct)).to.deep.equal([]);
      expect([...results.keys()].sort()).to.deep.equal([...direct.keys()].sort());
      for (const [all, checks] of [
        ['2025-06-18', 56],
        ['2025-03-26', 3],
      ] as const) {
        const older = await runConformance({ url: mesh.url, all, timeoutMs: 60_000 });
        expect(shortfalls(older), all).to.deep.equal([]);
        expect(passing(older), all).to.have.lengthOf(checks);
      }
    },
  );

  it('is failed, in all that it has, by the scenarios of the other era alone', async () => {
    await using mesh = await meshInFrontOf(backend.ready, 1);
    const results = await runConformance({ url: mesh.url, all: 'any', timeoutMs: 90_000 });
    expect(failing(results)).to.deep.equal(Object.keys(OTHER_ERA).sort());
    const ours = new Map([...results].filter(([scenario]) => direct.has(scenario)));
    expect(shortfalls(ours, direct)).to.deep.equal([]);
  });

  it(
    verifies(
      'AGG-4',
      'AGG-5',
      'AGG-13',
    )('is passed under prefixed names, beside a second backend with the same names and URIs'),
    async () => {
      const reference = { type: 'http', url: backend.ready };
      await using mesh = await startMesh({
        config: { mcpServers: { reference, twin: reference } },
        anonymous: true,
      });
      await using edge = await startNameEdge(mesh.url, 'reference__');
      const results = await runConformance({ url: edge.url, timeoutMs: 90_000 });
      expect(shortfalls(results, direct)).to.deep.equal([]);
      const unnamed = await runConformance({
        url: mesh.url,
        scenarios: ['tools-call-simple-text', 'prompts-get-simple'],
        timeoutMs: 60_000,
      });
      expect(failing(unnamed), 'names without a prefix').to.deep.equal([
        'prompts-get-simple',
        'tools-call-simple-text',
      ]);
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
