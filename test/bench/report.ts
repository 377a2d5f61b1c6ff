import type { Results } from './results.ts';
import { BARE_PROXY } from './row-names.ts';
import { figure, table } from './table.ts';
import type { Verdict } from './verdicts.ts';

const HEADINGS = ['load', 'row', 'calls/s', 'of bare', 'p50 µs', 'p99 µs', 'CPU µs/call', 'RSS MiB'];

/** The medians of all rounds, for people. */
export function report(results: Results): string {
  const rows = measured(results).map(({ load, row }) => tableRow(results, load, row));
  return table([HEADINGS, ...rows], { texts: 2 });
}

/** What became of the targets, for people. */
export function reportVerdicts(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ outcome, target, floor, ...verdict }) => [
    outcome,
    target,
    figure(verdict.figure),
    verdict.bound,
    floor === undefined || Number.isNaN(floor.figure) ? '' : `${floor.of}: ${figure(floor.figure)}`,
  ]);
  return table([['verdict', 'target', 'measured', 'bound', 'floor'], ...rows], { texts: 2 });
}

/** The medians of all rounds, for programs. */
export function summary(results: Results) {
  return measured(results).map((of) => ({
    ...of,
    callsPerSecond: results.median({ ...of, metric: 'callsPerSecond' }),
    ofBareProxy: results.ratio({ ...of, to: BARE_PROXY, metric: 'callsPerSecond' }),
    p50Us: results.median({ ...of, metric: 'p50Us' }),
    p99Us: results.median({ ...of, metric: 'p99Us' }),
    cpuUsPerCall: results.median({ ...of, metric: 'cpuUsPerCall' }),
    rssBytes: results.median({ ...of, metric: 'rssBytes' }),
  }));
}

function measured(results: Results): { load: string; row: string }[] {
  return results.loads.flatMap((load) =>
    results.rows.filter((row) => results.has(row, load)).map((row) => ({ load, row })),
  );
}

function tableRow(results: Results, load: string, row: string): string[] {
  const of = { row, load };
  return [
    load,
    row,
    number(results.median({ ...of, metric: 'callsPerSecond' }), 0),
    number(results.ratio({ ...of, to: BARE_PROXY, metric: 'callsPerSecond' }), 2),
    number(results.median({ ...of, metric: 'p50Us' }), 0),
    number(results.median({ ...of, metric: 'p99Us' }), 0),
    number(results.median({ ...of, metric: 'cpuUsPerCall' }), 1),
    number(results.median({ ...of, metric: 'rssBytes' }) / 2 ** 20, 0),
  ];
}

function number(value: number, digits: number): string {
  return Number.isNaN(value) ? '-' : value.toFixed(digits);
}
