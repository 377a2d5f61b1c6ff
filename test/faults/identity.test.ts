import { createHmac } from 'node:crypto';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { codeOf, refusalOf, trusting, type VerifierUnderTest, verifierFor } from '../support/identity.ts';
import { type Outage, startIssuer, type TestIssuer } from '../support/issuer.ts';

describe('identity under bad tokens and bad issuers', () => {
  let issuer: TestIssuer;
  let mesh: VerifierUnderTest;

  beforeEach(async () => {
    issuer = await startIssuer();
    mesh = verifierFor([trusting(issuer)]);
  });
  afterEach(() => issuer.stop());

  const seconds = (fromNow: number) => Math.floor(Date.now() / 1000) + fromNow;
  const INVALID = 'unauthenticated ERR_JWT_CLAIM_VALIDATION_FAILED';

  it(verifies('I1')('anything but exactly one bearer token is refused'), async () => {
    const token = issuer.token();
    for (const header of ['', 'Bearer', 'Bearer ', 'Basic YTpi', token, `Bearer ${token} ${token}`]) {
      expect((await refusalOf(mesh.verifier.verify(header))).reason, header.slice(0, 12)).to.equal(
        'unauthenticated',
      );
    }
    for (const header of [
      `Bearer ${token}, Bearer ${token}`,
      `Bearer ${token},`,
      `Bearer ${token}\n`,
      ` Bearer ${token}`,
    ]) {
      expect((await refusalOf(mesh.verifier.verify(header))).reason).to.equal('unauthenticated');
    }
    expect(() => mesh.verifier.anonymous('node'))
      .to.throw()
      .with.property('reason', 'unauthenticated');
    expect(issuer.fetches.keys).to.equal(0);
    expect((await mesh.verifier.verify(`bearer ${token}`)).binding.subject).to.equal('alice');
  });

  it(verifies('I2')('a token counts within its times, with five seconds of tolerance'), async () => {
    expect(await codeOf(mesh.verify(issuer.token({ exp: seconds(-7) })))).to.equal(
      'unauthenticated ERR_JWT_EXPIRED',
    );
    expect(await codeOf(mesh.verify(issuer.token({ claims: { nbf: seconds(60) } })))).to.equal(INVALID);
    await mesh.verify(issuer.token({ exp: seconds(-2), claims: { nbf: seconds(2) } }));
  });

  it(
    verifies('I3')('a token for another audience, of another issuer or without its claims is refused'),
    async () => {
      expect(await codeOf(mesh.verify(issuer.token({ aud: 'https://other.example' })))).to.equal(INVALID);
      expect(await codeOf(mesh.verify(issuer.token({ claims: { aud: undefined } })))).to.equal(INVALID);
      expect(await codeOf(mesh.verify(issuer.token({ claims: { iss: 'https://other.example' } })))).to.equal(
        'unauthenticated ERR_TOKEN_ISSUER',
      );
      expect(await codeOf(mesh.verify(issuer.token({ claims: { sub: undefined } })))).to.equal(INVALID);
      expect(await codeOf(mesh.verify(issuer.token({ claims: { exp: undefined } })))).to.equal(INVALID);
      expect(await codeOf(mesh.verify(issuer.token({ exp: String(seconds(60)) })))).to.equal(INVALID);
    },
  );

  it(
    verifies('I4')(
      'no signature, a confused algorithm, an unknown extension or a forged signature is refused',
    ),
    async () => {
      const unsigned = issuer.token({ header: { alg: 'none' }, signature: () => Buffer.alloc(0) });
      expect(await codeOf(mesh.verify(unsigned))).to.equal('unauthenticated ERR_JOSE_ALG_NOT_ALLOWED');
      const publicKey = JSON.stringify(issuer.publicJwk);
      const confused = issuer.token({
        header: { alg: 'HS256' },
        signature: (input) => createHmac('sha256', publicKey).update(input).digest(),
      });
      expect(await codeOf(mesh.verify(confused))).to.equal('unauthenticated ERR_JOSE_ALG_NOT_ALLOWED');
      const critical = issuer.token({ header: { crit: ['later'], later: true } });
      expect(await codeOf(mesh.verify(critical))).to.equal('unauthenticated ERR_JOSE_NOT_SUPPORTED');
      const forged = issuer.token({ signature: () => Buffer.alloc(64, 1) });
      expect(await codeOf(mesh.verify(forged))).to.equal(
        'unauthenticated ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
      );
    },
  );

  it(
    verifies('I4')('an algorithm that the issuer may not use is refused, though its key is published'),
    async () => {
      const strict = verifierFor([trusting(issuer, { algorithms: ['RS256'] })]);
      expect(await codeOf(strict.verify(issuer.token()))).to.equal(
        'unauthenticated ERR_JOSE_ALG_NOT_ALLOWED',
      );
    },
  );

  it(verifies('I5')('an ID token is no access token where the type is configured'), async () => {
    const typed = verifierFor([trusting(issuer, { typ: 'at+jwt' })]);
    expect(await codeOf(typed.verify(issuer.token({ header: { typ: 'JWT' } })))).to.equal(INVALID);
    expect(await codeOf(typed.verify(issuer.token({ header: { typ: undefined } })))).to.equal(INVALID);
    await typed.verify(issuer.token());
    await typed.verify(issuer.token({ header: { typ: 'application/at+jwt' } }));
  });

  it(
    verifies('I7')('an oversized token, ten thousand claims and an encrypted token cost nothing'),
    async () => {
      const claims = Object.fromEntries(
        Array.from({ length: 10_000 }, (_, index) => [`claim-${index}`, index]),
      );
      const encrypted = 'eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA';
      for (const token of ['a'.repeat(1_000_000), issuer.token({ claims }), encrypted]) {
        expect((await refusalOf(mesh.verify(token))).reason).to.equal('unauthenticated');
      }
      expect(issuer.fetches.keys).to.equal(0);
    },
  );

  it(verifies('I8')('a flood of unknown key ids fetches the keys once a cooldown'), async () => {
    await mesh.verify(issuer.token());
    const flood = (from: number) =>
      Promise.all(
        Array.from({ length: 200 }, (_, index) =>
          codeOf(mesh.verify(issuer.token({ header: { kid: `unknown-${from + index}` } }))),
        ),
      );
    expect(new Set(await flood(0))).to.deep.equal(new Set(['unauthenticated ERR_JWKS_NO_MATCHING_KEY']));
    expect(issuer.fetches.keys).to.equal(1);
    mesh.clock.forward(30_000);
    await flood(200);
    expect(issuer.fetches.keys).to.equal(2);
  });

  it(verifies('I8')('known keys go on counting while the issuer is down and unknown ids knock'), async () => {
    await mesh.verify(issuer.token());
    issuer.outage('down');
    mesh.clock.forward(31_000);
    const unknown = issuer.token({ header: { kid: 'unknown' } });
    expect((await refusalOf(mesh.verify(unknown))).reason).to.equal('unavailable');
    expect((await mesh.verify(issuer.token({ sub: 'bob' }))).binding.subject).to.equal('bob');
    expect(issuer.fetches.keys).to.equal(2);
  });

  const outages: readonly Outage[] = ['down', 'slow', 'error', 'garbage', 'empty', 'redirect'];
  for (const kind of outages) {
    it(verifies('I9')(`keys are used until they are too old while the issuer is away: ${kind}`), async () => {
      mesh = verifierFor([trusting(issuer, { jwksTimeoutMs: 100 })]);
      await mesh.verify(issuer.token());
      issuer.outage(kind);
      mesh.clock.forward(30 * 60_000);
      await mesh.verify(issuer.token({ exp: seconds(7_200) }));
      mesh.clock.forward(31 * 60_000);
      const refused = await refusalOf(mesh.verify(issuer.token({ exp: seconds(7_200) })));
      expect(refused.reason).to.equal('unavailable');
      expect(refused.retryAfterMs).to.be.within(1_000, 30_000);
      expect(mesh.logged()).to.contain('the keys of an issuer could not be fetched');
      issuer.outage('none');
      mesh.clock.forward(1_000);
      await mesh.verify(issuer.token({ exp: seconds(7_200) }));
    });
  }

  it(
    verifies('I9')('without any key a token is neither good nor bad, and the next second tries again'),
    async () => {
      issuer.outage('down');
      const token = issuer.token();
      expect((await refusalOf(mesh.verify(token))).reason).to.equal('unavailable');
      expect((await refusalOf(mesh.verify(token))).reason).to.equal('unavailable');
      expect(issuer.fetches.keys).to.equal(1);
      issuer.outage('none');
      mesh.clock.forward(1_000);
      await mesh.verify(token);
    },
  );

  it(verifies('I9')('a rotated key is found, and a withdrawn one stops counting'), async () => {
    await mesh.verify(issuer.token());
    const underOldKey = issuer.token({ sub: 'bob' });
    mesh.clock.forward(30_000);
    issuer.rotate({ algorithm: 'EdDSA', withdraw: true });
    await mesh.verify(issuer.token());
    expect(await codeOf(mesh.verify(underOldKey))).to.equal('unauthenticated ERR_JWKS_NO_MATCHING_KEY');
  });

  it(verifies('I10')('keys that a token brings or points at are ignored'), async () => {
    await using attacker = await startIssuer();
    const header = {
      kid: 'evil',
      jku: attacker.jwksUri,
      x5u: `${attacker.url}/x5u`,
      jwk: attacker.publicJwk,
    };
    const token = attacker.token({ aud: issuer.audience, claims: { iss: issuer.url }, header });
    expect(await codeOf(mesh.verify(token))).to.equal('unauthenticated ERR_JWKS_NO_MATCHING_KEY');
    expect(mesh.asked).to.deep.equal([issuer.jwksUri]);
    expect(attacker.fetches).to.deep.equal({ keys: 0, metadata: 0 });
  });

  it(verifies('I11')('a cached token is still asked for its scopes at every use'), async () => {
    const scoped = verifierFor([trusting(issuer, { requiredScopes: ['mcp', 'tools'] })]);
    const token = issuer.token({ scope: 'mcp' });
    for (const _ of ['fresh', 'cached']) {
      const refused = await refusalOf(scoped.verify(token));
      expect(refused.reason).to.equal('insufficient_scope');
      expect(refused.scope).to.equal('mcp tools');
    }
    expect((await scoped.verify(issuer.token({ scope: 'tools mcp' }))).scopes).to.deep.equal([
      'mcp',
      'tools',
    ]);
  });

  it(
    verifies('I12')('a token that expires is refused at its next use, though its verdict is cached'),
    async () => {
      const token = issuer.token({ exp: seconds(20) });
      const caller = await mesh.verify(token);
      expect(mesh.verifier.current(caller)).to.equal(true);
      mesh.clock.forward(24_000);
      expect(mesh.verifier.current(caller)).to.equal(true);
      mesh.clock.forward(2_000);
      expect(mesh.verifier.current(caller)).to.equal(false);
      expect(await codeOf(mesh.verify(token))).to.equal('unauthenticated ERR_JWT_EXPIRED');
    },
  );

  it(verifies('I18')('a placeholder is no principal'), async () => {
    for (const sub of ['', ' ', 'anonymous', 'Anonymous', 'default-user']) {
      expect(await codeOf(mesh.verify(issuer.token({ sub })))).to.equal('unauthenticated ERR_TOKEN_SUBJECT');
    }
  });

  it('a token bound to a key or certificate is refused as a bearer', async () => {
    for (const cnf of [{ jkt: 'thumbprint' }, { 'x5t#S256': 'thumbprint' }]) {
      expect(await codeOf(mesh.verify(issuer.token({ claims: { cnf } })))).to.equal(
        'unauthenticated ERR_TOKEN_BOUND',
      );
    }
  });

  it('no part of a token is in an error or in the log', async () => {
    const tokens = [
      issuer.token({ exp: seconds(-60), claims: { secret: 'canary-claim' } }),
      issuer.token({ signature: () => Buffer.alloc(64, 7), claims: { secret: 'canary-claim' } }),
      issuer.token({ claims: { act: 'canary-claim' } }),
      `canary.${'x'.repeat(60)}.y`,
    ];
    for (const token of tokens) {
      const { message, stack, cause } = await refusalOf(mesh.verify(token));
      const causes = cause instanceof Error ? `${cause.message} ${cause.stack} ${JSON.stringify(cause)}` : '';
      const told = `${message} ${stack} ${causes} ${mesh.logged()}`;
      for (const part of [token, ...token.split('.'), 'canary']) {
        if (part.length > 1) expect(told.includes(part), `${part.slice(0, 8)}…`).to.equal(false);
      }
    }
    expect(mesh.logged()).to.contain('ERR_JWT_EXPIRED');
  });
});
