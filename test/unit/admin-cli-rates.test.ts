import { expect } from 'chai';
import { ratesBetween } from '../../control-plane/cli/admin/rates.ts';
import type { Row } from '../../control-plane/cli/admin/values.ts';
import { verifies } from '../requirements.ts';

/** Calls of one backend: how many took at most 1 ms, 10 ms, 100 ms, and how many there were in all. */
function calls(backend: string, [ms1, ms10, ms100, all]: readonly number[], failures = 0): Row {
  return {
    backend,
    calls: all ?? 0,
    failures,
    latency: [
      { within: '0.001s', calls: ms1 ?? 0 },
      { within: '0.01s', calls: ms10 ?? 0 },
      { within: '0.1s', calls: ms100 ?? 0 },
    ],
  };
}

function stats(...replicas: readonly Row[]): Row {
  return { replicas };
}

function replica(name: string, more: Row): Row {
  return {
    replica: name,
    uptime: '10s',
    cpuTime: '1s',
    loopDelay: '0.012s',
    sessions: 2,
    busySessions: 1,
    sidecars: 1,
    exchanges: 3,
    residentBytes: 1_048_576,
    restores: 1,
    failedRestores: 0,
    backendCalls: [],
    ...more,
  };
}

describe('what outrigger top makes of counts', () => {
  it(verifies('ADM-1')('is what happened between two looks, by replica and by backend'), () => {
    const before = stats(
      replica('a', { backendCalls: [calls('x', [0, 10, 10, 10])] }),
      replica('b', { uptime: '5s' }),
    );
    const after = stats(
      replica('a', {
        uptime: '12s',
        cpuTime: '2s',
        backendCalls: [calls('x', [0, 20, 20, 20], 1), calls('y', [4, 4, 4, 4])],
      }),
      replica('b', { uptime: '7s', backendCalls: [calls('x', [0, 0, 10, 10])] }),
    );
    const { total, replicas, backends } = ratesBetween(before, after, 2);
    expect(replicas.map((each) => each.callsPerSecond)).to.deep.equal([7, 5]);
    expect(replicas[0]).to.include({
      replica: 'a',
      cpu: 0.5,
      loopDelayMs: 12,
      busySessions: 1,
      failuresPerSecond: 0.5,
    });
    expect(backends.map(({ backend, callsPerSecond }) => [backend, callsPerSecond])).to.deep.equal([
      ['x', 10],
      ['y', 2],
    ]);
    expect(backends[0]).to.include({ p50Ms: 10 });
    expect(backends[0]?.p99Ms).to.be.closeTo(98.2, 0.01);
    expect(total).to.include({ sessions: 4, exchanges: 6, restores: 2, callsPerSecond: 12 });
  });

  it(verifies('ADM-1')('begins at nothing where a replica is new, or started anew'), () => {
    const before = stats(
      replica('a', { uptime: '900s', cpuTime: '90s', backendCalls: [calls('x', [50, 50, 50, 50])] }),
    );
    const after = stats(
      replica('a', { uptime: '1s', cpuTime: '0.5s', backendCalls: [calls('x', [4, 4, 4, 4])] }),
      replica('b', { uptime: '1s', backendCalls: [calls('x', [2, 2, 2, 2])] }),
    );
    const { replicas } = ratesBetween(before, after, 1);
    expect(replicas.map((each) => each.callsPerSecond)).to.deep.equal([4, 2]);
    expect(replicas[0]?.cpu).to.equal(0.5);
  });

  it(
    verifies('ADM-1')('has no latency where there are no calls, nor for those beyond the last bound'),
    () => {
      const quiet = ratesBetween(stats(replica('a', {})), stats(replica('a', {})), 1);
      expect(quiet.total).to.include({ callsPerSecond: 0, p50Ms: null, p99Ms: null });
      const slow = stats(replica('a', { backendCalls: [calls('x', [9, 9, 9, 10])] }));
      const { total } = ratesBetween(stats(replica('a', {})), slow, 1);
      expect(total.p50Ms).to.be.closeTo(0.56, 0.01);
      expect(total.p99Ms).to.equal(null);
    },
  );
});
