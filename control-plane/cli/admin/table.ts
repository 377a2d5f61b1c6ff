import { clean, cut, padded, widthOf } from './text.ts';

/** A table for people: columns as wide as their longest text, the widest cut where the terminal ends. */

export interface Column<Row> {
  readonly title: string;
  /** Never cut: a name that is no use in part. */
  readonly whole?: true;
  text(row: Row): string;
}

const GAP = '  ';
const NARROWEST = 8;

/** Lines that end with a newline. `width` undefined: nobody's terminal, nothing is cut. Columns for which there is no room at all are left out, the last first. */
export function table<Row>(
  rows: readonly Row[],
  { columns, width }: { readonly columns: readonly Column<Row>[]; readonly width: number | undefined },
): string {
  const lines = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ text }) => clean(text(row)))),
  ];
  const natural = columns.map((_, at) => Math.max(...lines.map((line) => widthOf(line[at] ?? ''))));
  const least = natural.map((each, at) => (columns[at]?.whole ? each : Math.min(each, NARROWEST)));
  const widths = width === undefined ? natural : fitted({ natural, least, width });
  return lines
    .map((line) =>
      widths
        .map((room, at) => cell(line[at] ?? '', room))
        .join(GAP)
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** Takes from the widest until all fit; then leaves out. */
function fitted({ natural, least, width }: Room): number[] {
  const widths = [...natural];
  const room = () => width - GAP.length * (widths.length - 1);
  while (widths.length > 1 && sum(least.slice(0, widths.length)) > room()) widths.pop();
  for (let excess = sum(widths) - room(); excess > 0; excess -= 1) {
    const spare = widths.map((each, at) => (each > (least[at] ?? 0) ? each : 0));
    const widest = Math.max(...spare);
    if (widest === 0) break;
    widths[spare.indexOf(widest)] = widest - 1;
  }
  return widths;
}

interface Room {
  readonly natural: readonly number[];
  readonly least: readonly number[];
  readonly width: number;
}

function cell(text: string, width: number): string {
  return padded(cut(text, width), width);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
