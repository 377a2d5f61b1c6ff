import { expect } from 'chai';
import { readable, toPlain } from '../../control-plane/cli/admin/values.ts';
import { verifies } from '../requirements.ts';

const duration = (seconds: number, nanos: number) => toPlain({ seconds, nanos }, 'cpuTime');

describe('durations on the command line', () => {
  it(verifies('ADM-1')('are exact for programs'), () => {
    expect(duration(1, 144_256_000)).to.equal('1.144256s');
    expect(duration(0, 11_739_135)).to.equal('0.011739135s');
    expect(duration(90, 0)).to.equal('90s');
  });

  it(verifies('ADM-1')('are short for people'), () => {
    expect(
      ['0.011739135s', '0.9996s', '1.1442560000000002s', '59.96s', '600.5s', '7300s'].map(readable),
    ).to.deep.equal(['12ms', '1.0s', '1.1s', '60.0s', '10m', '2h']);
    expect(readable(undefined)).to.equal('');
  });
});
