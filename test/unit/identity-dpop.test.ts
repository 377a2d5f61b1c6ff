import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { expect } from 'chai';
import { calculateJwkThumbprint } from 'jose';
import type { CallerIdentity } from '../../control-plane/identity/caller.ts';
import { type Note, type Proof, ProofChecker } from '../../control-plane/identity/dpop.ts';
import { normalUrl } from '../../control-plane/identity/normal-url.ts';
import { createVerifier } from '../../control-plane/identity/verifier.ts';
import { MemorySessionStore } from '../../control-plane/store/memory.ts';
import { MeshError } from '../../shared/errors.ts';
import { silentLogger } from '../../shared/log.ts';
import { verifies } from '../requirements.ts';
import { type ProofChanges, ProofKey } from '../support/dpop.ts';
import { codeOf, movableClock, refusalOf, trusting } from '../support/identity.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';

const URL_OF_MESH = 'http://127.0.0.1:4280/mcp';
const ALGORITHMS = ['ES256', 'EdDSA'];

describe('a proof of possession', () => {
  let issuer: TestIssuer;
  before(async () => {
    issuer = await startIssuer();
  });
  after(() => issuer.stop());

  const key = new ProofKey();
  const stranger = new ProofKey();

  async function scene(options: { readonly most?: number; readonly note?: Note } = {}) {
    const clock = movableClock();
    const store = new MemorySessionStore({ clock: () => clock.now() });
    const settings = {
      anonymous: false,
      issuers: [trusting(issuer)],
      scopeImplies: {},
      acceptLoopbackAudience: false,
      verdictCacheMs: 60_000,
      clockToleranceMs: 5_000,
      tokenGraceMs: 30_000,
      proofs: { required: false, algorithms: ALGORITHMS },
    };
    const note: Note = options.note ?? ((mark) => store.writeVault(mark));
    const verifier = createVerifier(settings, { clock, log: silentLogger, note });
    const exp = Math.floor(clock.now() / 1_000) + 600;
    const token = issuer.token({ exp, claims: key.cnf });
    const identity = await verifier.verify(`DPoP ${token}`);
    const replica = () =>
      new ProofChecker({
        ...{ clock, log: silentLogger, note, algorithms: ALGORITHMS, clockToleranceMs: 5_000 },
        ...(options.most === undefined ? {} : { most: options.most }),
      });
    const one = replica();
    const seconds = () => Math.floor(clock.now() / 1_000);
    const made = (changes: ProofChanges = {}, by = key) =>
      by.proof(
        { method: 'POST', url: URL_OF_MESH, token },
        { ...changes, claims: { iat: seconds(), ...changes.claims } },
      );
    const shown = (jwt: string, more: Partial<Proof> = {}): Proof => ({
      ...{ jwt, method: 'POST', urls: [URL_OF_MESH], request: '' },
      ...more,
    });
    const check = (proof: Proof | undefined, by = one) => by.check(identity, key.thumbprint, proof);
    return { clock, verifier, token, identity, replica, seconds, made, shown, check };
  }

  it(verifies('I16')('is good for the request that it was made for'), async () => {
    const { check, shown, made } = await scene();
    await check(shown(made()));
    await check(shown(made({ claims: { htm: 'DELETE' } }), { method: 'DELETE' }));
    await check(shown(made({ claims: { nonce: 'of another server', more: 1 } })));
  });

  const forged: readonly [string, string, ProofChanges][] = [
    ['for another method', 'ERR_PROOF_REQUEST', { claims: { htm: 'GET' } }],
    ['for a method in other letters', 'ERR_PROOF_REQUEST', { claims: { htm: 'post' } }],
    ['for no method', 'ERR_PROOF_REQUEST', { claims: { htm: undefined } }],
    ['for another path', 'ERR_PROOF_REQUEST', { claims: { htu: 'http://127.0.0.1:4280/mcp/' } }],
    ['for another host', 'ERR_PROOF_REQUEST', { claims: { htu: 'http://127.0.0.2:4280/mcp' } }],
    ['for another port', 'ERR_PROOF_REQUEST', { claims: { htu: 'http://127.0.0.1/mcp' } }],
    ['for another scheme', 'ERR_PROOF_REQUEST', { claims: { htu: 'https://127.0.0.1:4280/mcp' } }],
    ['for no URL', 'ERR_PROOF_REQUEST', { claims: { htu: undefined } }],
    ['for several URLs', 'ERR_PROOF_REQUEST', { claims: { htu: [URL_OF_MESH] } }],
    ['for another token', 'ERR_PROOF_TOKEN', { claims: { ath: 'x' } }],
    ['for no token', 'ERR_PROOF_TOKEN', { claims: { ath: undefined } }],
    ['without a name', 'ERR_PROOF_MALFORMED', { claims: { jti: undefined } }],
    ['with an empty name', 'ERR_PROOF_MALFORMED', { claims: { jti: '' } }],
    ['with a name that is no text', 'ERR_PROOF_MALFORMED', { claims: { jti: 7 } }],
    ['with an endless name', 'ERR_PROOF_MALFORMED', { claims: { jti: 'x'.repeat(257) } }],
    ['without a time', 'ERR_PROOF_TIME', { claims: { iat: undefined } }],
    ['with a time that is a text', 'ERR_PROOF_TIME', { claims: { iat: '1' } }],
    ['that has expired by itself', 'ERR_PROOF_TIME', { claims: { exp: 1 } }],
    ['of another type', 'ERR_JWT_CLAIM_VALIDATION_FAILED', { header: { typ: 'JWT' } }],
    ['of no type', 'ERR_JWT_CLAIM_VALIDATION_FAILED', { header: { typ: undefined } }],
    ['without a key', 'ERR_PROOF_KEY', { header: { jwk: undefined } }],
    ['of another key', 'ERR_PROOF_KEY', { header: { jwk: stranger.publicJwk } }],
    ['with a private key in it', 'ERR_JWS_INVALID', { header: { jwk: key.privateJwk } }],
    ['with what must be understood and is not', 'ERR_JOSE_NOT_SUPPORTED', { header: { crit: ['x'], x: 1 } }],
    ['without a signature', 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED', { signature: () => Buffer.alloc(64) }],
    ['that is not signed', 'ERR_JOSE_ALG_NOT_ALLOWED', { header: { alg: 'none' } }],
    [
      'signed with its public key as a secret',
      'ERR_JOSE_ALG_NOT_ALLOWED',
      {
        header: { alg: 'HS256' },
        signature: (input) => createHmac('sha256', JSON.stringify(key.publicJwk)).update(input).digest(),
      },
    ],
    ['in an algorithm that is not allowed', 'ERR_JOSE_ALG_NOT_ALLOWED', { header: { alg: 'ES384' } }],
  ];
  for (const [name, code, changes] of forged) {
    it(verifies('I16')(`${name} is refused, and noted nowhere`), async () => {
      const noted: string[] = [];
      const { check, shown, made } = await scene({ note: async ({ id }) => noted.push(id) > 0 });
      expect(await codeOf(check(shown(made(changes))))).to.equal(`invalid_dpop_proof ${code}`);
      expect(noted).to.deep.equal([]);
    });
  }

  it(verifies('I16')('is looked at no less where one with the same key was good before'), async () => {
    const { check, shown, made } = await scene();
    await check(shown(made()));
    for (const [name, code, changes] of forged)
      expect(await codeOf(check(shown(made(changes)))), name).to.equal(`invalid_dpop_proof ${code}`);
    expect(await codeOf(check(shown(made({}, stranger))))).to.equal('invalid_dpop_proof ERR_PROOF_KEY');
    await check(shown(made()));
  });

  it(verifies('I16')('of a stranger\u2019s key is refused, though it is whole in itself'), async () => {
    const { check, shown, made } = await scene();
    expect(await codeOf(check(shown(made({}, stranger))))).to.equal('invalid_dpop_proof ERR_PROOF_KEY');
  });

  it(verifies('I16')('that is missing, no JWT or too long is refused without any work'), async () => {
    const { check, shown, made } = await scene();
    for (const proof of [undefined, shown(''), shown('a.b'), shown('a.b.c'), shown(`${made()}.x`)])
      expect((await refusalOf(check(proof))).reason).to.equal('invalid_dpop_proof');
    const long = made({ claims: { padding: 'x'.repeat(8_192) } });
    expect(await codeOf(check(shown(long)))).to.equal('invalid_dpop_proof ERR_PROOF_MISSING');
  });

  it(verifies('I16')('is good for a minute, and five seconds of difference between clocks'), async () => {
    const { check, shown, made, seconds } = await scene();
    for (const age of [-5, 0, 60, 64]) await check(shown(made({ claims: { iat: seconds() - age } })));
    for (const age of [-7, 66, 600])
      expect(await codeOf(check(shown(made({ claims: { iat: seconds() - age } }))))).to.equal(
        'invalid_dpop_proof ERR_PROOF_TIME',
      );
  });

  it(verifies('I16')('counts once on all replicas, as long as any of them would take it'), async () => {
    const { check, shown, made, replica, clock, seconds } = await scene();
    const early = made({ claims: { iat: seconds() + 5 } });
    const [here, there] = [replica(), replica()];
    await check(shown(early), here);
    for (const by of [here, there]) {
      expect(await codeOf(check(shown(early), by))).to.equal('invalid_dpop_proof ERR_PROOF_REPLAYED');
    }
    clock.forward(69_000);
    expect(await codeOf(check(shown(early), there))).to.equal('invalid_dpop_proof ERR_PROOF_REPLAYED');
    clock.forward(2_000);
    expect(await codeOf(check(shown(early), there))).to.equal('invalid_dpop_proof ERR_PROOF_TIME');
  });

  it(verifies('I16')('counts once however many requests show it at once'), async () => {
    const { check, shown, made, replica } = await scene();
    const proof = made();
    const replicas = [replica(), replica(), replica()];
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, (_, at) => check(shown(proof), replicas[at % 3] ?? replica())),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).to.have.length(1);
  });

  it(verifies('I16')('is the same use when the sidecar sends the very request again'), async () => {
    const { check, shown, made, replica } = await scene();
    const proof = shown(made(), { request: 'name-of-one-request' });
    await check(proof);
    await check(proof, replica());
    const other = { ...proof, request: 'name-of-one-request-' };
    expect(await codeOf(check(other))).to.equal('invalid_dpop_proof ERR_PROOF_REPLAYED');
  });

  it('without a good name of its request is never the same use', async () => {
    const { check, shown, made } = await scene();
    for (const request of ['', 'short', 'not a name of a request']) {
      const proof = shown(made(), { request });
      await check(proof);
      expect(await codeOf(check(proof))).to.equal('invalid_dpop_proof ERR_PROOF_REPLAYED');
    }
  });

  it(verifies('I16')('under the same name is another one when another key made it'), async () => {
    const { check, shown, made, clock, verifier, replica } = await scene();
    await check(shown(made({ claims: { jti: 'the-same' } })));
    const exp = Math.floor(clock.now() / 1_000) + 600;
    const token = issuer.token({ sub: 'mallory', exp, claims: stranger.cnf });
    const mallory: CallerIdentity = await verifier.verify(`DPoP ${token}`);
    const iat = Math.floor(clock.now() / 1_000);
    const jwt = stranger.proof(
      { method: 'POST', url: URL_OF_MESH, token },
      { claims: { iat, jti: 'the-same' } },
    );
    await replica().check(mallory, stranger.thumbprint, shown(jwt));
  });

  it(verifies('I16')('is not taken while nobody can say whether it was used'), async () => {
    const away = new MeshError('store_unavailable', 'The store cannot be asked.');
    const { check, shown, made } = await scene({ note: () => Promise.reject(away) });
    expect((await refusalOf(check(shown(made())))).reason).to.equal('store_unavailable');
  });

  it('is one too many where a principal uses more than are remembered', async () => {
    const { check, shown, made, clock } = await scene({ most: 3 });
    for (let used = 0; used < 3; used += 1) await check(shown(made()));
    const refusal = await refusalOf(check(shown(made())));
    expect(refusal.reason).to.equal('rate_limited');
    expect(refusal.retryAfterMs).to.be.within(1, 120_000);
    clock.forward(refusal.retryAfterMs ?? 0);
    await check(shown(made()));
  });

  it('may be of any key that its algorithm has', async () => {
    const { clock, verifier, seconds, shown, replica } = await scene();
    const pair = generateKeyPairSync('ed25519');
    const jwk = pair.publicKey.export({ format: 'jwk' });
    const jkt = await calculateJwkThumbprint({ ...jwk, kty: 'OKP' });
    const exp = Math.floor(clock.now() / 1_000) + 600;
    const token = issuer.token({ exp, claims: { cnf: { jkt } } });
    const identity = await verifier.verify(`DPoP ${token}`);
    const jwt = key.proof(
      { method: 'POST', url: URL_OF_MESH, token },
      {
        header: { alg: 'EdDSA', jwk },
        claims: { iat: seconds() },
        signature: (input) => sign(null, Buffer.from(input), pair.privateKey),
      },
    );
    await replica().check(identity, jkt, shown(jwt));
  });

  describe('is asked for by the token', () => {
    it(verifies('I16')('a bound one needs the scheme DPoP, another one must not have it'), async () => {
      const { verifier, token, identity } = await scene();
      expect(identity.boundTo).to.equal(key.thumbprint);
      expect((await verifier.verify(`dpop ${token}`)).boundTo).to.equal(key.thumbprint);
      expect(await codeOf(verifier.verify(`Bearer ${token}`))).to.equal('invalid_dpop_proof ERR_TOKEN_BOUND');
      const plain = issuer.token();
      expect(await codeOf(verifier.verify(`DPoP ${plain}`))).to.equal('unauthenticated ERR_TOKEN_UNBOUND');
      const bearer = await verifier.verify(`Bearer ${plain}`);
      expect(bearer.boundTo).to.equal(undefined);
      await verifier.prove(bearer, undefined);
    });

    const others: Readonly<Record<string, unknown>> = {
      'to a certificate': { 'x5t#S256': key.thumbprint },
      'to a key and a certificate': { jkt: key.thumbprint, 'x5t#S256': key.thumbprint },
      'to what is no thumbprint': { jkt: `${key.thumbprint}=` },
      'to several keys': { jkt: [key.thumbprint] },
      'to a key that it holds': { jwk: key.publicJwk },
      'to nothing': {},
      'by null': null,
      'by a text': key.thumbprint,
    };
    for (const [name, cnf] of Object.entries(others)) {
      it(verifies('I16')(`one that is bound ${name} is refused whole`), async () => {
        const { verifier } = await scene();
        const token = issuer.token({ claims: { cnf } });
        for (const scheme of ['Bearer', 'DPoP'])
          expect(await codeOf(verifier.verify(`${scheme} ${token}`))).to.equal(
            'unauthenticated ERR_TOKEN_BOUND',
          );
      });
    }

    it(verifies('I16')('nobody who checks no proofs takes a bound one, whatever its scheme'), async () => {
      const { clock, token, identity } = await scene();
      const settings = {
        ...{ anonymous: false, issuers: [trusting(issuer)], scopeImplies: {}, acceptLoopbackAudience: false },
        ...{ verdictCacheMs: 60_000, clockToleranceMs: 5_000, tokenGraceMs: 30_000 },
        proofs: { required: true, algorithms: ALGORITHMS },
      };
      const verifier = createVerifier(settings, { clock, log: silentLogger });
      for (const scheme of ['Bearer', 'DPoP'])
        expect(await codeOf(verifier.verify(`${scheme} ${token}`))).to.equal(
          'unauthenticated ERR_TOKEN_BOUND',
        );
      expect(await codeOf(verifier.prove(identity, undefined))).to.equal('unauthenticated ERR_TOKEN_BOUND');
      expect((await verifier.verify(`Bearer ${issuer.token()}`)).binding.subject).to.equal('alice');
    });

    it('algorithms in which anybody could sign are no configuration', () => {
      const settings = {
        ...{ anonymous: true, issuers: [], scopeImplies: {}, acceptLoopbackAudience: false },
        ...{ verdictCacheMs: 60_000, clockToleranceMs: 5_000, tokenGraceMs: 30_000 },
        proofs: { required: false, algorithms: ['HS256'] },
      };
      const make = () => createVerifier(settings, { clock: movableClock(), log: silentLogger });
      expect(make).to.throw('HS256');
    });
  });
});

