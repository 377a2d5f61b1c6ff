import { expect } from 'chai';
import { Durations } from '../../shared/durations.ts';

describe('durations', () => {
  it('are a Prometheus histogram: cumulative buckets, sum and count, by label', () => {
    const durations = new Durations({
      name: 'outrigger_it_seconds',
      help: 'How long it took.',
      labels: ['kind'],
      bounds: [0.5, 2],
    });
    for (const seconds of [0.25, 0.5, 1, 4]) durations.of({ kind: 'a' }).observe(seconds);
    expect(durations.render().trimEnd().split('\n')).to.deep.equal([
      '# HELP outrigger_it_seconds How long it took.',
      '# TYPE outrigger_it_seconds histogram',
      'outrigger_it_seconds_bucket{kind="a",le="0.5"} 2',
      'outrigger_it_seconds_bucket{kind="a",le="2"} 3',
      'outrigger_it_seconds_bucket{kind="a",le="+Inf"} 4',
      'outrigger_it_seconds_sum{kind="a"} 5.75',
      'outrigger_it_seconds_count{kind="a"} 4',
    ]);
  });

  it('keep one set of counts for the same labels, and none of those that never were', () => {
    const durations = new Durations({ name: 'outrigger_it_seconds', help: 'It.', labels: ['kind'] });
    expect(durations.of({ kind: 'a' })).to.equal(durations.of({ kind: 'a' }));
    expect(durations.render()).to.not.contain('kind="b"');
  });

  it('write what a label must not hold as it is', () => {
    const durations = new Durations({ name: 'outrigger_it_seconds', help: 'It.', labels: ['kind'] });
    durations.of({ kind: 'a"b\\c\nd' });
    expect(durations.render()).to.contain('outrigger_it_seconds_count{kind="a\\"b\\\\c\\nd"} 0');
  });

  it('without labels are one', () => {
    const durations = new Durations({ name: 'outrigger_it_seconds', help: 'It.', bounds: [1] });
    durations.of({}).observe(0.5);
    expect(durations.render()).to.contain('outrigger_it_seconds_bucket{le="1"} 1\n');
    expect(durations.render()).to.contain('outrigger_it_seconds_count 1\n');
  });
});
