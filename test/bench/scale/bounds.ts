import type { Target } from '../verdicts.ts';
import { BACKENDS_CURVE, SESSION_KIB, SESSIONS_CURVE, TO_FIRST } from './cost.ts';
import { type Curve, departure } from './curve.ts';
import { RESTORE_ADDS, RESTORES } from './restores.ts';
import { EMPTY_MS, PRIVATE_MIB, READY_MS, SIDECAR_SIZE, STREAMS_MIB } from './sidecar.ts';

type Curves = readonly Curve[];

/** What curves must not exceed. */
export const BOUNDS: readonly Target<Curves>[] = [
  {
    name: 'what a call costs varies from 1 to 2,000 sessions by, %',
    bound: { atMost: 10 },
    figure: (curves) => on(curves, SESSIONS_CURVE, (curve) => departure(curve, TO_FIRST, 2_000) * 100),
  },
  {
    name: 'what a call costs varies from 1 to 50 backends by, %',
    bound: { atMost: 10 },
    figure: (curves) => on(curves, BACKENDS_CURVE, (curve) => departure(curve, TO_FIRST, 50) * 100),
  },
  {
    name: 'a session with 5 backends and 70 tools holds in the replica, KiB',
    bound: { atMost: 64 },
    figure: (curves) => value(curves, SESSIONS_CURVE, SESSION_KIB),
  },
  {
    name: 'a restore adds to a call, at any number of backends, ms',
    bound: { atMost: 10 },
    figure: (curves) =>
      on(curves, RESTORES, ({ points }) =>
        Math.max(...points.map(({ values }) => values[RESTORE_ADDS] ?? Number.NaN)),
      ),
  },
  {
    name: 'a sidecar is ready in, ms',
    bound: { atMost: 150 },
    figure: (curves) => value(curves, SIDECAR_SIZE, READY_MS),
    floor: { of: 'an empty program', figure: (curves) => value(curves, SIDECAR_SIZE, EMPTY_MS) },
  },
  {
    name: 'an idle sidecar holds, MiB',
    bound: { atMost: 64 },
    figure: (curves) => value(curves, SIDECAR_SIZE, 'MiB', ({ at }) => at === 0),
  },
  {
    name: 'of which nobody shares, MiB',
    bound: { atMost: 20 },
    figure: (curves) => value(curves, SIDECAR_SIZE, PRIVATE_MIB),
  },
  {
    name: 'a sidecar at 1,000 calls a second holds, MiB',
    bound: { atMost: 80 },
    figure: (curves) => value(curves, SIDECAR_SIZE, 'MiB', ({ at }) => at > 0),
  },
  {
    name: 'a sidecar with 100 open streams holds, MiB',
    bound: { atMost: 128 },
    figure: (curves) => value(curves, SIDECAR_SIZE, STREAMS_MIB),
  },
];

function on(curves: Curves, { name }: Pick<Curve, 'name'>, figure: (curve: Curve) => number): number {
  const curve = curves.find((each) => each.name === name);
  return curve === undefined ? Number.NaN : figure(curve);
}

/** At the last place of a curve that has it. */
function value(
  curves: Curves,
  of: Pick<Curve, 'name'>,
  what: string,
  where: (point: Curve['points'][number]) => boolean = () => true,
): number {
  return on(curves, of, ({ points }) => {
    const point = points.findLast((each) => what in each.values && where(each));
    return point?.values[what] ?? Number.NaN;
  });
}
