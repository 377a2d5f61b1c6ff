/** A picture of a terminal as people see it: text, drawn letter by letter in columns. */

const COLUMN = 8.4;
const LINE = 19;
const MARGIN = 16;
const BAR = 34;
const COLOURS: Readonly<Record<string, string>> = {
  '✓': '#3fb950',
  '✗': '#f85149',
  '!': '#d29922',
  '-': '#8b949e',
};

/** `text` as a command printed it after `command` was typed. */
export function terminalSvg(command: string, text: string): string {
  const lines = [`$ ${command}`, ...text.trimEnd().split('\n')];
  const width = Math.ceil(Math.max(...lines.map((line) => line.length)) * COLUMN + 2 * MARGIN);
  const height = lines.length * LINE + BAR + MARGIN;
  const rows = lines.map((line, at) => row(line, BAR + (at + 0.8) * LINE));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(command)}">
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${['#f85149', '#d29922', '#3fb950'].map((fill, at) => `<circle cx="${20 + at * 18}" cy="18" r="5.5" fill="${fill}"/>`).join('')}
<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14" fill="#e6edf3">
${rows.filter((each) => each !== '').join('\n')}
</g>
</svg>
`;
}

/** Words stand in their columns whatever the width of a letter is. */
function row(line: string, y: number): string {
  const words = [...line.matchAll(/\S+(?: \S+)*/g)];
  return words
    .map(({ 0: word, index }) => {
      const x = (MARGIN + index * COLUMN).toFixed(1);
      const length = (word.length * COLUMN).toFixed(1);
      const mark = index === 0 ? COLOURS[word[0] ?? ''] : undefined;
      const rest =
        mark === undefined
          ? escaped(word)
          : `<tspan fill="${mark}">${word[0]}</tspan>${escaped(word.slice(1))}`;
      const fill = fillOf(line, word);
      return `<text x="${x}" y="${y}" textLength="${length}"${fill}>${rest}</text>`;
    })
    .join('');
}

function fillOf(line: string, word: string): string {
  if (line.startsWith('$ ')) return ' fill="#79c0ff"';
  if (word.startsWith('→')) return ' fill="#a5d6ff"';
  return /^[A-Z][A-Z0-9/ ]+$/.test(line.trim()) ? ' fill="#8b949e"' : '';
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
