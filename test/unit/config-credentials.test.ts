import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadSettings } from '../../control-plane/config.ts';
import type { BackendSettings } from '../../control-plane/settings.ts';
import { ConfigError } from '../../shared/config/parse.ts';
import { redact } from '../../shared/redact.ts';
import { verifies } from '../requirements.ts';

const CLIENT = { id: 'mesh', auth: 'client_secret_basic', secret: { env: 'SECRET' } };
const IDP = { issuer: 'https://idp.example', client: CLIENT };
const ENV = { SECRET: 'a secret of the mesh', API_KEY: 'a key of the child' };
const KEY = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
});

describe('configured credentials', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-credentials-'));
    await writeFile(join(folder, 'key.pem'), KEY);
    await writeFile(join(folder, 'actor'), 'an-actor-token');
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function load(entry: object): Promise<BackendSettings> {
    const file = { identity: { anonymous: true }, mcpServers: { a: entry } };
    await writeFile(join(folder, 'mesh.json'), JSON.stringify(file));
    const [backend] = loadSettings({ file: 'mesh.json', env: ENV, cwd: folder }).backends;
    if (backend === undefined) throw new Error('no backend');
    return backend;
  }

  const remote = (credential: object, more: object = {}) =>
    load({ url: 'https://a.example/mcp', credential, ...more });

  async function problem(loading: Promise<unknown>): Promise<string> {
    const error = await loading.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(ConfigError);
    return (error as ConfigError).message;
  }

  it('token exchange: secrets are read, the rest has its defaults', async () => {
    const { credential } = await remote({ strategy: 'token_exchange', provider: IDP, scopes: ['read'] });
    expect(credential).to.deep.equal({
      strategy: 'token_exchange',
      provider: {
        issuer: 'https://idp.example',
        tokenEndpoint: undefined,
        introspectionEndpoint: undefined,
        client: { id: 'mesh', auth: 'client_secret_basic', secret: ENV.SECRET },
        timeoutMs: 5_000,
      },
      audience: [],
      resource: [],
      scopes: ['read'],
      subjectTokenType: 'access_token',
      requestedTokenType: 'access_token',
      actor: undefined,
      subject: 'same',
      introspect: false,
    });
    expect(redact(`it said ${ENV.SECRET}`)).to.not.contain(ENV.SECRET);
  });

  it('an actor token in a file is found anew each time', async () => {
    const { credential } = await remote({
      strategy: 'token_exchange',
      provider: IDP,
      actor: { file: 'actor' },
    });
    expect(credential).to.have.deep.property('actor', {
      type: 'jwt',
      token: { file: join(folder, 'actor') },
    });
  });

  it('a private key is read whole, and never printed', async () => {
    const client = { id: 'mesh', auth: 'private_key_jwt', key: { file: 'key.pem' }, keyId: 'k1' };
    const { credential } = await remote({ strategy: 'client_credentials', provider: { ...IDP, client } });
    expect(credential).to.have.deep.nested.property('provider.client', {
      id: 'mesh',
      auth: 'private_key_jwt',
      key: KEY.toString(),
      keyId: 'k1',
      algorithm: 'ES256',
    });
    for (const line of KEY.toString().split('\n').slice(1, -2)) expect(redact(line)).to.not.contain(line);
  });

  it('an identity assertion is for the issuer of the backend’s authorization server, unless said otherwise', async () => {
    const authorizationServer = { ...IDP, issuer: 'https://auth.example' };
    const { credential } = await remote({ strategy: 'id_jag', identityProvider: IDP, authorizationServer });
    expect(credential).to.include({ strategy: 'id_jag', audience: 'https://auth.example' });
  });

  it('AWS: the endpoint of STS is that of the region', async () => {
    const aws = {
      roleArn: 'arn:aws:iam::123456789012:role/agents',
      region: 'eu-central-1',
      service: 'execute-api',
    };
    const { credential } = await remote({ strategy: 'aws_sigv4', ...aws });
    expect(credential).to.deep.equal({
      strategy: 'aws_sigv4',
      ...aws,
      stsEndpoint: 'https://sts.eu-central-1.amazonaws.com/',
      durationMs: 3_600_000,
      timeoutMs: 5_000,
    });
  });

  it('a command has its secrets in its environment', async () => {
    const credential = { strategy: 'env', variables: { TOOL_KEY: { env: 'API_KEY' } } };
    const backend = await load({ command: 'node', env: { DEBUG: '1' }, credential });
    expect(backend.kind === 'stdio' ? backend.env : {}).to.include({ TOOL_KEY: ENV.API_KEY, DEBUG: '1' });
    expect(backend.credential).to.deep.equal({ strategy: 'env' });
    expect(redact(`it said ${ENV.API_KEY}`)).to.not.contain(ENV.API_KEY);
  });

  const refused: Readonly<Record<string, readonly [entry: object, where: string, why: string]>> = {
    'a provider without an address': [
      { strategy: 'token_exchange', provider: { client: CLIENT } },
      'credential.provider',
      'name its issuer, or its tokenEndpoint',
    ],
    'secrets in the clear': [
      { strategy: 'token_exchange', provider: { ...IDP, tokenEndpoint: 'http://idp.example/token' } },
      'credential.provider.tokenEndpoint',
      'expected an https URL, or http on loopback',
    ],
    'a provider at a metadata address': [
      { strategy: 'token_exchange', provider: { ...IDP, tokenEndpoint: 'https://169.254.169.254/token' } },
      'credential.provider.tokenEndpoint',
      'link-local addresses and cloud metadata services are never asked',
    ],
    'a key that is none': [
      {
        strategy: 'client_credentials',
        provider: { ...IDP, client: { id: 'mesh', auth: 'private_key_jwt', key: { env: 'SECRET' } } },
      },
      'credential.provider.client.key',
      'expected a private key in PEM',
    ],
    'an assertion for nobody': [
      {
        strategy: 'id_jag',
        identityProvider: IDP,
        authorizationServer: { tokenEndpoint: 'https://auth.example/token', client: CLIENT },
      },
      'credential.audience',
      'name the audience of the assertion',
    ],
    'an environment at a URL': [
      { strategy: 'env', variables: {} },
      'credential.strategy',
      'a URL has no environment',
    ],
    'an actor from two places': [
      { strategy: 'token_exchange', provider: IDP, actor: { file: 'actor', env: 'API_KEY' } },
      'credential.actor',
      'expected either file or env',
    ],
  };
  for (const [what, [credential, where, why]] of Object.entries(refused)) {
    it(verifies('C12', 'BACK-5')(`${what} is refused`), async () => {
      expect(await problem(remote(credential))).to.contain(`mcpServers.a.${where}: ${why}`);
    });
  }

  it('a header of the same name beside it is refused', async () => {
    const headers = { authorization: 'Bearer mine' };
    expect(await problem(remote({ strategy: 'passthrough', audience: 'b' }, { headers }))).to.contain(
      'mcpServers.a.headers: Authorization is already sent by the credential strategy',
    );
  });

  it('a command takes no headers', async () => {
    const credential = { strategy: 'passthrough', audience: 'b' };
    expect(await problem(load({ command: 'node', credential }))).to.contain('a command has no headers');
  });
});
