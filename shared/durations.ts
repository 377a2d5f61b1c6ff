/** From what a store in memory takes to what a person does. */
const BOUNDS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export interface DurationsOptions<Label extends string> {
  /** Ends in `_seconds`. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly Label[];
  /** Upper bounds of the buckets in seconds, the shortest first. */
  readonly bounds?: readonly number[];
}

/** How often something took how long, under one set of labels. */
export class DurationCounts<Label extends string = string> {
  readonly values: Readonly<Record<Label, string>>;
  readonly labels: string;
  /** By bucket, not cumulative; the last one is for what is longer than every bound. */
  readonly buckets: number[];
  sum = 0;
  readonly #bounds: readonly number[];

  constructor(values: Readonly<Record<Label, string>>, labels: string, bounds: readonly number[]) {
    this.values = values;
    this.labels = labels;
    this.#bounds = bounds;
    this.buckets = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(seconds: number): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && seconds > (bounds[at] ?? 0)) at += 1;
    this.buckets[at] = (this.buckets[at] ?? 0) + 1;
    this.sum += seconds;
  }
}

/**
 * A histogram for what happens with every call: whoever measures keeps the counts of its
 * labels, and then adds to two numbers. Written in the Prometheus text format.
 */
export class Durations<Label extends string = never> {
  readonly #options: DurationsOptions<Label>;
  /** Upper bounds of the buckets but the last, in seconds. */
  readonly bounds: readonly number[];
  readonly #counts = new Map<string, DurationCounts<Label>>();

  constructor(options: DurationsOptions<Label>) {
    this.#options = options;
    this.bounds = options.bounds ?? BOUNDS;
  }

  /** Always the same for the same values. They must be words of closed sets, or configured names. */
  of(values: Readonly<Record<Label, string>>): DurationCounts<Label> {
    const labels = (this.#options.labels ?? []).map((label) => `${label}="${escaped(values[label])}"`).join();
    const known = this.#counts.get(labels);
    if (known !== undefined) return known;
    const counts = new DurationCounts(values, labels, this.bounds);
    this.#counts.set(labels, counts);
    return counts;
  }

  /** Of every set of labels that there has been. */
  counts(): Iterable<DurationCounts<Label>> {
    return this.#counts.values();
  }

  render(): string {
    const { name, help } = this.#options;
    const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
    for (const { labels, buckets, sum } of this.#counts.values()) {
      let total = 0;
      for (const [at, count] of buckets.entries()) {
        total += count;
        const le = `le="${this.bounds[at] ?? '+Inf'}"`;
        lines.push(`${name}_bucket{${labels === '' ? le : `${labels},${le}`}} ${total}`);
      }
      const braces = labels === '' ? '' : `{${labels}}`;
      lines.push(`${name}_sum${braces} ${sum}`, `${name}_count${braces} ${total}`);
    }
    return `${lines.join('\n')}\n`;
  }
}

function escaped(value: string): string {
  return value.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n');
}
