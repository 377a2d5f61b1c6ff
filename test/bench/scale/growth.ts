import { BACKENDS_CURVE, SESSIONS_CURVE } from './cost.ts';
import type { Curve, CurveOptions, Measurement } from './curve.ts';
import { RESTORES } from './restores.ts';
import { SIDECAR_SIZE } from './sidecar.ts';

/** The curves that bounds speak of, at as many places as these need. */
const GROWTH: readonly ({ readonly curve: Measurement } & Pick<CurveOptions, 'places'>)[] = [
  { curve: SESSIONS_CURVE, places: [1, 100, 2_000] },
  { curve: BACKENDS_CURVE, places: [1, 5, 50] },
  { curve: RESTORES, places: [1, 5, 50] },
  { curve: SIDECAR_SIZE },
];

/** Measures how cost, memory and recovery grow, as far as a bound needs it, one curve after the other. */
export async function measureGrowth({
  onCurve,
  ...options
}: Omit<CurveOptions, 'places'> & { onCurve(curve: Curve): void }): Promise<Curve[]> {
  const curves: Curve[] = [];
  for (const { curve, ...only } of GROWTH) {
    const measured = await curve.measure({ ...options, ...only });
    onCurve(measured);
    curves.push(measured);
  }
  return curves;
}
