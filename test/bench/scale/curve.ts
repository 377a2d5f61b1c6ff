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
}

/** A size of a whole run, cut to the share that is asked for; never below 1. */
export function sized(count: number, { share }: Pick<CurveOptions, 'share'>): number {
  return Math.max(1, Math.round(count * share));
}

/** A table for people. */
export function show({ name, along, points }: Curve): string {
  const columns = [...new Set(points.flatMap(({ values }) => Object.keys(values)))];
  const rows = points.map(({ at, values }) => [
    String(at),
    ...columns.map((column) => figure(values[column])),
  ]);
  const table = [[along, ...columns], ...rows];
  const widths = [along, ...columns].map((_, column) =>
    Math.max(...table.map((row) => (row[column] ?? '').length)),
  );
  const lines = table.map((row) => row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  '));
  return [`${name}:`, ...lines].join('\n');
}

function figure(value: number | undefined): string {
  if (value === undefined) return '-';
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(value < 10 ? 2 : 1);
}

/** By how much the largest value of a curve exceeds the smallest, up to a place: 0.1 is 10 %. */
export function spread({ points }: Curve, value: string, upTo: number): number {
  const values = points.filter(({ at }) => at <= upTo).map(({ values }) => values[value] ?? Number.NaN);
  return Math.max(...values) / Math.min(...values) - 1;
}
