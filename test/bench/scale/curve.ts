import { median } from '../statistics.ts';
import { figure, table } from '../table.ts';

/** What was measured at one place along a curve. */
export interface Point {
  readonly at: number;
  /** Medians, by what they are and their unit. */
  readonly values: Readonly<Record<string, number>>;
}

/** How something grows with something else. */
export interface Curve {
  readonly name: string;
  /** What `at` counts. */
  readonly along: string;
  readonly points: readonly Point[];
}

/** A curve that can be measured by itself. */
export interface Measurement {
  readonly name: string;
  measure(options: CurveOptions): Promise<Curve>;
}

export interface CurveOptions {
  /** Of each point, interleaved. */
  readonly rounds: number;
  /** Of calls in each of them. */
  readonly seconds: number;
  /** A share of the sizes of a whole run, for a quick look; 1 is whole. */
  readonly share: number;
  /** Of the places of a whole run only these, where they are named. */
  readonly places?: readonly number[];
}

/** A size of a whole run, cut to the share that is asked for; never below 1. */
export function sized(count: number, { share }: Pick<CurveOptions, 'share'>): number {
  return Math.max(1, Math.round(count * share));
}

/** The places that are asked for. */
export function asked(
  places: readonly number[],
  { places: only }: Pick<CurveOptions, 'places'>,
): readonly number[] {
  return only === undefined ? places : places.filter((place) => only.includes(place));
}

/** A table for people. */
export function show({ name, along, points }: Curve): string {
  const columns = [...new Set(points.flatMap(({ values }) => Object.keys(values)))];
  const rows = points.map(({ at, values }) => [
    String(at),
    ...columns.map((column) => figure(values[column])),
  ]);
  return `${name}:\n\n${table([[along, ...columns], ...rows], { texts: 0 })}`;
}

/**
 * How the cost of each place stands to that of the first, from what each cost in every round: the median of
 * the rounds' own ratios, which a machine that drifts does not move.
 */
export function toFirst(costs: readonly (readonly number[])[]): number[] {
  const [first = []] = costs;
  return costs.map((each) => median(each.map((cost, round) => cost / (first[round] ?? Number.NaN))));
}

/** How far the place farthest from the first is away from it, up to a place, in what stands to the first: 0.1 is 10 %. */
export function departure({ points }: Curve, value: string, upTo: number): number {
  const ratios = points.filter(({ at }) => at <= upTo).map(({ values }) => values[value] ?? Number.NaN);
  return ratios.length === 0 ? Number.NaN : Math.max(...ratios.map((ratio) => Math.abs(ratio - 1)));
}
