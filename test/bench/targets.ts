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
  TWO_BARE_HOPS,
} from './row-names.ts';
import type { Bound, Target } from './verdicts.ts';

/** What the mesh has to reach between client and backend: ratios within one run, so that they hold on any machine, and two absolute bounds of CPU. */
export const TARGETS: readonly Target<Results>[] = [
  aboveTheFloor({
    name: 'calls per second, 64 at once, against the bare proxy',
    bound: { atLeast: 0.6, goal: 0.9 },
    figure: (results, row) =>
      results.ratio({ row, to: BARE_PROXY, load: CALLS_64, metric: 'callsPerSecond' }),
  }),
  ...[MCP_PROXY, MCP_HUB].map((peer) => ({
    name: `calls per second, 64 at once, against ${peer}`,
    bound: { atLeast: 8, goal: 10 },
    figure: (results: Results) =>
      results.ratio({ row: OUTRIGGER, to: peer, load: CALLS_64, metric: 'callsPerSecond' }),
  })),
  aboveTheFloor({
    name: 'calls per second with 64 KiB answers, 64 at once, against the bare proxy',
    bound: { atLeast: 0.55 },
    figure: (results, row) =>
      results.ratio({ row, to: BARE_PROXY, load: LARGE_64, metric: 'callsPerSecond' }),
  }),
  aboveTheFloor({
    name: 'CPU of sidecar and replica, 64 at once, µs a call',
    bound: { atMost: 150 },
    figure: (results, row) => results.median({ row, load: CALLS_64, metric: 'cpuUsPerCall' }),
  }),
  aboveTheFloor({
    name: 'CPU of sidecar and replica, 64 at once, against the bare proxy',
    bound: { atMost: 2.7 },
    figure: (results, row) => results.ratio({ row, to: BARE_PROXY, load: CALLS_64, metric: 'cpuUsPerCall' }),
  }),
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
  aboveTheFloor({
    name: 'p50 added to a direct call, one at a time, against what the bare proxy adds',
    bound: { atMost: 2.5 },
    figure: (results, row) =>
      results.ratioAdded({ row, to: BARE_PROXY, base: DIRECT, load: CALLS_1, metric: 'p50Us' }),
  }),
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
];

interface OfRow {
  readonly name: string;
  readonly bound: Bound;
  figure(results: Results, row: string): number;
}

/** Of the mesh, beside the same figure of a sidecar and a replica that do nothing but carry. */
function aboveTheFloor({ name, bound, figure }: OfRow): Target<Results> {
  return {
    name,
    bound,
    figure: (results) => figure(results, OUTRIGGER),
    floor: { of: TWO_BARE_HOPS, figure: (results) => figure(results, TWO_BARE_HOPS) },
  };
}
