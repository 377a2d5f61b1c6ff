import { BACKENDS_CURVE, SESSIONS_CURVE } from './cost.ts';
import { type Curve, spread } from './curve.ts';
import { RESTORES } from './restores.ts';
import { SIDECAR_SIZE } from './sidecar.ts';

/** What a curve must not exceed, and whether it does. */
export interface Verdict {
  readonly what: string;
  readonly figure: number;
  readonly bound: number;
  readonly outcome: 'met' | 'missed';
}

interface Bound {
  readonly curve: string;
  readonly what: string;
  readonly atMost: number;
  figure(curve: Curve): number;
}

const CALL = 'CPU µs/call';

const BOUNDS: readonly Bound[] = [
  {
    curve: SESSIONS_CURVE.name,
    what: 'a call’s cost varies from 1 to 2,000 sessions by, %',
    atMost: 10,
    figure: (curve) => spread(curve, CALL, 2_000) * 100,
  },
  {
    curve: BACKENDS_CURVE.name,
    what: 'a call’s cost varies from 1 to 50 backends by, %',
    atMost: 10,
    figure: (curve) => spread(curve, CALL, 50) * 100,
  },
  {
    curve: SESSIONS_CURVE.name,
    what: 'a session with 5 backends and 70 tools in the replica, KiB',
    atMost: 64,
    figure: ({ points }) => {
      const [few, many] = [points[0], points.at(-1)];
      const grown = (many?.values['replica MiB'] ?? 0) - (few?.values['replica MiB'] ?? 0);
      return (grown * 1_024) / ((many?.at ?? 0) - (few?.at ?? 0));
    },
  },
  {
    curve: RESTORES.name,
    what: 'a restore adds to a call, at any number of backends, ms',
    atMost: 10,
    figure: (curve) => largest(curve, 'restore adds p50 ms'),
  },
  ...(
    [
      ['a sidecar is ready in, ms', 'ready ms', 300],
      ['an idle sidecar, MiB', 'MiB', 64],
      ['of which nobody shares, MiB', 'private MiB', 20],
      ['a sidecar with 100 open streams, MiB', 'MiB with 100 streams', 128],
    ] as const
  ).map(([what, value, atMost]) => ({
    curve: SIDECAR_SIZE.name,
    what,
    atMost,
    figure: ({ points }: Curve) => points.find(({ values }) => value in values)?.values[value] ?? Number.NaN,
  })),
  {
    curve: SIDECAR_SIZE.name,
    what: 'a sidecar at 1,000 calls a second, MiB',
    atMost: 80,
    figure: ({ points }) => points.find(({ at }) => at > 0)?.values['MiB'] ?? Number.NaN,
  },
];

/** Judges the curves that were measured. */
export function judge(curves: readonly Curve[]): Verdict[] {
  return BOUNDS.flatMap(({ curve: name, what, atMost, figure }) => {
    const curve = curves.find((each) => each.name === name);
    if (curve === undefined) return [];
    const value = figure(curve);
    return [{ what, figure: value, bound: atMost, outcome: value <= atMost ? 'met' : 'missed' } as const];
  });
}

function largest({ points }: Curve, value: string): number {
  return Math.max(...points.map(({ values }) => values[value] ?? Number.NaN));
}
