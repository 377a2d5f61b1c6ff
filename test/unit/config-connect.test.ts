import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadSettings } from '../../control-plane/config.ts';
import type { Settings } from '../../control-plane/settings.ts';
import { ConfigError } from '../../shared/config/parse.ts';

const IDP = 'https://idp.example.com';
const CLIENT = { id: 'mesh', auth: 'client_secret_basic', secret: { env: 'SECRET' } };
const CONNECT = { publicUrl: 'https://mesh.example.com', issuers: [{ issuer: IDP, client: CLIENT }] };
const PARTY = { issuer: 'https://code.example.com', client: CLIENT };

describe('configured logins', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-connect-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function load(
    connect: object | undefined,
    credentials: Readonly<Record<string, object>> = { code: {} },
    overrides: { readonly connect?: string } = {},
  ): Promise<Settings> {
    const mcpServers = Object.fromEntries(
      Object.entries(credentials).map(([name, credential]) => [
        name,
        {
          url: `https://${name}.example/mcp`,
          credential:
            'strategy' in credential ? credential : { strategy: 'stored', provider: PARTY, ...credential },
        },
      ]),
    );
    const issuers = [{ issuer: IDP, audiences: ['https://mesh.example.com/mcp'], tenantClaim: 'org' }];
    const file = { identity: { issuers }, connect, mcpServers };
    await writeFile(join(folder, 'mesh.json'), JSON.stringify(file));
    return loadSettings({ file: 'mesh.json', env: { SECRET: 'a secret of ours' }, cwd: folder, overrides });
  }

  async function problem(loading: Promise<unknown>): Promise<string> {
    const error = await loading.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(ConfigError);
    return (error as ConfigError).message;
  }

  it('what is not said has its default; the tenant is named as in callers’ tokens', async () => {
    const { connect, backends } = await load(CONNECT);
    expect(connect).to.deep.equal({
      listen: { host: '127.0.0.1', port: 4292 },
      publicUrl: 'https://mesh.example.com',
      issuers: [
        {
          provider: {
            issuer: IDP,
            tokenEndpoint: undefined,
            introspectionEndpoint: undefined,
            client: { id: 'mesh', auth: 'client_secret_basic', secret: 'a secret of ours' },
            timeoutMs: 5_000,
          },
          scopes: ['openid'],
          tenantClaim: 'org',
        },
      ],
    });
    expect(backends[0]?.credential).to.include({ strategy: 'stored', login: 'code' });
    const elsewhere = await load(CONNECT, { code: {} }, { connect: '0.0.0.0:9292' });
    expect(elsewhere.connect?.listen).to.deep.equal({ host: '0.0.0.0', port: 9292 });
  });

  it('a backend that says itself where to log in needs no more than a place for that', async () => {
    const discover = { strategy: 'discover' };
    const { backends } = await load(CONNECT, { code: discover });
    expect(backends[0]?.credential).to.deep.equal({
      strategy: 'discover',
      url: 'https://code.example/mcp',
      scopes: [],
      clients: [],
      clientMetadata: undefined,
      allowPrivateAddresses: false,
      timeoutMs: 5_000,
    });
    expect(await problem(load(undefined, { code: discover }))).to.contain('configure connect');
    const clients = [{ issuer: 'http://login.example', client: CLIENT }];
    expect(await problem(load(CONNECT, { code: { ...discover, clients } }))).to.match(/clients\[0\].issuer/);
    const clientMetadata = 'http://mesh.example.com/client.json';
    expect(await problem(load(CONNECT, { code: { ...discover, clientMetadata } }))).to.contain('https');
    const both = { code: discover, other: { login: 'code' } };
    expect(await problem(load(CONNECT, both)), 'its redirect URI is its own').to.contain(
      'has the login "code"',
    );
  });

  it('a backend with logins needs a place to log in', async () => {
    expect(await problem(load(undefined))).to.contain(
      'mcpServers.code.credential.strategy: its callers need a place to log in',
    );
  });

  it('the public URL is an origin, and https beyond loopback', async () => {
    for (const publicUrl of [
      'http://mesh.example.com',
      'https://mesh.example.com/path',
      'https://a@mesh.example.com',
    ])
      expect(await problem(load({ ...CONNECT, publicUrl })), publicUrl).to.contain(
        'connect.publicUrl: expected',
      );
    expect((await load({ ...CONNECT, publicUrl: 'http://127.0.0.1:4292/' })).connect?.publicUrl).to.equal(
      'http://127.0.0.1:4292',
    );
  });

  it('browsers sign in at an issuer of the mesh, with OpenID Connect', async () => {
    const stranger = [{ issuer: 'https://other.example.com', client: CLIENT }];
    expect(await problem(load({ ...CONNECT, issuers: stranger }))).to.contain(
      'connect.issuers[0].issuer: no issuer of identity.issuers',
    );
    const without = [{ issuer: IDP, client: CLIENT, scopes: ['profile'] }];
    expect(await problem(load({ ...CONNECT, issuers: without }))).to.contain('expected openid');
  });

  it('a provider without metadata names both its endpoints, and parameters of ours are not its', async () => {
    const provider = { tokenEndpoint: 'https://code.example.com/token', client: CLIENT };
    expect(await problem(load(CONNECT, { code: { provider } }))).to.contain('name authorizationEndpoint too');
    const whole = { ...provider, authorizationEndpoint: 'https://code.example.com/authorize' };
    const { backends } = await load(CONNECT, {
      code: { provider: whole, parameters: { prompt: 'consent' } },
    });
    expect(backends[0]?.credential).to.deep.include({
      authorizationEndpoint: 'https://code.example.com/authorize',
      parameters: { prompt: 'consent' },
    });
    const plain = { ...whole, authorizationEndpoint: 'http://code.example.com/authorize' };
    expect(await problem(load(CONNECT, { code: { provider: plain } }))).to.contain('expected an https URL');
    expect(await problem(load(CONNECT, { code: { parameters: { state: 'x' } } }))).to.contain(
      'parameters.state: this parameter belongs to the mesh',
    );
  });

  it('who shares a login shares all of it', async () => {
    const shared = { login: 'forge' };
    await load(CONNECT, { code: shared, wiki: shared });
    const other = { login: 'forge', scopes: ['admin'] };
    expect(await problem(load(CONNECT, { code: shared, wiki: other }))).to.contain(
      'mcpServers.wiki.credential.login: another backend has the login "forge" otherwise',
    );
  });
});
