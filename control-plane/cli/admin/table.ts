import { clean, cut, padded, widthOf } from './text.ts';

/** A table for people: columns as wide as their longest text, the widest cut where the terminal ends. */

export interface Column<Row> {
  readonly title: string;
  text(row: Row): string;
}

const GAP = '  ';
const NARROWEST = 8;

/** Lines that end with a newline. `width` undefined: nobody's terminal, nothing is cut. */
export function table<Row>(
  rows: readonly Row[],
  { columns, width }: { readonly columns: readonly Column<Row>[]; readonly width: number | undefined },
): string {
  const lines = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ text }) => clean(text(row)))),
  ];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => widthOf(line[at] ?? ''))));
  if (width !== undefined) shrink(widths, width - GAP.length * (columns.length - 1));
  return lines
    .map((line) =>
      line
        .map((text, at) => cell(text, widths[at] ?? 0))
        .join(GAP)
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** Takes from the widest until all fit. */
function shrink(widths: number[], room: number): void {
  for (let excess = sum(widths) - room; excess > 0; excess = sum(widths) - room) {
    const widest = Math.max(...widths);
    if (widest <= NARROWEST) return;
    const next = Math.max(NARROWEST, ...widths.filter((each) => each < widest));
    const at = widths.indexOf(widest);
    const alike = widths.filter((each) => each === widest).length;
    widths[at] = alike > 1 ? widest - 1 : Math.max(next, widest - excess);
  }
}

function cell(text: string, width: number): string {
  return padded(cut(text, width), width);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
