import { expect } from 'chai';
import { createStrategy } from '../../control-plane/credentials/create.ts';
import type { Caller } from '../../control-plane/identity/caller.ts';
import { trusting, verifierFor } from '../support/identity.ts';
import { startIssuer } from '../support/issuer.ts';
import { strategyEnvironment } from '../support/strategies.ts';

describe('static credentials for backends', () => {
  const callers: Caller[] = [];

  before(async () => {
    await using issuer = await startIssuer();
    const { verify, verifier } = verifierFor([trusting(issuer)], { anonymous: true });
    callers.push(await verify(issuer.token()), verifier.anonymous('node'));
  });

  const ask = (caller: Caller) => ({ caller, backend: 'files', signal: AbortSignal.timeout(1_000) });

  it('none: every caller brings nothing, and never its own token', async () => {
    const strategy = createStrategy({ strategy: 'none' }, strategyEnvironment());
    for (const caller of callers) expect(await strategy.obtain(ask(caller))).to.deep.equal({});
  });

  it('header: every caller brings the configured header, and nobody can change it for others', async () => {
    const strategy = createStrategy(
      { strategy: 'header', name: 'X-Api-Key', value: 'k1' },
      strategyEnvironment(),
    );
    for (const caller of callers) {
      const headers = await strategy.obtain(ask(caller));
      expect(headers).to.deep.equal({ 'x-api-key': 'k1' });
      expect(() => Object.assign(headers, { 'x-api-key': 'k2' })).to.throw(TypeError);
    }
  });
});
