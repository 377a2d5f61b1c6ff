import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Finding } from '../../shared/findings.ts';
import { verifies } from '../requirements.ts';
import { AUTHORITY, EXPIRED, KEY, VALID } from '../support/certificates.ts';
import { Practice, startWebServer, type Visit } from '../support/doctor.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { OTHER_AUTHORITY, OTHER_KEY } from '../support/mesh-certificates.ts';
import { freePort, freePorts } from '../support/ports.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { type RedisOptions, startRedis } from '../support/redis.ts';
import { stdioBackendCommand } from '../support/stdio-backend.ts';

const SECRET = 'a-secret-of-the-backend-that-nobody-may-see';
const SERVER_KEY = Buffer.from(Array.from({ length: 32 }, (_, at) => at * 7)).toString('base64');
const INDEX_KEY = Buffer.from(Array.from({ length: 32 }, (_, at) => at * 5 + 1)).toString('base64');
const KEYS = {
  server: [{ id: 'one', env: 'SERVER_KEY' }],
  index: { current: { env: 'INDEX_KEY' } },
};
const ENV = { SERVER_KEY, INDEX_KEY, SECRET };

describe('outrigger doctor, before anything runs', function () {
  this.timeout(40_000);
  let practice: Practice;
  let issuer: TestIssuer;
  let backend: RecordingBackend;
  let listen: { readonly grpc: string; readonly ops: string };

  before(async () => {
    issuer = await startIssuer();
    backend = await RecordingBackend.start({ name: 'tickets' });
  });
  after(() => Promise.all([issuer.stop(), backend.stop()]));
  beforeEach(async () => {
    practice = await Practice.open();
    const [grpc, ops] = await freePorts(2);
    listen = { grpc: `127.0.0.1:${grpc}`, ops: `127.0.0.1:${ops}` };
  });
  afterEach(() => practice[Symbol.asyncDispose]());

  const credential = { strategy: 'header', name: 'Authorization', value: { env: 'SECRET' } };

  /** What is found with a configuration in which all is well but for what is changed. */
  async function visit(changed: object = {}, env: Readonly<Record<string, string>> = ENV): Promise<Visit> {
    const { url, jwksUri, audience } = issuer;
    await practice.write('outrigger.yaml', {
      listen,
      identity: { issuers: [{ issuer: url, jwksUri, audiences: [audience] }] },
      mcpServers: { tickets: { url: backend.url, credential } },
      ...changed,
    });
    const found = await practice.visit([], env);
    expect(found.stderr).to.equal('');
    for (const secret of [SECRET, SERVER_KEY, INDEX_KEY, 'PRIVATE KEY'])
      expect(found.text).to.not.include(secret);
    return found;
  }

  /** That this is what failed, and nothing else, with words of what it is and of what to do. */
  function failedAlone(found: Visit, check: Finding['check'], what: RegExp, todo: RegExp): void {
    const failed = found.findings.filter(({ status }) => status === 'failed');
    expect(failed.map((each) => each.check)).to.deep.equal([check]);
    expect(failed[0]?.detail).to.match(what);
    expect(failed[0]?.remedy).to.match(todo);
    expect(found.code).to.equal(1);
  }

  function warned(found: Visit, check: Finding['check'], what: RegExp, todo: RegExp): void {
    const warnings = found.findings.filter(({ status }) => status === 'warning');
    const warning = warnings.find((each) => each.check === check && what.test(each.detail));
    expect(warning?.remedy, JSON.stringify(warnings)).to.match(todo);
    expect(found.code).to.equal(0);
  }

  const redis = async (options: RedisOptions, more: object = {}) => {
    const server = await startRedis(options);
    return { server, changed: { keys: KEYS, store: { type: 'redis', url: server.url, ...more } } };
  };

  it(
    verifies('ADM-1')('where all is well, all is said to be well, for people and for programs'),
    async () => {
      const found = await visit();
      expect(found.code).to.equal(0);
      const said = found.findings.map(({ check, status }) => `${check} ${status}`);
      expect(said).to.deep.equal([
        'version ok',
        'configuration ok',
        'ports ok',
        'ports ok',
        'store ok',
        'keys ok',
        'clock ok',
        'issuer ok',
        'backend ok',
        'control-plane skipped',
      ]);
      const { code, out } = await practice.run(['doctor'], { ...ENV, COLUMNS: '60' });
      expect(code).to.equal(0);
      const stable = out
        .replace(/Node [\d.]+/, 'Node N')
        .replaceAll(practice.folder, 'FOLDER')
        .replace(/127\.0\.0\.1:\d+/g, 'PLACE');
      expect(stable).to.match(
        /^✓ version {8}outrigger 0\.1\.0: on Node N\n✓ configuration {2}outrigger\.yaml: valid: 1 backend, 1 virtual\n {17}server, 1 issuer\n/,
      );
      expect(stable).to.include(
        '✓ backend        tickets: speaks MCP 2025-11-25 (credential:\n                 header)\n',
      );
      expect(stable).to.match(
        /- control-plane {2}PLACE: no replica runs here now\n {17}→ outrigger up, or outrigger control-plane,\n {19}starts one\n\n10 looked at: 9 good, 1 left out\.\n$/,
      );
      // Nothing was made, and the backend was told of the end of the session.
      expect(backend.view.requests({ method: 'DELETE' })).to.have.length(backend.view.initialises);
      expect((await practice.run(['doctor', '-o', 'yaml'], ENV)).out).to.match(/^passed: true\ncounts:\n/);
    },
  );

  it(verifies('C12')('a port that somebody else holds'), async () => {
    await using holder = await startWebServer((_, response) => response.end('mine'));
    const found = await visit({ listen: { ...listen, ops: `127.0.0.1:${holder.port}` } });
    failedAlone(found, 'ports', /held by (node \(pid \d+\)|another process)/, /choose another port/);
  });

  it(verifies('C12')('a configuration with a key that is none'), async () => {
    const found = await visit({ mcpServer: {} });
    failedAlone(found, 'configuration', /mcpServer.*mcpServers/, /correct the file/);
    expect(found.findings.map(({ status }) => status)).to.include('skipped');
  });

  it('a Redis that evicts: a warning, and a failure where writes are to last', async () => {
    const { server, changed } = await redis({ maxmemoryPolicy: 'allkeys-lru', aof: true });
    await using _ = server;
    warned(await visit(changed), 'store', /allkeys-lru/, /config set maxmemory-policy noeviction/);
    const replicated = { ...changed, store: { ...changed.store, durability: 'replicated', waitReplicas: 1 } };
    const found = await visit(replicated);
    expect(found.code).to.equal(1);
    expect(
      found.findings.filter(({ status }) => status === 'failed').map(({ detail }) => detail),
    ).to.deep.equal([
      'maxmemory-policy is allkeys-lru: Redis may throw sessions away when its memory is full',
      '0 replicas are connected to it, and writes wait for 1',
    ]);
  });

  it('a Redis that keeps nothing on disk, one that is away, and one that does not know us', async () => {
    const { server, changed } = await redis({ config: { save: '""' } });
    await using _ = server;
    const found = await visit(changed);
    warned(found, 'store', /keeps nothing on disk/, /appendonly yes/);
    expect(found.findings.filter(({ check }) => check === 'clock').map(({ status }) => status)).to.deep.equal(
      ['ok', 'ok'],
    );
    const away = { ...changed, store: { type: 'redis', url: `redis://127.0.0.1:${await freePort()}` } };
    failedAlone(await visit(away), 'store', /ECONNREFUSED/, /start Redis/);
    const locked = await redis({ requirepass: 'the-password-of-redis' });
    await using __ = locked.server;
    const url = locked.server.url.replace('the-password-of-redis', 'another-password');
    const refused = await visit({ ...locked.changed, store: { type: 'redis', url } });
    failedAlone(refused, 'store', /WRONGPASS|NOAUTH/, /username and password/);
    expect(refused.text).to.not.include('another-password');
  });

  it('a file in the place of the folder of the store', async () => {
    await practice.write('in-the-way', '');
    const found = await visit({ store: { type: 'embedded', path: 'in-the-way' } });
    failedAlone(found, 'store', /in-the-way is no folder/, /choose a folder/);
    const below = await visit({ store: { type: 'embedded', path: 'in-the-way/store' } });
    failedAlone(below, 'store', /in-the-way is no folder/, /choose a folder/);
  });

  it('keys that nobody drew by lot, that are missing, or that others can read', async () => {
    const { server, changed } = await redis({ aof: true });
    await using _ = server;
    const weak = Buffer.alloc(32, 'abcd').toString('base64');
    failedAlone(await visit(changed, { ...ENV, SERVER_KEY: weak }), 'keys', /1 of 2 keys/, /openssl rand/);
    const twice = await visit(changed, { ...ENV, INDEX_KEY: SERVER_KEY });
    failedAlone(twice, 'keys', /is a server key as well/, /openssl rand/);
    const none = await visit({ store: changed.store });
    failedAlone(none, 'keys', /keys: required with Redis/, /openssl rand/);

    await mkdir(join(practice.folder, '.outrigger'));
    const key = (text: string) => Buffer.from(text, 'base64').toString('base64url');
    const file = await practice.write('.outrigger/keys.json', {
      server: { id: 'local-1', key: key(SERVER_KEY) },
      index: key(INDEX_KEY),
    });
    await chmod(file, 0o644);
    failedAlone(await visit(), 'keys', /others on this machine can read it/, /chmod 600/);
    await chmod(file, 0o600);
    expect((await visit()).code).to.equal(0);
  });

  it('an issuer whose metadata is that of another, and one that is away', async () => {
    await using stranger = await startWebServer((_, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ issuer: 'https://elsewhere.example', jwks_uri: issuer.jwksUri }));
    });
    const named = (url: string, more: object = {}) => ({
      identity: { issuers: [{ issuer: url, audiences: [issuer.audience], ...more }] },
    });
    const found = await visit(named(stranger.url));
    failedAlone(
      found,
      'issuer',
      /metadata is that of another issuer/,
      /exactly as its tokens have it in iss/,
    );
    // Where the configuration names the keys, tokens are verified all the same, and agents cannot log in.
    const half = await visit(named(stranger.url, { jwksUri: issuer.jwksUri }));
    warned(half, 'issuer', /agents cannot find out how to log in/, /publish metadata/);
    const away = await visit(named(`http://127.0.0.1:${await freePort()}`));
    failedAlone(away, 'issuer', /cannot be had: .*ECONNREFUSED/, /this machine reaches/);
  });

  it('a clock that goes wrong', async () => {
    await using late = await startWebServer((request, response) => {
      response.setHeader('date', new Date(Date.now() + 3_600_000).toUTCString());
      const metadata = { issuer: late.url, jwks_uri: `${late.url}/keys` };
      response.end(JSON.stringify(request.url === '/keys' ? { keys: [issuer.publicJwk] } : metadata));
    });
    const identity = { issuers: [{ issuer: late.url, audiences: [issuer.audience] }] };
    const found = await visit({ identity });
    failedAlone(found, 'clock', /^3\d\d\d(\.\d)? s ahead of this machine: tokens are refused/, /time server/);
  });

  describe('with certificates', () => {
    const tls = async (files: { cert: string; key?: string; ca?: string }) => {
      await practice.write('replica.crt', files.cert);
      await practice.write('replica.key', files.key ?? KEY);
      await practice.write('ca.crt', files.ca ?? AUTHORITY);
      const paths = { cert: 'replica.crt', key: 'replica.key', ca: 'ca.crt' };
      return visit({ listen: { ...listen, grpc: { address: listen.grpc, tls: paths } } });
    };

    it(verifies('G10')('that are good'), async () => {
      const found = await tls({ cert: VALID });
      expect(found.findings.find(({ check }) => check === 'certificates')).to.include({
        status: 'ok',
        detail: 'names no workload, valid until 2120-01-01',
      });
      expect(found.code).to.equal(0);
    });

    it(verifies('G10')('that have expired'), async () => {
      failedAlone(await tls({ cert: EXPIRED }), 'certificates', /expired on 2021-01-01/, /renew it/);
    });

    it(
      verifies('G10')('with the key of another, with none at all, and from nobody that is known'),
      async () => {
        const other = await tls({ cert: VALID, key: OTHER_KEY });
        failedAlone(
          other,
          'certificates',
          /tls\.key: this key is not that of the certificate/,
          /private key/,
        );
        const garbage = await tls({ cert: 'garbage' });
        failedAlone(garbage, 'certificates', /tls\.cert: expected a certificate/, /in PEM/);
        warned(
          await tls({ cert: VALID, ca: OTHER_AUTHORITY }),
          'certificates',
          /none of the authorities/,
          /into ca/,
        );
      },
    );
  });

  describe('with backends', () => {
    const reached = (entry: object) => visit({ mcpServers: { tickets: entry } });

    it('one that is away', async () => {
      const found = await reached({ url: `http://127.0.0.1:${await freePort()}/mcp` });
      failedAlone(found, 'backend', /cannot be reached/, /start it/);
    });

    it('one that is no MCP server', async () => {
      await using site = await startWebServer((_, response) => {
        response.setHeader('content-type', 'text/html');
        response.end('<h1>Welcome</h1>');
      });
      failedAlone(
        await reached({ url: `${site.url}/` }),
        'backend',
        /./,
        /url, with the path, is that of an MCP server/,
      );
    });

    it('one that refuses the credential, which is not said', async () => {
      backend.script({ refuse: { [SECRET]: 401 } });
      const found = await reached({ url: backend.url, credential });
      backend.script({ refuse: {} });
      failedAlone(found, 'backend', /./, /credential that the backend takes/);
    });

    it('a program that ends at once, and one that is well', async () => {
      failedAlone(
        await reached({ command: 'false' }),
        'backend',
        /ended with code 1/,
        /run its command by hand/,
      );
      const { command, args, env, cwd } = stdioBackendCommand();
      expect((await reached({ command, args, env, cwd })).code).to.equal(0);
    });

    it("one whose credential is each caller's own is left out, or asked under a caller's token", async () => {
      const entry = { url: backend.url, credential: { strategy: 'passthrough', audience: issuer.audience } };
      const found = await reached(entry);
      expect(found.code).to.equal(0);
      const left = found.findings.find(({ check }) => check === 'backend');
      expect(left).to.include({ status: 'skipped' });
      expect(left?.remedy).to.include('--caller-token-file');
      const token = issuer.token({ sub: 'alice' });
      await practice.write('token', token);
      const asked = await practice.visit(['--config', 'outrigger.yaml', '--caller-token-file', 'token'], ENV);
      expect(asked.findings.find(({ check }) => check === 'backend')).to.include({ status: 'ok' });
      expect(backend.view.authorizations).to.include(`Bearer ${token}`);
      expect(asked.text).to.not.include(token);
      const dead = await reached({ ...entry, url: `http://127.0.0.1:${await freePort()}/mcp` });
      failedAlone(dead, 'backend', /cannot be reached/, /start it/);
    });
  });

  it(verifies('C12')('wrong usage ends with 64'), async () => {
    for (const args of [['--bogus'], ['-o', 'xml'], ['--address', 'a:1', '--cert', 'c']]) {
      const { code, out, err } = await practice.run(['doctor', ...args]);
      expect({ code, out }, args.join(' ')).to.deep.equal({ code: 64, out: '' });
      expect(err).to.not.equal('');
    }
    const missing = await practice.visit(['--config', 'none.yaml']);
    failedAlone(missing, 'configuration', /none\.yaml: cannot be read/, /correct the file/);
  });
});
