import type { Overview } from '../wire.ts';
import { Chart } from './chart.ts';
import { element, fill } from './dom.ts';
import { latency, number } from './format.ts';
import { Samples, type Slot, sum } from './series.ts';

const CHARTS = [
  new Chart({
    title: 'Calls of backends a second',
    format: number,
    lines: [
      { name: 'all', look: 'first', read: ({ calls }) => calls },
      { name: 'failed', look: 'alarm', read: ({ failures }) => failures },
    ],
    summary: (slots) => {
      const highest = Math.max(0, ...slots.map(({ calls = 0 }) => calls));
      return highest === 0
        ? 'No calls in the last 15 minutes.'
        : `Now ${number(latest(slots).calls ?? 0)}, at most ${number(highest)}; ${percentFailed(slots)} failed.`;
    },
  }),
  new Chart({
    title: 'Latency of these calls, at the slowest replica',
    format: latency,
    lines: [
      { name: 'p95', look: 'second', read: ({ p95 }) => p95 },
      { name: 'median', look: 'first', read: ({ median }) => median },
    ],
    summary: (slots) => {
      const busy = slots.findLast(({ p95 }) => p95 !== undefined);
      if (busy === undefined) return 'No calls in the last 15 minutes.';
      const worst = Math.max(...slots.map(({ p95 }) => p95 ?? 0));
      const median = latency(busy.median ?? 0);
      return `Lately median ${median}, p95 ${latency(busy.p95 ?? 0)}; the worst p95 was ${latency(worst)}.`;
    },
  }),
  new Chart({
    title: 'Sessions restored',
    format: number,
    bars: true,
    lines: [
      { name: 'restored', look: 'first', read: ({ restores }) => restores },
      { name: 'failed', look: 'alarm', read: ({ failedRestores }) => failedRestores },
    ],
    summary: (slots) => {
      const restored = sum(slots.map(({ restores }) => restores));
      const failed = sum(slots.map(({ failedRestores }) => failedRestores));
      if (restored + failed === 0) return 'None in the last 15 minutes.';
      return `${restored} in the last 15 minutes; ${failed} could not be.`;
    },
  }),
  new Chart({
    title: 'Requests for a session of somebody else',
    format: number,
    bars: true,
    lines: [{ name: 'refused', look: 'alarm', read: ({ mismatches }) => mismatches }],
    summary: (slots) => {
      const refused = sum(slots.map(({ mismatches }) => mismatches));
      return refused === 0
        ? 'None in the last 15 minutes.'
        : `${refused} in the last 15 minutes, all refused.`;
    },
  }),
];

/** Numbers of this moment, and the last quarter of an hour. */
export class Activity {
  readonly samples = new Samples();
  readonly #tiles: HTMLElement;

  constructor(tiles: HTMLElement, charts: HTMLElement) {
    this.#tiles = tiles;
    charts.append(...CHARTS.map(({ figure }) => figure));
  }

  show({ replicas, unreachable, stats, history, backends, now }: Overview): void {
    this.samples.add(history, now);
    const slots = this.samples.slots(now);
    for (const chart of CHARTS) chart.show(slots);
    const { calls, p95 } = latest(slots);
    const serving = replicas.filter(({ name, state }) => state === 'SERVING' && !unreachable.includes(name));
    const failing = backends.filter(({ replicas: told }) =>
      told.some(({ state }) => state !== 'HEALTHY' && state !== 'UNKNOWN'),
    );
    fill(
      this.#tiles,
      ...tile('Replicas serving', `${serving.length} of ${Math.max(replicas.length, serving.length)}`),
      ...tile('Live sessions', number(sum(stats.map(({ sessions }) => sessions)))),
      ...tile('Requests under way', number(sum(stats.map(({ exchanges }) => exchanges)))),
      ...tile('Calls a second', number(calls ?? 0)),
      ...tile('Latency, p95', p95 === undefined ? 'no calls' : latency(p95)),
      ...tile('Backends failing', `${failing.length} of ${backends.length}`),
    );
  }
}

function tile(name: string, value: string): HTMLElement[] {
  return [element('div', {}, element('dt', {}, name), element('dd', {}, value))];
}

const QUIET: Slot = {
  at: 0,
  calls: 0,
  failures: 0,
  median: undefined,
  p95: undefined,
  restores: 0,
  failedRestores: 0,
  mismatches: 0,
};

function latest(slots: readonly Slot[]): Slot {
  return slots.findLast(({ calls }) => calls !== undefined) ?? QUIET;
}

function percentFailed(slots: readonly Slot[]): string {
  const calls = sum(slots.map(({ calls = 0 }) => calls));
  const failures = sum(slots.map(({ failures = 0 }) => failures));
  if (failures === 0) return 'none';
  return `${number((100 * failures) / calls)} %`;
}
