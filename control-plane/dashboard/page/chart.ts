import { element, fill, svg } from './dom.ts';
import { clockTime } from './format.ts';
import { SLOT_MS, type Slot } from './series.ts';

export interface Line {
  readonly name: string;
  /** Its colour, by class; the first is the plain case. */
  readonly look: 'first' | 'second' | 'alarm';
  readonly read: (slot: Slot) => number | undefined;
}

export interface ChartOptions {
  readonly title: string;
  /** Of the numbers at the side. */
  readonly format: (value: number) => string;
  readonly lines: readonly Line[];
  /** Counts, which stand on each other; otherwise lines. */
  readonly bars?: boolean;
  /** In one sentence, what the last quarter of an hour was like. */
  readonly summary: (slots: readonly Slot[]) => string;
}

const WIDTH = 560;
const HEIGHT = 170;
const LEFT = 58;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 22;
const INNER = WIDTH - LEFT - RIGHT;
const FLOOR = HEIGHT - BOTTOM;
const MINUTES = 15;

/** A drawing of the last quarter of an hour, its summary in words, and its numbers as a table for whoever opens it. */
export class Chart {
  readonly figure: HTMLElement;
  readonly #options: ChartOptions;
  readonly #drawing = element('div', { class: 'drawing' });
  readonly #summary = element('p', { class: 'summary' });
  readonly #numbers = element('tbody');
  readonly #details: HTMLDetailsElement;
  #slots: readonly Slot[] = [];

  constructor(options: ChartOptions) {
    this.#options = options;
    const { title, lines } = options;
    const legend = lines.map(({ name, look }) =>
      element('li', {}, element('span', { class: `swatch ${look}`, 'aria-hidden': 'true' }), name),
    );
    const heads = ['Until', ...lines.map(({ name }) => name)].map((name) =>
      element('th', { scope: 'col' }, name),
    );
    const table = element(
      'table',
      {},
      element('caption', { class: 'unseen' }, `${title}, minute by minute`),
      element('thead', {}, element('tr', {}, ...heads)),
      this.#numbers,
    );
    const opener = element('summary', {}, 'Numbers');
    opener.append(element('span', { class: 'unseen' }, `: ${title}`));
    this.#details = element('details', {}, opener, table);
    this.#details.addEventListener('toggle', () => this.#tabulate());
    const head = element(
      'figcaption',
      {},
      element('h3', {}, title),
      element('ul', { class: 'legend' }, ...legend),
    );
    this.figure = element('figure', {}, head, this.#drawing, this.#summary, this.#details);
  }

  show(slots: readonly Slot[]): void {
    this.#slots = slots;
    this.#summary.textContent = this.#options.summary(slots);
    // The sentence says it; the lines are for eyes.
    const drawing = svg(
      'svg',
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, 'aria-hidden': 'true' },
      ...this.#parts(),
    );
    this.#drawing.replaceChildren(drawing);
    this.#tabulate();
  }

  #parts(): SVGElement[] {
    const { lines, bars = false, format } = this.#options;
    const values = this.#slots.map((slot) => lines.map(({ read }) => read(slot)));
    const tops = values.map((each) => {
      const known = each.map((value) => value ?? 0);
      return bars ? known.reduce((sum, value) => sum + value, 0) : Math.max(...known);
    });
    const scale = scaleOf(Math.max(0, ...tops), bars);
    const y = (value: number) => FLOOR - (value / scale.top) * (FLOOR - TOP);
    const x = (index: number) => LEFT + ((index + 0.5) / this.#slots.length) * INNER;
    const grid = scale.ticks.flatMap((tick) => [
      svg('line', { class: 'grid', x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }),
      svg('text', { class: 'tick', x: LEFT - 6, y: y(tick) + 4, 'text-anchor': 'end' }, format(tick)),
    ]);
    const drawn = bars
      ? this.#bars(values, y)
      : lines.map(({ look }, line) =>
          svg('path', { class: `line ${look}`, d: path(values, { line, look, x, y }) }),
        );
    return [...grid, ...timeAxis(), ...drawn];
  }

  #bars(values: readonly (readonly (number | undefined)[])[], y: (value: number) => number): SVGElement[] {
    const width = INNER / values.length;
    return values.flatMap((each, index) => {
      let below = 0;
      return each.flatMap((value = 0, line) => {
        const from = below;
        below += value;
        const { look } = this.#options.lines[line] ?? { look: 'first' };
        const box = { x: LEFT + index * width, y: y(below), width: width - 1, height: y(from) - y(below) };
        return value === 0 ? [] : [svg('rect', { class: `bar ${look}`, ...box })];
      });
    });
  }

  /** Only while somebody reads it. */
  #tabulate(): void {
    if (!this.#details.open) return;
    const { lines, bars = false, format } = this.#options;
    const each = 60_000 / SLOT_MS;
    const rows = Array.from({ length: MINUTES }, (_, minute) => {
      const part = this.#slots.slice(minute * each, (minute + 1) * each);
      const cells = lines.map(({ read }) => {
        const known = part.map(read).filter((value) => value !== undefined);
        const total = known.reduce((sum, value) => sum + value, 0);
        const worth = bars ? total : total / known.length;
        return element('td', {}, known.length === 0 ? 'none' : format(worth));
      });
      const head = element('th', { scope: 'row' }, clockTime(part.at(-1)?.at ?? 0));
      return element('tr', {}, head, ...cells);
    });
    fill(this.#numbers, ...rows);
  }
}

function timeAxis(): SVGElement[] {
  return [0, 5, 10, 15].map((minute) => {
    const words = minute === MINUTES ? 'now' : `${MINUTES - minute} min ago`;
    const anchor = minute === 0 ? 'start' : minute === MINUTES ? 'end' : 'middle';
    const x = LEFT + (minute / MINUTES) * INNER;
    return svg('text', { class: 'tick', x, y: HEIGHT - 5, 'text-anchor': anchor }, words);
  });
}

interface Drawn {
  readonly line: number;
  readonly look: Line['look'];
  readonly x: (index: number) => number;
  readonly y: (value: number) => number;
}

function path(values: readonly (readonly (number | undefined)[])[], { line, look, x, y }: Drawn): string {
  const points = values.map((each) => each[line]);
  // A line of failures that lies on the ground says nothing, in the colour of alarm.
  if (look === 'alarm' && points.every((value = 0) => value === 0)) return '';
  return points
    .map((value, index) => {
      if (value === undefined) return '';
      const at = `${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
      if (points[index - 1] !== undefined) return `L${at}`;
      // What stands between two gaps is seen as a dash.
      return points[index + 1] === undefined ? `M${at}m-2 0h4` : `M${at}`;
    })
    .join('');
}

/** Round numbers at the side, at most four of them. */
function scaleOf(
  highest: number,
  whole: boolean,
): { readonly top: number; readonly ticks: readonly number[] } {
  const least = whole || highest === 0 ? 1 : 0.001;
  const rough = Math.max(highest / 3, least);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? rough;
  const count = Math.max(1, Math.ceil(highest / step));
  const ticks = Array.from({ length: count + 1 }, (_, index) => index * step);
  return { top: count * step, ticks };
}
