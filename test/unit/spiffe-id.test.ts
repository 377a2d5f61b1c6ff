import { expect } from 'chai';
import { isSpiffeId, isSpiffePattern, matchesSpiffe, spiffeIdOf } from '../../shared/spiffe-id.ts';
import { verifies } from '../requirements.ts';

const AGENT = 'spiffe://mesh.example/ns/red/sa/agent';

describe('names of workloads', () => {
  it('an id has a trust domain in small letters and a path of plain segments', () => {
    for (const id of [AGENT, 'spiffe://mesh.example', 'spiffe://a_b-c.d/X.y-z_0'])
      expect(isSpiffeId(id)).to.equal(true);
    const none = [
      'spiffe://Mesh.example/a',
      'spiffe://mesh.example/',
      'spiffe://mesh.example//a',
      'spiffe://mesh.example/a/../b',
      'spiffe://mesh.example/.',
      'spiffe://mesh.example:8443/a',
      'spiffe://user@mesh.example/a',
      'spiffe://mesh.example/a?b',
      'spiffe://mesh.example/a%2fb',
      'https://mesh.example/a',
      `spiffe://mesh.example/${'a'.repeat(2_048)}`,
      '',
    ];
    for (const text of none) expect(isSpiffeId(text), text).to.equal(false);
  });

  it('a pattern stands for single segments, or for all that follow', () => {
    expect(isSpiffePattern('spiffe://mesh.example/ns/*/sa/agent')).to.equal(true);
    for (const text of ['spiffe://*/a', 'spiffe://mesh.example/a*', '*'])
      expect(isSpiffePattern(text)).to.equal(false);
    const matches = (pattern: string, id = AGENT) => matchesSpiffe(pattern, id);
    for (const pattern of [
      AGENT,
      'spiffe://mesh.example/ns/*/sa/agent',
      'spiffe://mesh.example/ns/red/*',
      'spiffe://mesh.example/*',
    ]) {
      expect(matches(pattern), pattern).to.equal(true);
    }
    for (const pattern of [
      'spiffe://mesh.example/ns/*/agent',
      'spiffe://mesh.example/ns/blue/*',
      'spiffe://mesh.example',
      `${AGENT}/*`,
      'spiffe://mesh.example.org/*',
    ]) {
      expect(matches(pattern), pattern).to.equal(false);
    }
    expect(
      matches('spiffe://mesh.example/ns/red/sa/*', 'spiffe://mesh.example/ns/red-two/sa/agent'),
    ).to.equal(false);
  });

  it(verifies('G10')('a certificate has exactly one, whatever else its names pretend'), () => {
    expect(spiffeIdOf(`DNS:localhost, URI:${AGENT}, IP Address:127.0.0.1`)).to.equal(AGENT);
    const none = [
      undefined,
      '',
      'DNS:localhost',
      `URI:${AGENT}, URI:spiffe://mesh.example/ns/blue/sa/agent`,
      `URI:${AGENT}, URI:https://mesh.example`,
      'URI:https://mesh.example/agent',
      // As Node writes a name with a comma in it (CVE-2021-44532).
      `DNS:"evil.example, URI:${AGENT}"`,
      `DNS:"evil.example, URI:${AGENT}, DNS:x"`,
      `DNS:"a\\", URI:${AGENT}, "`,
      `URI:"spiffe://mesh.example/a, URI:${AGENT}"`,
    ];
    for (const names of none) expect(spiffeIdOf(names), names).to.equal(undefined);
  });
});
