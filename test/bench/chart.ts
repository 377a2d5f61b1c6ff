import { CALLS_64 } from './loads.ts';
import type { Results } from './results.ts';
import type { Metric } from './sample.ts';

const WIDTH = 720;
const LABELS = 250;
const FIGURES = 70;
const BAR = 14;
const ROW = 22;

/** Calls a second and CPU a call of every row under 64 small calls at once, as a picture (SVG). */
export function chart(results: Results): string {
  const rows = results.rows.filter((row) => results.has(row, CALLS_64));
  const panels = [
    { title: 'calls a second', metric: 'callsPerSecond', colour: '#2a6f97' },
    { title: 'CPU of its processes, µs a call', metric: 'cpuUsPerCall', colour: '#b5651d' },
  ] as const;
  const panelHeight = (rows.length + 2) * ROW;
  const height = panels.length * panelHeight;
  const drawn = panels.map((panel, at) => drawPanel(results, { ...panel, rows, top: at * panelHeight }));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
${drawn.flat().join('\n')}
</svg>
`;
}

interface Panel {
  readonly title: string;
  readonly metric: Metric;
  readonly colour: string;
  readonly rows: readonly string[];
  readonly top: number;
}

function drawPanel(results: Results, { title, metric, colour, rows, top }: Panel): string[] {
  const values = rows.map((row) => results.median({ row, load: CALLS_64, metric }));
  const most = Math.max(...values, 1);
  const title64 = text({
    x: 8,
    y: top + ROW - 6,
    said: `${title}, ${CALLS_64}`,
    more: ' font-weight="bold"',
  });
  const bars = rows.flatMap((row, at) => {
    const value = values[at] ?? 0;
    const y = top + (at + 1) * ROW;
    const width = Math.round(((WIDTH - LABELS - FIGURES) * value) / most);
    return [
      text({ x: LABELS - 8, y: y + BAR - 2, said: row, more: ' text-anchor="end"' }),
      `<rect x="${LABELS}" y="${y}" width="${width}" height="${BAR}" fill="${colour}"/>`,
      text({ x: LABELS + width + 6, y: y + BAR - 2, said: Math.round(value).toLocaleString('en') }),
    ];
  });
  return [title64, ...bars];
}

function text({ x, y, said, more = '' }: { x: number; y: number; said: string; more?: string }): string {
  const escaped = said.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x}" y="${y}"${more}>${escaped}</text>`;
}