describe('the URL that a proof is for', () => {
  const same: readonly [string, string][] = [
    ['HTTP://LocalHost:4280/mcp', 'http://localhost:4280/mcp'],
    ['http://localhost:80/mcp', 'http://localhost/mcp'],
    ['https://mesh.example:443/mcp', 'https://mesh.example/mcp'],
    ['http://localhost:4280/a/../mcp', 'http://localhost:4280/mcp'],
    ['http://localhost:4280/%6dcp', 'http://localhost:4280/mcp'],
    ['http://localhost:4280/a%2fb', 'http://localhost:4280/a%2Fb'],
    ['http://localhost:4280/mcp?x=1#y', 'http://localhost:4280/mcp'],
    ['http://[::1]:4280/mcp', 'http://[0:0:0:0:0:0:0:1]:4280/mcp'],
    ['https://mesh.example', 'https://mesh.example/'],
  ];
  for (const [written, normal] of same) {
    it(`${written} is ${normal}`, () => {
      expect(normalUrl(written)).to.equal(normalUrl(normal));
    });
  }

  for (const text of [
    '',
    '/mcp',
    'ftp://a/mcp',
    'http://alice@a/mcp',
    'http://a:b@a/mcp',
    `http://a/${'x'.repeat(2_048)}`,
  ])
    it(`${text.slice(0, 30) || 'nothing'} is none`, () => expect(normalUrl(text)).to.equal(undefined));

  it('keeps what is another resource apart', () => {
    const urls = [
      'http://a/mcp',
      'https://a/mcp',
      'http://a:81/mcp',
      'http://a/mcp/',
      'http://a/MCP',
      'http://a/m%2Fcp',
    ];
    expect(new Set(urls.map(normalUrl)).size).to.equal(urls.length);
  });
});
