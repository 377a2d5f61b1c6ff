import { BESIDE, CALLS_1, CALLS_64, LARGE_64, LISTS_64 } from './loads.ts';
import type { Results } from './results.ts';
import {
  BAD_NEIGHBOUR,
  BARE_PROXY,
  DIRECT,
  GOOD_NEIGHBOUR,
  MCP_HUB,
  MCP_PROXY,
  OUTRIGGER,
  OUTRIGGER_REDIS,
  OUTRIGGER_SECURED,
  SIDECAR,
} from './row-names.ts';

/** What the mesh has to reach, as a figure that is read from results and a bound. */
export interface Target {
  readonly name: string;
  readonly bound: { readonly atLeast: number } | { readonly atMost: number };
  figure(results: Results): number;
}

/** How a target came out; `unmeasured` when a row or load it needs did not run. */
export interface Verdict {
  readonly target: string;
  readonly bound: string;
  readonly figure: number;
  readonly outcome: 'met' | 'missed' | 'unmeasured';
}

/** Ratios within one run, so that they hold on any machine; and two absolute bounds of CPU and memory. */
const TARGETS: readonly Target[] = [
  {
    name: 'calls per second, 64 at once, against the bare proxy',
    bound: { atLeast: 0.6 },
    figure: (results) =>
      results.ratio({ row: OUTRIGGER, to: BARE_PROXY, load: CALLS_64, metric: 'callsPerSecond' }),
  },
  ...[MCP_PROXY, MCP_HUB].map((peer) => ({
    name: `calls per second, 64 at once, against ${peer}`,
    bound: { atLeast: 8 },
    figure: (results: Results) =>
      results.ratio({ row: OUTRIGGER, to: peer, load: CALLS_64, metric: 'callsPerSecond' }),
  })),
  {
    name: 'calls per second with 64 KiB answers, 64 at once, against the bare proxy',
    bound: { atLeast: 0.55 },
    figure: (results) =>
      results.ratio({ row: OUTRIGGER, to: BARE_PROXY, load: LARGE_64, metric: 'callsPerSecond' }),
  },
  {
    name: 'CPU of sidecar and replica, 64 at once, µs a call',
    bound: { atMost: 150 },
    figure: (results) => results.median({ row: OUTRIGGER, load: CALLS_64, metric: 'cpuUsPerCall' }),
  },
  {
    name: 'CPU of sidecar and replica, 64 at once, against the bare proxy',
    bound: { atMost: 2.7 },
    figure: (results) =>
      results.ratio({ row: OUTRIGGER, to: BARE_PROXY, load: CALLS_64, metric: 'cpuUsPerCall' }),
  },
  {
    name: 'CPU that a JWT, policies and an exchanged token add, 64 at once, µs a call',
    bound: { atMost: 30 },
    figure: (results) =>
      results.difference({
        row: OUTRIGGER_SECURED,
        to: OUTRIGGER_REDIS,
        load: CALLS_64,
        metric: 'cpuUsPerCall',
      }),
  },
  {
    name: 'p50 added to a direct call, one at a time, against what the bare proxy adds',
    bound: { atMost: 2.5 },
    figure: (results) =>
      results.ratioAdded({
        row: OUTRIGGER,
        to: BARE_PROXY,
        base: DIRECT,
        load: CALLS_1,
        metric: 'p50Us',
      }),
  },
  {
    name: 'lists of 200 tools per second, 64 at once, against small calls through the bare proxy',
    bound: { atLeast: 0.8 },
    figure: (results) =>
      results.ratio({
        row: OUTRIGGER,
        to: BARE_PROXY,
        load: LISTS_64,
        toLoad: CALLS_64,
        metric: 'callsPerSecond',
      }),
  },
  {
    name: 'p99 of ten sessions beside a backend in trouble, against one that is well',
    bound: { atMost: 1.5 },
    figure: (results) =>
      results.ratio({
        row: BAD_NEIGHBOUR,
        to: GOOD_NEIGHBOUR,
        load: BESIDE,
        metric: 'p99Us',
      }),
  },
  {
    name: 'resident set of the idle sidecar, MiB',
    bound: { atMost: 64 },
    figure: (results) => results.idleRss(OUTRIGGER, SIDECAR) / 2 ** 20,
  },
];

/** Judges results by targets. */
export function judge(results: Results, targets: readonly Target[] = TARGETS): Verdict[] {
  return targets.map((target) => {
    const figure = target.figure(results);
    const [bound, met] =
      'atLeast' in target.bound
        ? [`>= ${target.bound.atLeast}`, figure >= target.bound.atLeast]
        : [`<= ${target.bound.atMost}`, figure <= target.bound.atMost];
    const outcome = Number.isNaN(figure) ? 'unmeasured' : met ? 'met' : 'missed';
    return { target: target.name, bound, figure, outcome };
  });
}
