import fc from 'fast-check';
import type { Violation } from './audit.ts';
import type { Cast } from './cast.ts';
import { PLANS, type Story } from './plans.ts';
import type { Product } from './product.ts';
import { World } from './world.ts';

export interface Play {
  readonly story: Story;
  readonly cast: Cast;
  readonly product: Product;
  readonly schedules: number;
  readonly seed: number;
  /** Fast-check's path to one schedule of the seed. */
  readonly path?: string | undefined;
  /** Stops at nothing else; every violation counts when absent. */
  readonly only?: Violation;
  /** Where to add up what happened. */
  readonly tally?: Map<string, number>;
}

/** Plays a story under many schedules. Undefined when nothing forbidden happened, else what did, and how to see it again. */
export async function play({
  story,
  cast,
  product,
  schedules,
  seed,
  path,
  only,
  tally,
}: Play): Promise<string | undefined> {
  const property = fc.asyncProperty(PLANS[story], fc.scheduler(), async (plan, schedule) => {
    const world = new World({ product, cast, plan, schedule });
    await world.run();
    for (const [what, times] of world.audit.tally) tally?.set(what, (tally.get(what) ?? 0) + times);
    const violations = [...world.audit.violations].filter((found) => found === (only ?? found));
    if (violations.length > 0) throw new Error(violations.join('; '));
  });
  const details = await fc.check(property, {
    numRuns: schedules,
    seed,
    endOnFailure: true,
    ...(path === undefined ? {} : { path }),
  });
  if (!details.failed) return undefined;
  const again = `OUTRIGGER_SEED=${details.seed} OUTRIGGER_PATH=${details.counterexamplePath ?? ''}`;
  const [plan, schedule] = details.counterexample ?? [];
  const cause = details.errorInstance;
  return [
    `${story}: ${cause instanceof Error ? cause.message : String(cause)}`,
    `replay with ${again}`,
    JSON.stringify(plan),
    String(schedule),
  ].join('\n');
}
