/** A table in Markdown, with columns that stand under each other for who reads it as it is. The first row is its heading; figures begin after the `texts` first columns. */
export function table(rows: readonly (readonly string[])[], { texts }: { texts: number }): string {
  const [heading = []] = rows;
  const widths = heading.map((_, column) => Math.max(3, ...rows.map((row) => (row[column] ?? '').length)));
  const [head = '', ...lines] = rows.map((row) => {
    const cells = widths.map((width, column) => {
      const cell = row[column] ?? '';
      return column < texts ? cell.padEnd(width) : cell.padStart(width);
    });
    return `| ${cells.join(' | ')} |`;
  });
  const rule = widths.map(
    (width, column) => `${'-'.repeat(column < texts ? width + 2 : width + 1)}${column < texts ? '' : ':'}`,
  );
  return [head, `|${rule.join('|')}|`, ...lines].join('\n');
}

/** With as many digits as tell something; `-` for what is not there. */
export function figure(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '-';
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
