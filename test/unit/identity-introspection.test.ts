import { expect } from 'chai';
import type { IntrospectionSettings, IssuerSettings } from '../../control-plane/settings.ts';
import { verifies } from '../requirements.ts';
import { codeOf, refusalOf, trusting, type VerifierUnderTest, verifierFor } from '../support/identity.ts';
import { type IntrospectionEndpoint, type State, startIntrospection } from '../support/introspection.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';

const TOKEN = 'opaque-token-of-alice';
const AUDIENCE = 'https://mesh.example/mcp';

describe('a token that its issuer is asked about', () => {
  let issuer: TestIssuer;
  let endpoint: IntrospectionEndpoint;
  let mesh: VerifierUnderTest;

  beforeEach(async () => {
    issuer = await startIssuer();
    endpoint = await startIntrospection();
    mesh = verifierFor([asking()]);
    endpoint.say(TOKEN, active());
  });
  afterEach(async () => {
    await endpoint[Symbol.asyncDispose]();
    await issuer.stop();
  });

  function asking(changed: Partial<IntrospectionSettings> = {}): IssuerSettings {
    return trusting(issuer, {
      introspection: {
        endpoint: endpoint.endpoint,
        clientId: 'the mesh',
        clientSecret: 'its+secret',
        authentication: 'basic',
        tokens: 'opaque',
        tokenPrefix: '',
        timeoutMs: 1_000,
        ...changed,
      },
    });
  }

  function active(changed: Readonly<Record<string, unknown>> = {}) {
    const exp = Math.floor(mesh.clock.now() / 1_000) + 300;
    return {
      active: true,
      sub: 'alice',
      aud: AUDIENCE,
      exp,
      scope: 'read write',
      token_type: 'Bearer',
      ...changed,
    };
  }

  it('makes the same complete identity as a JWT would', async () => {
    const caller = await mesh.verify(TOKEN);
    expect(caller.binding).to.deep.equal({ issuer: issuer.url, subject: 'alice', tenant: '' });
    expect(caller.scopes).to.deep.equal(['read', 'write']);
    expect(caller.audience).to.deep.equal([AUDIENCE]);
    expect(caller.bindingKey).to.equal((await mesh.verify(issuer.token())).bindingKey);
    expect(caller.claims).not.to.have.any.keys('active', 'token_type');
  });

  it('is asked for under the mesh\u2019s own credential, in the way that is configured', async () => {
    await mesh.verify(TOKEN);
    const [basic] = endpoint.asked;
    expect(basic?.authorization).to.equal(`Basic ${btoa('the+mesh:its%2Bsecret')}`);
    expect(Object.fromEntries(basic?.form ?? [])).to.deep.equal({
      token: TOKEN,
      token_type_hint: 'access_token',
    });
    await verifierFor([asking({ authentication: 'post' })]).verify(TOKEN);
    const post = endpoint.asked.at(-1);
    expect(post?.authorization).to.equal(undefined);
    expect(post?.form.get('client_secret')).to.equal('its+secret');
  });

  it('is asked for where the metadata of the issuer says', async () => {
    const discovering = verifierFor([{ ...asking({ endpoint: undefined }), issuer: endpoint.issuer }]);
    expect((await discovering.verify(TOKEN)).binding.issuer).to.equal(endpoint.issuer);
  });

  it('is asked for once by all who show it at once, and again when the verdict has aged', async () => {
    await Promise.all(Array.from({ length: 20 }, () => mesh.verify(TOKEN)));
    await mesh.verify(TOKEN);
    expect(endpoint.asked).to.have.length(1);
    mesh.clock.forward(60_001);
    await mesh.verify(TOKEN);
    expect(endpoint.asked).to.have.length(2);
  });

  it(verifies('I2')('is never good beyond its expiry, to the second'), async () => {
    endpoint.say(TOKEN, active({ exp: Math.floor(mesh.clock.now() / 1_000) + 10 }));
    const caller = await mesh.verify(TOKEN);
    mesh.clock.forward(caller.expiresAt - mesh.clock.now() + 1);
    expect(mesh.verifier.current(caller)).to.equal(false);
    expect(await codeOf(mesh.verify(TOKEN))).to.equal('unauthenticated ERR_JWT_EXPIRED');
  });

  it(verifies('I12')('is refused when it was revoked, at the latest a minute later'), async () => {
    await mesh.verify(TOKEN);
    endpoint.say(TOKEN, { active: false });
    mesh.clock.forward(60_001);
    expect(await codeOf(mesh.verify(TOKEN))).to.equal('unauthenticated ERR_TOKEN_INACTIVE');
  });

  const incomplete: readonly [string, Readonly<Record<string, unknown>>][] = [
    ['without a subject', { sub: undefined }],
    ['for nobody in particular', { aud: undefined }],
    ['for somebody else', { aud: 'https://other.example' }],
    ['without an end', { exp: undefined }],
    ['with an end that is no number', { exp: '2099' }],
    ['of another issuer', { iss: 'https://other.example' }],
    ['not good yet', { nbf: 4_000_000_000 }],
    ['bound to a key', { cnf: { jkt: 'a' } }],
    ['of a type that needs a proof', { token_type: 'DPoP' }],
    ['of a placeholder', { sub: 'anonymous' }],
  ];
  for (const [name, changed] of incomplete) {
    it(verifies('I3', 'I18')(`is refused ${name}, although it is active`), async () => {
      endpoint.say(TOKEN, active(changed));
      expect((await refusalOf(mesh.verify(TOKEN))).reason).to.equal('unauthenticated');
    });
  }

  const states: readonly State[] = [
    'down',
    'slow',
    'error',
    'garbage',
    'huge',
    'rude',
    'inarticulate',
    'moved',
  ];
  for (const state of states) {
    it(verifies('I9')(`is not refused but unavailable while the endpoint is ${state}`), async () => {
      endpoint.become(state);
      const refusal = await refusalOf(mesh.verify(TOKEN));
      expect(refusal.reason).to.equal('unavailable');
      expect(refusal.retryAfterMs).to.be.at.least(1_000);
      expect(mesh.logged()).to.contain('could not be asked').and.not.contain(TOKEN);
      // Left alone for a second, then asked again.
      await refusalOf(mesh.verify('another-token'));
      expect(endpoint.asked).to.have.length(1);
      endpoint.become('well');
      mesh.clock.forward(1_001);
      expect((await mesh.verify(TOKEN)).binding.subject).to.equal('alice');
    });
  }

  it(verifies('I8')('cannot be made up so often that the issuer is flooded'), async () => {
    endpoint.become('slow');
    const made = Array.from({ length: 200 }, (_, at) => refusalOf(mesh.verify(`made-up-${at}`)));
    await Promise.all(made);
    expect(endpoint.asked.length).to.be.at.most(64);
  });

  it('is shown to the one issuer whose prefix it has, and to no other', async () => {
    await using other = await startIntrospection();
    const both = verifierFor([
      asking(),
      { ...asking({ endpoint: other.endpoint, tokenPrefix: 'other_' }), issuer: other.issuer },
    ]);
    other.say('other_1', active({ sub: 'bob' }));
    expect((await both.verify('other_1')).binding).to.include({ issuer: other.issuer, subject: 'bob' });
    expect((await both.verify(TOKEN)).binding).to.include({ issuer: issuer.url, subject: 'alice' });
    expect([endpoint.asked.length, other.asked.length]).to.deep.equal([1, 1]);
  });

  it('is malformed where no issuer is asked', async () => {
    const { verify, asked } = verifierFor([trusting(issuer)]);
    expect(await codeOf(verify(TOKEN))).to.equal('unauthenticated ERR_TOKEN_MALFORMED');
    expect(asked).to.deep.equal([]);
  });

  it('may be a JWT too, so that its revocation counts', async () => {
    const token = issuer.token();
    await mesh.verify(token);
    expect(endpoint.asked).to.have.length(0);
    const all = verifierFor([asking({ tokens: 'all' })]);
    expect(await codeOf(all.verify(token))).to.equal('unauthenticated ERR_TOKEN_INACTIVE');
    endpoint.say(token, active());
    all.clock.forward(60_001);
    endpoint.say(token, active({ exp: Math.floor(all.clock.now() / 1_000) + 300 }));
    expect((await all.verify(token)).binding.subject).to.equal('alice');
  });

  it('is asked for over TLS, or on this machine', () => {
    expect(() => verifierFor([asking({ endpoint: 'http://as.example/introspect' })])).to.throw('TLS');
  });
});
