import { type Measured, type Metric, metric, type Sample } from './sample.ts';
import { median } from './statistics.ts';

/** What a run measured, asked by row and load. */
export class Results {
  readonly samples: readonly Sample[];

  constructor({ samples }: Measured) {
    this.samples = samples;
  }

  get rows(): string[] {
    return [...new Set(this.samples.map(({ row }) => row))];
  }

  /** Whether the row was measured with the load. */
  has(row: string, load: string): boolean {
    return this.#select({ row, load }).length > 0;
  }

  get loads(): string[] {
    return [...new Set(this.samples.map(({ load }) => load))];
  }

  /** The median of a figure over the rounds; NaN where nothing was measured. */
  median(of: { row: string; load: string; metric: Metric }): number {
    return median(this.#select(of).map((sample) => metric(sample, of.metric)));
  }

  /**
   * How a row stands to another: the median of the rounds' own ratios. Both sides of each ratio were
   * measured within seconds of each other, so a machine that drifts moves both. The other row may have
   * another load.
   */
  ratio(of: { row: string; to: string; load: string; toLoad?: string; metric: Metric }): number {
    return median(this.#pairs(of).map(([ours, theirs]) => ours / theirs));
  }

  /** What a row has more than another: the median of the rounds' own differences. */
  difference(of: { row: string; to: string; load: string; metric: Metric }): number {
    return median(this.#pairs(of).map(([ours, theirs]) => ours - theirs));
  }

  /** What a row adds to the figure of a base row, against what a third row adds to it. */
  ratioAdded(of: { row: string; to: string; base: string; load: string; metric: Metric }): number {
    const ours = new Map(this.#select(of).map((sample) => [sample.round, metric(sample, of.metric)]));
    const theirs = this.#select({ ...of, row: of.to });
    const base = new Map(
      this.#select({ ...of, row: of.base }).map((sample) => [sample.round, metric(sample, of.metric)]),
    );
    return median(
      theirs.flatMap((sample) => {
        const own = ours.get(sample.round);
        const bottom = base.get(sample.round);
        if (own === undefined || bottom === undefined) return [];
        return [(own - bottom) / (metric(sample, of.metric) - bottom)];
      }),
    );
  }

  #pairs(of: { row: string; to: string; load: string; toLoad?: string; metric: Metric }): [number, number][] {
    const theirs = { row: of.to, load: of.toLoad ?? of.load };
    const others = new Map(this.#select(theirs).map((sample) => [sample.round, sample]));
    return this.#select(of).flatMap((sample): [number, number][] => {
      const other = others.get(sample.round);
      return other === undefined ? [] : [[metric(sample, of.metric), metric(other, of.metric)]];
    });
  }

  #select(of: { row: string; load: string }): Sample[] {
    return this.samples.filter(({ row, load }) => row === of.row && load === of.load);
  }
}
