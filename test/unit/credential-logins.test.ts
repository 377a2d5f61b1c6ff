import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { LoginProvider } from '../../control-plane/credentials/login-provider.ts';
import { type LoginName, LoginVault, type StoredLogin } from '../../control-plane/credentials/login-vault.ts';
import { Logins } from '../../control-plane/credentials/logins.ts';
import type { CallerIdentity } from '../../control-plane/identity/caller.ts';
import { RecordCrypto, type ServerKey } from '../../control-plane/session/record-crypto.ts';
import type { IndexKeys } from '../../control-plane/session/record-names.ts';
import { MemorySessionStore, SharedMemory } from '../../control-plane/store/memory.ts';
import type { Clock } from '../../shared/clock.ts';
import { systemClock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import { meshErrorResponse } from '../../shared/json-rpc/envelope.ts';
import { verifies } from '../requirements.ts';
import { refusalOf, trusting, verifierFor } from '../support/identity.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { strategyEnvironment } from '../support/strategies.ts';
import { TokenEndpoint } from '../support/token-endpoint.ts';

const HOUR = 3_600_000;

/** A third party whose refresh tokens are good once: a second use of one ends the login, as strict providers do. */
class Party {
  readonly endpoint: TokenEndpoint;
  current = 'refresh-0';
  ended = false;
  /** Gives tokens back that were replaced before. */
  lenient = false;
  #count = 0;

  constructor(endpoint: TokenEndpoint) {
    this.endpoint = endpoint;
    endpoint.grant = ({ form }) => {
      if (this.ended || (form['refresh_token'] !== this.current && !this.lenient)) {
        this.ended = true;
        throw Object.assign(new Error('used before'), { code: 'invalid_grant' });
      }
      this.#count += 1;
      this.current = `refresh-${this.#count}`;
      return { access_token: `access-${this.#count}`, refresh_token: this.current, expires_in: 3_600 };
    };
  }

  get shown(): (string | undefined)[] {
    return this.endpoint.requests.map(({ form }) => form['refresh_token']);
  }
}

describe('logins at third parties', () => {
  let issuer: TestIssuer;
  let alice: CallerIdentity;
  let endpoint: TokenEndpoint;
  let party: Party;
  let provider: LoginProvider;
  let shared: SharedMemory;
  let offset: number;
  let index: IndexKeys;
  let server: ServerKey[];
  const opened: Logins[] = [];

  const clock: Clock = { ...systemClock, now: () => Date.now() + offset };

  before(async () => {
    issuer = await startIssuer();
    alice = await verifierFor([trusting(issuer)]).verify(issuer.token({ sub: 'alice' }));
  });
  after(() => issuer.stop());
  beforeEach(async () => {
    endpoint = await TokenEndpoint.start();
    party = new Party(endpoint);
    shared = new SharedMemory();
    offset = 0;
    index = { current: randomBytes(32) };
    server = [{ id: 'one', key: randomBytes(32) }];
    provider = new LoginProvider({
      backend: 'hub',
      clock,
      fetch: strategyEnvironment().fetch,
      settings: {
        provider: {
          issuer: undefined,
          tokenEndpoint: endpoint.url,
          introspectionEndpoint: undefined,
          client: { id: 'mesh', auth: 'none' },
          timeoutMs: 300,
        },
        authorizationEndpoint: 'https://hub.example/authorize',
        login: 'hub',
        scopes: [],
        resource: [],
        parameters: {},
      },
    });
  });
  afterEach(async () => {
    for (const each of opened.splice(0)) each.stop();
    await endpoint[Symbol.asyncDispose]();
  });

  const name = (): LoginName => ({ bindingKey: alice.bindingKey, provider: provider.key });

  /** One replica: its vault and its logins, on the store that all share. */
  function replica() {
    const crypto = new RecordCrypto(server);
    const store = new MemorySessionStore({ clock: () => clock.now(), shared });
    const vault = new LoginVault({
      store,
      keys: index,
      sealer: {
        seal: (id, plain) => crypto.sealApart('login', id, plain),
        open: (id, sealed) => crypto.openApart('login', id, sealed),
      },
    });
    const logins = new Logins({ vault, clock, home: undefined, onLogin: () => {} });
    opened.push(logins);
    const issues: string[] = [];
    const signal = new AbortController().signal;
    const obtain = async () => {
      const onIssue = ({ outcome }: { outcome: string }) => issues.push(outcome);
      const credential = await logins.obtain({ provider, caller: alice, backend: 'hub', signal, onIssue });
      return (credential as Readonly<Record<string, string>>)['authorization'];
    };
    return { store, vault, logins, issues, obtain };
  }

  function login(change: Partial<StoredLogin> = {}): StoredLogin {
    return {
      accessToken: 'access-0',
      issuedAt: clock.now(),
      expiresAt: clock.now() + HOUR,
      refreshToken: 'refresh-0',
      previousRefreshToken: undefined,
      ...change,
    };
  }

  const unavailable = () => new MeshError('store_unavailable', 'not now');

  it('a login is used until near its end, then refreshed', async () => {
    const { vault, obtain } = replica();
    expect((await refusalOf(obtain())).reason).to.equal('login_required');
    await vault.put(name(), login());
    expect(await obtain()).to.equal('Bearer access-0');
    offset = HOUR - 10_000;
    expect(await obtain()).to.equal('Bearer access-1');
    expect(await obtain()).to.equal('Bearer access-1');
    expect(party.shown).to.deep.equal(['refresh-0']);
  });

  it(
    verifies('BACK-6')('more is asked for where a backend needs more: not twice, nor for ever'),
    async () => {
      const { vault, logins } = replica();
      const signal = new AbortController().signal;
      const lacks = async (scope: string) => {
        const wish = { provider, caller: alice, backend: 'hub', signal, onIssue: () => {} };
        return logins.insufficient(await logins.obtain(wish), { scopes: [scope], backend: 'hub' });
      };
      await vault.put(name(), login({ asked: ['read'] }));
      expect(await lacks('read')).to.equal(undefined);
      const error = await lacks('write');
      expect(error).to.include({ reason: 'login_required', scope: 'read write' });
      const told = Buffer.concat(meshErrorResponse(Buffer.from('1'), error ?? unavailable())).toString();
      expect(told).to.contain('login_required').and.not.to.contain('write');
      // It is kept over a refresh.
      offset = 2 * HOUR;
      expect(await lacks('read')).to.equal(undefined);
      expect(party.shown).to.deep.equal(['refresh-0']);
      await vault.put(name(), login({ accessToken: 'access-9', asked: ['read', 'write'], stepUps: 5 }));
      expect(await lacks('admin')).to.equal(undefined);
      await vault.put(name(), login({ accessToken: 'access-10', asked: ['read'] }));
      expect(await lacks('x'.repeat(1_800)), 'more than a cookie holds').to.equal(undefined);
    },
  );

  it(verifies('BACK-6')('of many replicas that need it refreshed one shows its refresh token'), async () => {
    const all = Array.from({ length: 4 }, replica);
    await all[0]?.vault.put(name(), login());
    offset = 2 * HOUR;
    const got = await Promise.all(all.flatMap(({ obtain }) => [obtain(), obtain()]));
    expect(new Set(got)).to.deep.equal(new Set(['Bearer access-1']));
    expect(party.shown).to.deep.equal(['refresh-0']);
  });

  it('a refresh whose answer got lost ends nothing that the provider has not ended', async () => {
    const { vault, obtain } = replica();
    await vault.put(name(), login());
    offset = 2 * HOUR;
    const { grant } = endpoint;
    endpoint.grant = () => {
      throw Object.assign(new Error('later'), { code: 'temporarily_unavailable' });
    };
    expect((await refusalOf(obtain())).reason).to.equal('credential_unavailable');
    expect((await refusalOf(obtain())).reason, 'it is left alone for a moment').to.equal(
      'credential_unavailable',
    );
    expect(party.shown).to.have.length(1);
    endpoint.grant = grant;
    offset += 3_000;
    expect(await obtain()).to.equal('Bearer access-1');
  });

  it('a provider that forgot the newest refresh token is shown the one before', async () => {
    const { vault, obtain } = replica();
    await vault.put(name(), login({ refreshToken: 'refresh-lost', previousRefreshToken: 'refresh-0' }));
    offset = 2 * HOUR;
    endpoint.grant = ({ form }) => {
      if (form['refresh_token'] !== 'refresh-0')
        throw Object.assign(new Error('?'), { code: 'invalid_grant' });
      return { access_token: 'access-9', refresh_token: 'refresh-9' };
    };
    expect(await obtain()).to.equal('Bearer access-9');
    expect((await vault.read(name()))?.login.refreshToken).to.equal('refresh-9');
  });

  it('a login that its provider has ended is gone, and asked for', async () => {
    const { vault, obtain, issues } = replica();
    await vault.put(name(), login());
    offset = 2 * HOUR;
    party.ended = true;
    expect((await refusalOf(obtain())).reason).to.equal('login_required');
    expect(await vault.read(name())).to.equal(undefined);
    expect(issues).to.deep.equal(['refused']);
  });

  it('what the store does not take is kept, used and saved later: no token is shown twice', async () => {
    const { store, vault, obtain } = replica();
    await vault.put(name(), login());
    offset = 2 * HOUR;
    const write = store.writeVault.bind(store);
    let down = false;
    const { grant } = endpoint;
    endpoint.grant = (request) => {
      down = true;
      return grant(request);
    };
    store.writeVault = (entry) => (down ? Promise.reject(unavailable()) : write(entry));
    expect(await obtain()).to.equal('Bearer access-1');
    expect(await obtain()).to.equal('Bearer access-1');
    expect((await vault.read(name()))?.login.accessToken).to.equal('access-0');
    down = false;
    offset += 31_000;
    expect(await obtain()).to.equal('Bearer access-1');
    expect((await vault.read(name()))?.login.refreshToken).to.equal('refresh-1');
    expect(party.shown).to.deep.equal(['refresh-0']);
    expect(await replica().obtain()).to.equal('Bearer access-1');
  });

  it('a store that cannot be asked costs nobody a token that is still good', async () => {
    const { store, vault, obtain } = replica();
    await vault.put(name(), login());
    expect(await obtain()).to.equal('Bearer access-0');
    store.readVault = () => Promise.reject(unavailable());
    offset = 60_000;
    expect(await obtain()).to.equal('Bearer access-0');
    offset = 2 * HOUR;
    expect((await refusalOf(obtain())).reason).to.equal('credential_unavailable');
  });

  it('whoever logs out while a refresh runs stays logged out', async () => {
    const { vault, obtain } = replica();
    await vault.put(name(), login());
    offset = 2 * HOUR;
    const kept = await vault.read(name());
    const { grant } = endpoint;
    endpoint.grant = (request) => {
      if (kept !== undefined) void vault.clear(kept);
      return grant(request);
    };
    expect((await refusalOf(obtain())).reason).to.equal('login_required');
    expect(await vault.read(name())).to.equal(undefined);
  });

  it('a replica that died with its claim holds the others up for so long, and no longer', async () => {
    const { vault, obtain } = replica();
    await vault.put(name(), login());
    offset = 2 * HOUR;
    await vault.claim(name(), provider.refreshMs);
    const waiting = obtain();
    await sleep(250);
    expect(party.shown).to.be.empty;
    offset += provider.refreshMs;
    expect(await waiting).to.equal('Bearer access-1');
  });

  it('another replica hears of a login, and of its end, at once', async () => {
    const [one, two] = [replica(), replica()];
    await one.vault.put(name(), login());
    expect(await two.obtain()).to.equal('Bearer access-0');
    await one.vault.put(name(), login({ accessToken: 'access-other' }));
    await sleep(10);
    expect(await two.obtain()).to.equal('Bearer access-other');
    const kept = await one.vault.read(name());
    if (kept !== undefined) await one.vault.clear(kept);
    await sleep(10);
    expect((await refusalOf(two.obtain())).reason).to.equal('login_required');
  });

  it('a token that cannot be renewed is used until its end, and a refused one is not shown again', async () => {
    const { vault, logins, obtain } = replica();
    await vault.put(name(), login({ refreshToken: undefined, expiresAt: undefined }));
    offset = 24 * HOUR;
    expect(await obtain()).to.equal('Bearer access-0');
    const signal = new AbortController().signal;
    const credential = await logins.obtain({
      provider,
      caller: alice,
      backend: 'hub',
      signal,
      onIssue: () => {},
    });
    expect(logins.refused(credential)).to.equal(true);
    expect((await refusalOf(obtain())).reason).to.equal('login_required');
    expect((await refusalOf(obtain())).reason).to.equal('login_required');
    await vault.put(
      name(),
      login({ accessToken: 'access-new', refreshToken: undefined, expiresAt: undefined }),
    );
    expect(await obtain()).to.equal('Bearer access-new');
  });

  it('keys rotate: what older ones named and sealed is found, and moves with its next refresh', async () => {
    await replica().vault.put(name(), login());
    index = { current: randomBytes(32), previous: index.current };
    server = [{ id: 'two', key: randomBytes(32) }, ...server];
    const { obtain } = replica();
    expect(await obtain()).to.equal('Bearer access-0');
    offset = 2 * HOUR;
    expect(await obtain()).to.equal('Bearer access-1');
    index = { current: index.current };
    server = server.slice(0, 1);
    expect(await replica().obtain()).to.equal('Bearer access-1');
    const logins = [...shared.vault.values()].filter(({ sealed }) => sealed !== '');
    expect(logins).to.have.length(1);
  });

  it('a login under a key that is gone is asked for again, and nothing in the store says what it is', async () => {
    const { vault, obtain } = replica();
    await vault.put(name(), login());
    await obtain();
    const dump = JSON.stringify([...shared.vault]);
    expect(dump).not.to.match(/access-0|refresh-0|alice|hub/);
    server = [{ id: 'three', key: randomBytes(32) }];
    const other = replica();
    expect((await refusalOf(other.obtain())).reason).to.equal('login_required');
    await other.vault.put(name(), login({ accessToken: 'access-again' }));
    expect(await other.obtain()).to.equal('Bearer access-again');
  });
});
