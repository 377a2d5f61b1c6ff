import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { decodeJwt } from 'jose';
import type {
  ClientSettings,
  CredentialSettings,
  ProviderSettings,
  TokenExchangeSettings,
} from '../../control-plane/credential-settings.ts';
import { createStrategy } from '../../control-plane/credentials/create.ts';
import type { CredentialStrategy } from '../../control-plane/credentials/strategy.ts';
import type { Caller } from '../../control-plane/identity/caller.ts';
import type { MeshError } from '../../shared/errors.ts';
import { verifies } from '../requirements.ts';
import { refusalOf, trusting, verifierFor } from '../support/identity.ts';
import {
  CLIENT,
  MESH,
  type Misbehaviour,
  type OidcProvider,
  startOidcProvider,
} from '../support/oidc-provider.ts';
import { strategyEnvironment } from '../support/strategies.ts';

const FILES = 'https://files.example/mcp';
const SECRET: ClientSettings = { id: CLIENT.id, auth: 'client_secret_basic', secret: CLIENT.secret };

describe('credentials from a real OpenID provider', () => {
  let provider: OidcProvider;

  beforeEach(async () => {
    provider = await startOidcProvider();
  });
  afterEach(async () => {
    await provider[Symbol.asyncDispose]();
  });

  const at = (client: ClientSettings = SECRET, of = provider): ProviderSettings => ({
    issuer: of.url,
    tokenEndpoint: undefined,
    introspectionEndpoint: undefined,
    client,
    timeoutMs: 500,
  });

  function exchange(changed: Partial<TokenExchangeSettings> = {}): CredentialSettings {
    return {
      strategy: 'token_exchange',
      provider: at(),
      audience: [FILES],
      resource: [],
      scopes: ['read'],
      subjectTokenType: 'access_token',
      requestedTokenType: 'access_token',
      actor: undefined,
      subject: 'same',
      introspect: false,
      ...changed,
    };
  }

  const made = (settings: CredentialSettings) => createStrategy(settings, strategyEnvironment());

  async function callerWith(token: string): Promise<Caller> {
    const { url, jwksUri } = provider;
    return await verifierFor([trusting({ url, jwksUri, audience: MESH })]).verify(token);
  }
  const caller = async (sub = 'alice') => callerWith(await provider.token({ sub }));
  const claims = (credential: unknown) =>
    decodeJwt(String(Reflect.get(Object(credential), 'authorization')).replace(/^Bearer /, ''));
  const obtain = async (strategy: CredentialStrategy, who: Caller) =>
    strategy.obtain({ caller: who, backend: 'files', signal: AbortSignal.timeout(5_000) });

  async function refusal(settings: CredentialSettings, how: Misbehaviour = {}): Promise<MeshError> {
    provider.misbehave(how);
    return await refusalOf(obtain(made(settings), await caller()));
  }

  describe('token exchange', () => {
    it(
      verifies('RST-2')('gives each caller a token of its own, for that backend and those scopes'),
      async () => {
        const strategy = made(exchange());
        for (const sub of ['alice', 'bob']) {
          const { iss, aud, scope, ...rest } = claims(await obtain(strategy, await caller(sub)));
          expect({ iss, aud, scope, sub: rest.sub }).to.deep.equal({
            iss: provider.url,
            aud: FILES,
            scope: 'read',
            sub,
          });
        }
        expect(provider.grants.map(({ form }) => form['subject_token_type'])).to.deep.equal([
          'urn:ietf:params:oauth:token-type:access_token',
          'urn:ietf:params:oauth:token-type:access_token',
        ]);
      },
    );

    it('a refreshed token of the same context shares what was exchanged', async () => {
      const strategy = made(exchange());
      const first = await obtain(strategy, await caller());
      expect(await obtain(strategy, await caller())).to.equal(first);
      expect(provider.grants).to.have.length(1);
    });

    it('what is exchanged ends with the token that it was exchanged for', async () => {
      const strategy = made(exchange());
      const short = await callerWith(await provider.token({ expiresIn: 60 }));
      const credential = await obtain(strategy, short);
      expect(strategy.expiresAt?.(credential)).to.equal(short.kind === 'identified' ? short.expiresAt : 0);
    });

    for (const [name, client] of Object.entries({
      client_secret_post: () =>
        ({ id: 'posting', auth: 'client_secret_post', secret: CLIENT.secret }) as const,
      private_key_jwt: () =>
        ({
          id: 'keyed',
          auth: 'private_key_jwt',
          key: provider.clientKey,
          keyId: 'keyed-1',
          algorithm: 'ES256',
        }) as const,
    })) {
      it(`the mesh proves itself with ${name}`, async () => {
        const settings = exchange({ provider: at(client()) });
        expect(claims(await obtain(made(settings), await caller())).sub).to.equal('alice');
        expect(provider.grants.map(({ client }) => client)).to.deep.equal([client().id]);
      });
    }

    it('an actor token says who acts, read anew each time', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'outrigger-actor-'));
      try {
        const file = join(folder, 'token');
        const strategy = made(exchange({ actor: { token: { file }, type: 'jwt' } }));
        const shown: string[] = [];
        for (const sub of ['alice', 'bob']) {
          const actor = await provider.token({ sub: `workload of ${sub}` });
          shown.push(actor);
          await writeFile(file, `${actor}\n`);
          await obtain(strategy, await caller(sub));
        }
        expect(provider.grants.map(({ form }) => form['actor_token'])).to.deep.equal(shown);
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    const misbehaviours: Readonly<Record<string, Misbehaviour>> = {
      'a wider scope than asked for': { scope: 'read admin' },
      'a token for another subject': { sub: 'mallory' },
      'a token that needs a proof': { tokenType: 'DPoP' },
      'a token of no known type': { tokenType: 'mac' },
    };
    for (const [what, how] of Object.entries(misbehaviours)) {
      it(verifies('I15')(`${what} is refused`), async () => {
        const { reason, retryable } = await refusal(exchange(), how);
        expect({ reason, retryable }).to.deep.equal({ reason: 'backend_unauthorized', retryable: false });
      });
    }

    it('whose names differ from the caller’s are another’s only where configuration says so', async () => {
      provider.misbehave({ sub: 'pairwise-1' });
      expect(claims(await obtain(made(exchange({ subject: 'any' })), await caller())).sub).to.equal(
        'pairwise-1',
      );
    });

    it('an opaque token can be asked about', async () => {
      provider.misbehave({ opaque: true });
      const { authorization } = Object(await obtain(made(exchange({ introspect: true })), await caller()));
      expect(authorization).to.match(/^Bearer [\w-]{20,60}$/);
      expect(
        (await refusal(exchange({ introspect: true }), { opaque: true, sub: 'mallory' })).reason,
      ).to.equal('backend_unauthorized');
    });

    it('a token without a life is kept for as long as it says itself, or a minute', async () => {
      provider.misbehave({ noExpiry: true, opaque: true });
      const strategy = made(exchange());
      const credential = await obtain(strategy, await caller());
      expect((strategy.expiresAt?.(credential) ?? 0) - Date.now()).to.be.within(50_000, 60_000);
    });

    it(verifies('I15')('a revoked token is refused, and that is no outage'), async () => {
      const token = await provider.token();
      provider.revoke(token);
      const who = await callerWith(token);
      const { reason, retryable, message } = await refusalOf(obtain(made(exchange()), who));
      expect({ reason, retryable }).to.deep.equal({ reason: 'backend_unauthorized', retryable: false });
      expect(message).to.not.contain('invalid_grant');
    });

    for (const kind of ['down', 'slow', 'error', 'garbage'] as const) {
      it(verifies('I15')(`a provider that is ${kind} is unavailable, in time, and comes back`), async () => {
        const who = await caller();
        const strategy = made(exchange());
        provider.outage(kind);
        const { reason, retryable, backend } = await refusalOf(obtain(strategy, who));
        expect({ reason, retryable, backend }).to.deep.equal({
          reason: 'credential_unavailable',
          retryable: true,
          backend: 'files',
        });
        provider.outage('none');
        await new Promise((resolve) => setTimeout(resolve, 1_010));
        expect(claims(await obtain(strategy, who)).sub).to.equal('alice');
      });
    }

    it('a provider that no longer knows the mesh is unavailable: no caller can help it', async () => {
      const { reason } = await refusal(
        exchange({ provider: at({ ...SECRET, secret: 'another' } as ClientSettings) }),
      );
      expect(reason).to.equal('credential_unavailable');
    });

    it(verifies('BACK-5')('a redirect is not followed, and nothing crosses'), async () => {
      let reached = 0;
      const elsewhere = createServer((_, response) => {
        reached += 1;
        response.end('{}');
      });
      const redirecting = createServer((_, response) => {
        response.writeHead(307, { location: `http://127.0.0.1:${portOf(elsewhere)}/token` }).end();
      });
      await Promise.all(
        [elsewhere, redirecting].map(
          (each) => new Promise<void>((done) => each.listen(0, '127.0.0.1', done)),
        ),
      );
      try {
        const tokenEndpoint = `http://127.0.0.1:${portOf(redirecting)}/token`;
        const { reason } = await refusal(
          exchange({ provider: { ...at(), issuer: undefined, tokenEndpoint } }),
        );
        expect(reason).to.equal('credential_unavailable');
        expect(reached).to.equal(0);
      } finally {
        for (const each of [elsewhere, redirecting]) each.close();
      }
    });

    it('the provider’s keys may rotate', async () => {
      const strategy = made(exchange());
      await obtain(strategy, await caller());
      provider.rotate({ withdraw: true });
      expect(claims(await obtain(strategy, await caller('bob'))).sub).to.equal('bob');
    });
  });

  it('client credentials are the mesh’s own, the same for everybody, and nobody’s without a caller', async () => {
    const strategy = made({
      strategy: 'client_credentials',
      provider: at(),
      audience: [],
      resource: [FILES],
      scopes: ['read'],
    });
    const first = await obtain(strategy, await caller('alice'));
    expect(await obtain(strategy, await caller('bob'))).to.equal(first);
    expect(claims(first)).to.include({ sub: CLIENT.id, aud: FILES, scope: 'read' });
    expect(await strategy.unattended?.()).to.equal(first);
    expect(provider.grants).to.have.length(1);
  });

  it('an identity assertion is redeemed at the backend’s own authorization server', async () => {
    await using resources = await startOidcProvider({ trusts: provider });
    const strategy = made({
      strategy: 'id_jag',
      identityProvider: at(),
      authorizationServer: at(SECRET, resources),
      audience: resources.url,
      resource: FILES,
      scopes: ['read'],
      subjectTokenType: 'access_token',
      subject: 'same',
    });
    for (const sub of ['alice', 'bob']) {
      expect(claims(await obtain(strategy, await caller(sub)))).to.include({
        iss: resources.url,
        sub: `local:${sub}`,
        aud: FILES,
        scope: 'read',
      });
    }
    const [asked] = provider.grants;
    expect(asked?.form).to.include({
      requested_token_type: 'urn:ietf:params:oauth:token-type:id-jag',
      audience: resources.url,
      resource: FILES,
    });
    provider.misbehave({ sub: 'mallory' });
    expect((await refusalOf(obtain(strategy, await caller('carol')))).reason).to.equal(
      'backend_unauthorized',
    );
    expect(resources.grants).to.have.length(2);
  });

  it(verifies('I14')('passthrough hands on a token that names the backend, and no other'), async () => {
    const own = await caller();
    const named = made({ strategy: 'passthrough', audience: MESH });
    expect(await obtain(named, own)).to.deep.equal({
      authorization: `Bearer ${own.kind === 'identified' ? own.token : ''}`,
    });
    const { reason, retryable } = await refusalOf(
      obtain(made({ strategy: 'passthrough', audience: FILES }), own),
    );
    expect({ reason, retryable }).to.deep.equal({ reason: 'audience_not_allowed', retryable: false });
  });

  it(
    verifies('I16')('passthrough hands on no token that needs its key, and says what would do'),
    async () => {
      const own = await caller();
      if (own.kind !== 'identified') throw new Error('the caller is nobody');
      const refusal = await refusalOf(
        obtain(made({ strategy: 'passthrough', audience: MESH }), { ...own, boundTo: 'a key' }),
      );
      expect(refusal.reason).to.equal('backend_unauthorized');
      expect(refusal.message).to.contain('bound to a key').and.to.contain('exchanged');
    },
  );

  it(verifies('I18')('who is nobody has nothing that could be exchanged'), async () => {
    const nobody = verifierFor([], { anonymous: true }).verifier.anonymous('node');
    const provided = { provider: at(), audience: [], resource: [], scopes: [] };
    for (const settings of [
      exchange(),
      { strategy: 'client_credentials', ...provided },
      { strategy: 'passthrough', audience: MESH },
    ] satisfies CredentialSettings[]) {
      expect((await refusalOf(obtain(made(settings), nobody))).reason).to.equal('backend_unauthorized');
    }
    expect(provider.grants).to.deep.equal([]);
  });
});

function portOf(server: ReturnType<typeof createServer>): number {
  return (server.address() as AddressInfo).port;
}
