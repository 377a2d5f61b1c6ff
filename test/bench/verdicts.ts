/** What has to hold, as a figure that is read from what was measured and a bound. */
export interface Target<Measured> {
  readonly name: string;
  readonly bound: Bound;
  /** NaN where what it needs was not measured. */
  figure(measured: Measured): number;
  /** What nothing of its kind could do without in the same run: no bound, but what the figure is read against. */
  readonly floor?: { readonly of: string; figure(measured: Measured): number };
}

/** `goal` is what would be better still, and decides nothing. */
export type Bound = ({ readonly atLeast: number } | { readonly atMost: number }) & {
  readonly goal?: number;
};

/** How a target came out; `unmeasured` when a row, load or curve that it needs did not run. */
export interface Verdict {
  readonly target: string;
  readonly bound: string;
  readonly figure: number;
  readonly outcome: 'met' | 'missed' | 'unmeasured';
  readonly floor?: { readonly of: string; readonly figure: number };
}

/** Judges what was measured by targets. */
export function judge<Measured>(measured: Measured, targets: readonly Target<Measured>[]): Verdict[] {
  return targets.map(({ name, bound, floor, ...target }) => {
    const figure = target.figure(measured);
    return {
      target: name,
      bound: said(bound),
      figure,
      outcome: Number.isNaN(figure) ? 'unmeasured' : holds(figure, bound) ? 'met' : 'missed',
      ...(floor === undefined ? {} : { floor: { of: floor.of, figure: floor.figure(measured) } }),
    };
  });
}

function holds(figure: number, bound: Bound): boolean {
  return 'atLeast' in bound ? figure >= bound.atLeast : figure <= bound.atMost;
}

function said(bound: Bound): string {
  const must = 'atLeast' in bound ? `>= ${bound.atLeast}` : `<= ${bound.atMost}`;
  return bound.goal === undefined ? must : `${must}, goal ${bound.goal}`;
}
