import { expect } from 'chai';
import { createVerifier } from '../../control-plane/identity/verifier.ts';
import { systemClock } from '../../shared/clock.ts';
import { silentLogger } from '../../shared/log.ts';
import { verifies } from '../requirements.ts';
import { codeOf, refusalOf, trusting, type VerifierUnderTest, verifierFor } from '../support/identity.ts';
import { type Algorithm, startIssuer, type TestIssuer } from '../support/issuer.ts';

describe('the identity of a caller', () => {
  let issuer: TestIssuer;
  let mesh: VerifierUnderTest;

  beforeEach(async () => {
    issuer = await startIssuer();
    mesh = verifierFor([trusting(issuer)]);
  });
  afterEach(() => issuer.stop());

  it('is complete: binding, scopes, audience, claims, actors, expiry and the bearer itself', async () => {
    const exp = Math.floor(Date.now() / 1000) + 100;
    const act = { sub: 'agent', act: { sub: 'orchestrator', iss: 'https://other.example' } };
    const token = issuer.token({
      sub: 'alice',
      aud: [issuer.audience, 'https://a.example'],
      scope: 'write read write',
      exp,
      claims: { act, groups: ['staff'] },
    });
    const caller = await mesh.verify(token);
    expect(caller).to.deep.include({
      kind: 'identified',
      binding: { issuer: issuer.url, subject: 'alice', tenant: '' },
      scopes: ['read', 'write'],
      audience: ['https://a.example', issuer.audience],
      actorChain: [
        { issuer: issuer.url, subject: 'agent' },
        { issuer: 'https://other.example', subject: 'orchestrator' },
      ],
      expiresAt: exp * 1000,
      token,
    });
    expect(caller.claims['groups']).to.deep.equal(['staff']);
  });

  it('cannot be changed by whoever holds it', async () => {
    const caller = await mesh.verify(issuer.token({ claims: { groups: ['staff'] } }));
    const groups = caller.claims['groups'] as string[];
    expect(() => groups.push('admin')).to.throw(TypeError);
    expect(() => Object.assign(caller, { token: 'other' })).to.throw(TypeError);
    expect(() => Object.assign(caller.binding, { subject: 'bob' })).to.throw(TypeError);
  });

  const algorithms: readonly Algorithm[] = ['ES256', 'RS256', 'EdDSA'];
  for (const algorithm of algorithms) {
    it(`is taken from a token signed with ${algorithm}`, async () => {
      await using other = await startIssuer({ algorithm });
      const { verify } = verifierFor([trusting(other)]);
      expect((await verify(other.token())).binding.issuer).to.equal(other.url);
    });
  }

  it('belongs to the issuer that signed, where several are trusted', async () => {
    await using second = await startIssuer();
    const both = verifierFor([trusting(issuer), trusting(second)]);
    const [first, other] = await Promise.all([both.verify(issuer.token()), both.verify(second.token())]);
    expect(first.bindingKey).to.not.equal(other.bindingKey);
    const borrowed = second.token({ claims: { iss: issuer.url } });
    expect(await codeOf(both.verify(borrowed))).to.equal(
      'unauthenticated ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
    );
  });

  it('has its tenant from the configured claim, and none without it', async () => {
    const { verify } = verifierFor([trusting(issuer, { tenantClaim: 'org' })]);
    expect((await verify(issuer.token({ claims: { org: 'acme' } }))).binding.tenant).to.equal('acme');
    expect(await codeOf(verify(issuer.token()))).to.equal('unauthenticated ERR_TOKEN_TENANT');
  });

  it('reads scopes from a string or an array', async () => {
    expect((await mesh.verify(issuer.token({ claims: { scp: ['b', 'a'] } }))).scopes).to.deep.equal([
      'a',
      'b',
    ]);
    expect((await mesh.verify(issuer.token({ claims: { scope: ['a'] } }))).scopes).to.deep.equal(['a']);
    expect(await codeOf(mesh.verify(issuer.token({ claims: { scope: [7] } })))).to.equal(
      'unauthenticated ERR_TOKEN_SCOPE',
    );
  });

  it('is not taken from a token that is older than allowed, or from the future', async () => {
    const { verify } = verifierFor([trusting(issuer, { maxTokenAgeMs: 60_000 })]);
    const now = Math.floor(Date.now() / 1000);
    await verify(issuer.token());
    expect(await codeOf(verify(issuer.token({ claims: { iat: now - 70 } })))).to.equal(
      'unauthenticated ERR_JWT_EXPIRED',
    );
    expect((await refusalOf(verify(issuer.token({ claims: { iat: now + 60 } })))).reason).to.equal(
      'unauthenticated',
    );
    expect((await refusalOf(verify(issuer.token({ claims: { iat: undefined } })))).reason).to.equal(
      'unauthenticated',
    );
  });

  it('takes a loopback URL for an audience in development alone', async () => {
    const aud = 'http://127.0.0.1:4280/mcp';
    const settings = trusting(issuer, { audiences: [aud] });
    expect((await refusalOf(verifierFor([settings]).verify(issuer.token({ aud })))).reason).to.equal(
      'unauthenticated',
    );
    const development = verifierFor([trusting(issuer)], { acceptLoopbackAudience: true });
    await development.verify(issuer.token({ aud }));
    await development.verify(issuer.token({ aud: 'http://localhost:9999/mcp' }));
    const elsewhere = issuer.token({ aud: 'http://127.0.0.1.evil.example/mcp' });
    expect((await refusalOf(development.verify(elsewhere))).reason).to.equal('unauthenticated');
  });

  it('has its keys found through the issuer’s metadata where no address is configured', async () => {
    const discovering = verifierFor([trusting(issuer, { jwksUri: undefined })]);
    await discovering.verify(issuer.token());
    expect(discovering.asked).to.deep.equal([
      `${issuer.url}/.well-known/openid-configuration`,
      issuer.jwksUri,
    ]);
  });

  it('needs settings that can be safe', () => {
    const create = (changed: Parameters<typeof trusting>[1]) => () =>
      createVerifier(
        {
          anonymous: false,
          issuers: [trusting(issuer, changed)],
          scopeImplies: {},
          acceptLoopbackAudience: false,
          verdictCacheMs: 60_000,
          clockToleranceMs: 5_000,
          proofs: { required: false, algorithms: ['ES256'] },
          tokenGraceMs: 30_000,
        },
        { clock: systemClock, log: silentLogger },
      );
    expect(create({ algorithms: ['HS256'] })).to.throw('asymmetric');
    expect(create({ algorithms: ['none'] })).to.throw('asymmetric');
    expect(create({ jwksUri: 'http://keys.example/jwks' })).to.throw('TLS');
  });
});

