import { expect } from 'chai';
import { History, readCounts } from '../../control-plane/ops/history.ts';
import { createMetrics, type Metrics } from '../../control-plane/ops/metrics.ts';
import { VirtualClock } from '../interleavings/virtual-clock.ts';
import { verifies } from '../requirements.ts';

const PERIOD_MS = 5_000;

describe('what a replica remembers of the last quarter of an hour', () => {
  let clock: VirtualClock;
  let metrics: Metrics;
  let history: History;

  beforeEach(async () => {
    clock = new VirtualClock(1_000_000);
    metrics = createMetrics();
    history = new History({ read: () => readCounts(metrics), clock });
    await counted();
  });
  afterEach(() => history.stop());

  /** The metrics answer in a turn of their own. */
  function counted(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  async function period(): Promise<void> {
    clock.advance(PERIOD_MS);
    await counted();
  }

  it(verifies('ADM-1')('is what happened between two looks, and not before the first'), async () => {
    metrics.backendCalls.of({ backend: 'files', outcome: 'ok' }).observe(0.004);
    metrics.restores.observe({ result: 'ok' }, 1);
    await period();
    for (const seconds of [0.003, 0.003, 0.2])
      metrics.backendCalls.of({ backend: 'files', outcome: 'ok' }).observe(seconds);
    metrics.backendCalls.of({ backend: 'notes', outcome: 'backend_timeout' }).observe(61);
    metrics.restores.observe({ result: 'unavailable' }, 1);
    metrics.restores.observe({ result: 'not_found' }, 1);
    metrics.bindingMismatches.inc(2);
    await period();
    await period();

    const [first, second, third] = history.since(0);
    expect(first).to.deep.include({ at: 1_005_000, periodMs: 5_000, calls: 1, failures: 0, restores: 1 });
    expect(second).to.deep.include({ calls: 4, failures: 1, restores: 0, failedRestores: 1, mismatches: 2 });
    expect(second?.medianMs).to.equal(5);
    expect(second?.p95Ms).to.equal(60_000);
    expect(third).to.deep.include({
      at: 1_015_000,
      calls: 0,
      failures: 0,
      medianMs: 0,
      p95Ms: 0,
      mismatches: 0,
    });
    expect(history.since(1_010_000)).to.deep.equal([third]);
  });

  it(verifies('ADM-1')('is bounded, and the oldest goes first'), async () => {
    for (let count = 0; count < 185; count += 1) await period();
    const samples = history.since(0);
    expect(samples).to.have.length(180);
    expect(samples[0]?.at).to.equal(1_000_000 + 6 * PERIOD_MS);
  });

  it(verifies('ADM-1')('makes one period of those that could not be counted'), async () => {
    let broken = false;
    const read = () => (broken ? Promise.reject(new Error('no')) : readCounts(metrics));
    const other = new History({ read, clock });
    await counted();
    broken = true;
    metrics.bindingMismatches.inc();
    await period();
    broken = false;
    await period();
    expect(other.since(0)).to.have.length(1);
    expect(other.since(0)[0]).to.include({ periodMs: 10_000, mismatches: 1 });
    other.stop();
    await period();
    expect(other.since(0)).to.have.length(1);
  });
});
