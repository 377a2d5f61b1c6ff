import { stringify } from 'yaml';
import type { Finding } from '../../shared/findings.ts';
import { redact } from '../../shared/redact.ts';
import { clean, fold, padded } from '../cli/admin/text.ts';
import type { Output } from './command-line.ts';

export interface RenderOptions {
  readonly output: Output;
  /** Columns; undefined: nobody's terminal, nothing is folded. */
  readonly width: number | undefined;
  readonly colour: boolean;
}

const MARKS = {
  ok: { mark: '\u2713', colour: '32' },
  warning: { mark: '!', colour: '33' },
  failed: { mark: '\u2717', colour: '31' },
  skipped: { mark: '-', colour: '2' },
} as const;

/** What was found, for people or for programs. */
export function render(findings: readonly Finding[], options: RenderOptions): string {
  const said = findings.map((each) => ({ ...each, of: redact(each.of), detail: redact(each.detail) }));
  const counts = countsOf(said);
  const report = { passed: counts.failed === 0, counts, findings: said };
  if (options.output === 'json') return `${JSON.stringify(report, undefined, 2)}\n`;
  if (options.output === 'yaml') return stringify(report);
  const width = Math.max(0, ...said.map(({ check }) => check.length));
  const lines = said.flatMap((each) => linesOf(each, { ...options, indent: width + 4 }));
  return `${[...lines, '', summary(said, counts)].join('\n')}\n`;
}

function linesOf(
  { check, of, status, detail, remedy }: Finding,
  { width, colour, indent }: RenderOptions & { readonly indent: number },
): string[] {
  const { mark, colour: code } = MARKS[status];
  const shown = colour ? `\u001b[${code}m${mark}\u001b[0m` : mark;
  const margin = ' '.repeat(indent);
  const [first = '', ...rest] = fold(
    clean(`${of}: ${detail}`),
    width === undefined ? undefined : width - indent,
  );
  const advice =
    remedy === undefined ? [] : fold(clean(remedy), width === undefined ? undefined : width - indent - 2);
  return [
    `${shown} ${padded(check, indent - 2)}${first}`,
    ...rest.map((line) => `${margin}${line}`),
    ...advice.map((line, at) => `${margin}${at === 0 ? '\u2192 ' : '  '}${line}`),
  ];
}

type Counts = Record<Finding['status'], number>;

function countsOf(findings: readonly Finding[]): Counts {
  const counts: Counts = { ok: 0, warning: 0, failed: 0, skipped: 0 };
  for (const { status } of findings) counts[status] += 1;
  return counts;
}

function summary(findings: readonly Finding[], { ok, warning, failed, skipped }: Counts): string {
  const parts = [
    `${findings.length} looked at: ${ok} good`,
    ...(failed === 0 ? [] : [`${failed} failed`]),
    ...(warning === 0 ? [] : [`${warning} to keep an eye on`]),
    ...(skipped === 0 ? [] : [`${skipped} left out`]),
  ];
  return `${parts.join(', ')}.`;
}