describe('verdicts about tokens', () => {
  let issuer: TestIssuer;

  beforeEach(async () => {
    issuer = await startIssuer();
  });
  afterEach(() => issuer.stop());

  it('are shared by all who show one token at once', async () => {
    const { verify, asked } = verifierFor([trusting(issuer)]);
    const token = issuer.token();
    const callers = await Promise.all(Array.from({ length: 50 }, () => verify(token)));
    expect(new Set(callers).size).to.equal(1);
    expect(asked).to.have.length(1);
    expect(await verify(token)).to.equal(callers[0]);
  });

  it('are made anew after a minute at most', async () => {
    const { verify, verifier, clock } = verifierFor([trusting(issuer)], { verdictCacheMs: 3_600_000 });
    const token = issuer.token();
    const caller = await verify(token);
    clock.forward(60_000);
    expect(verifier.current(caller)).to.equal(false);
    const again = await verify(token);
    expect(again).to.not.equal(caller);
    expect(again.contextDigest).to.equal(caller.contextDigest);
  });

  it('are kept for a refusal too, but not for an outage', async () => {
    const { verify, clock } = verifierFor([trusting(issuer)]);
    const early = issuer.token({ claims: { nbf: Math.floor(Date.now() / 1000) + 7 } });
    const refused = await refusalOf(verify(early));
    clock.forward(9_000);
    expect(await refusalOf(verify(early))).to.equal(refused);
    clock.forward(1_001);
    await verify(early);
  });

  it('are not current for an identity that comes from elsewhere', async () => {
    const { verify, verifier } = verifierFor([trusting(issuer)]);
    const other = verifierFor([trusting(issuer)]);
    const caller = await verify(issuer.token());
    expect(other.verifier.current(caller)).to.equal(false);
    expect(verifier.current({ ...caller })).to.equal(false);
  });

  it(
    verifies('RST-10')(
      'a refreshed token is the same principal in the same context; other scopes are another context',
    ),
    async () => {
      const { verify } = verifierFor([trusting(issuer)]);
      const first = await verify(issuer.token({ scope: 'a b' }));
      const refreshed = await verify(
        issuer.token({ scope: 'b a', exp: Math.floor(Date.now() / 1000) + 900, claims: { sid: 'other' } }),
      );
      expect(refreshed.token).to.not.equal(first.token);
      expect(refreshed.bindingKey).to.equal(first.bindingKey);
      expect(refreshed.contextDigest).to.equal(first.contextDigest);
      const wider = await verify(issuer.token({ scope: 'a b c' }));
      expect(wider.bindingKey).to.equal(first.bindingKey);
      expect(wider.contextDigest).to.not.equal(first.contextDigest);
    },
  );
});

describe('an anonymous caller', () => {
  it('is a kind of its own, where it is allowed', () => {
    const { verifier } = verifierFor([], { anonymous: true });
    const caller = verifier.anonymous('node-1');
    expect(caller).to.include({ kind: 'anonymous', node: 'node-1' });
    expect(caller).to.not.have.any.keys('token', 'binding', 'claims');
    expect(verifier.anonymous('node-2').bindingKey).to.equal(caller.bindingKey);
  });
});
