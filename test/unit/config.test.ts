import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { configSchema } from '../../.ci/config-schema.ts';
import { loadConfig, loadSettings, type Overrides } from '../../control-plane/config.ts';
import { ConfigError } from '../../shared/config/parse.ts';
import { VERSION } from '../../shared/version.ts';
import { verifies } from '../requirements.ts';
import { AUTHORITY, KEY as TLS_KEY } from '../support/certificates.ts';
import { OTHER_KEY, REPLICA } from '../support/mesh-certificates.ts';

const ROOT = join(import.meta.dirname, '../..');
const KEY = Buffer.alloc(32, 7).toString('base64');
/** What a file needs to be valid, so that a case is about its own line alone. */
const CALLERS = 'identity: { anonymous: true }';
const SERVER = 'mcpServers: { files: { command: node } }';

describe('configuration of the control plane', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-config-'));
  });

  afterEach(() => rm(folder, { recursive: true }));

  async function load(text: string, env: Record<string, string> = {}, overrides: Overrides = {}) {
    await writeFile(join(folder, 'mesh.yaml'), text);
    return loadSettings({ file: 'mesh.yaml', env, cwd: folder, overrides });
  }

  async function problems(text: string, env: Record<string, string> = {}): Promise<string[]> {
    try {
      await load(text, env);
    } catch (error) {
      expect(error).to.be.instanceOf(ConfigError);
      expect(error).to.have.property('exitCode', 64);
      return (error as ConfigError).message.split('\n');
    }
    return [];
  }

  it('a few lines in the shape that every client has are enough', async () => {
    const settings = await load(`
${CALLERS}
mcpServers:
  everything: { type: http, url: "http://127.0.0.1:3001/mcp", headers: { X-Team: blue } }
  files: { command: npx, args: [server-filesystem, /data], env: { DEBUG: "1" } }
`);
    expect(settings.backends.map(({ kind, name }) => `${name} ${kind}`)).to.deep.equal([
      'everything http',
      'files stdio',
    ]);
    expect(settings.virtualServers).to.deep.equal([
      {
        name: 'default',
        backends: ['everything', 'files'],
        naming: { mode: 'prefix', order: ['everything', 'files'] },
        shapes: [],
        instructions: undefined,
      },
    ]);
    expect(settings.store).to.deep.equal({ kind: 'embedded', path: join(folder, '.outrigger/store') });
    expect(settings.listen.grpc).to.deep.equal({ host: '127.0.0.1', port: 4290 });
    expect(settings.keys).to.equal(undefined);
  });

  it(
    verifies('G10')('beyond loopback the mesh stream has certificates, which are read with the file'),
    async () => {
      const at = (more: string) =>
        `${CALLERS}\n${SERVER}\nlisten: { grpc: { address: "0.0.0.0:4290", ${more} } }`;
      await writeFile(join(folder, 'replica.pem'), REPLICA);
      await writeFile(join(folder, 'key.pem'), TLS_KEY);
      await writeFile(join(folder, 'ca.pem'), AUTHORITY);
      const clients = '[{ id: "spiffe://mesh.example/ns/red/*", virtualServers: [red] }]';
      const tls = `tls: { cert: replica.pem, key: key.pem, ca: ca.pem, clients: ${clients} }`;
      const settings = await load(at(tls));
      expect(settings.listen.grpc).to.deep.equal({ host: '0.0.0.0', port: 4290 });
      expect(settings.meshTls).to.deep.equal({
        certificates: { cert: REPLICA, key: TLS_KEY, ca: AUTHORITY },
        clients: [{ id: 'spiffe://mesh.example/ns/red/*', virtualServers: ['red'] }],
        replicas: ['spiffe://mesh.example/ns/outrigger/sa/control-plane'],
        workloadTokens: undefined,
      });
      await writeFile(join(folder, 'key.pem'), OTHER_KEY);
      const place = 'mesh.yaml:3: listen.grpc.tls.';
      expect(await problems(at(tls))).to.deep.equal([`${place}key: this key is not that of the certificate`]);
      const wrong = at(tls.replace('spiffe://', 'https://'));
      expect((await problems(wrong))[0]).to.contain(`${place}clients[0].id: expected a SPIFFE id`);
    },
  );

  it('the defaults are the documented ones', async () => {
    const { limits, backends, identity } = await load(`${CALLERS}\n${SERVER}`);
    expect(limits).to.deep.equal({
      sessionIdleMs: 30 * 60_000,
      sessionAbsoluteMs: 24 * 3_600_000,
      liveSessions: 5_000,
      liveBytes: 320 * 1024 ** 2,
      sessionsPerPrincipal: 100,
      anonymousPerSidecar: 1_000,
      initializePerMinute: 600,
      initializeBurst: 100,
      restoreDeadlineMs: 15_000,
      restoresAtOnce: 64,
      initializeAnswerMs: 2_000,
      messageBytes: 4 * 1024 ** 2,
      streamAfterMs: 1_000,
      leaseMs: 1_000,
      drainMs: 30_000,
      stdioChildren: 64,
    });
    expect(backends[0]?.timeouts).to.deep.equal({
      initializeMs: 10_000,
      requestMs: 60_000,
      humanPacedMs: 600_000,
    });
    expect(backends[0]?.limits).to.deep.equal({ concurrency: 64, queue: 1_024 });
    expect(backends[0]?.handshakes).to.deep.equal({ atOnce: 32, perSecond: 200 });
    expect(identity).to.include({ verdictCacheMs: 60_000, clockToleranceMs: 5_000, tokenGraceMs: 30_000 });
  });

  it(
    verifies('AGG-4', 'AGG-9')('what backends show is shaped for each, and for each virtual server'),
    async () => {
      const { virtualServers, backends } = await load(`${CALLERS}
mcpServers:
  a:
    command: x
    filter: { tools: { deny: ["rm_*"] } }
    tools:
      t: { replay: safe, name: u, title: T, description: D, annotations: { readOnlyHint: true } }
      only-replayed: { replay: safe }
    prompts: { p: { name: q } }
    resources: { "m:1": { title: One } }
    resourceTemplates: { "m:{n}": { description: Some } }
  b: { command: y }
virtualServers:
  all: { naming: { mode: manual, names: { a: { tools: { t: find } }, b: { prompts: { t: find } } } } }
  few: { backends: [a], filter: { a: { tools: { allow: [u] }, resources: { allow: [] } } } }`);
      const edits = [
        {
          kind: 'tools',
          original: 't',
          name: 'u',
          title: 'T',
          description: 'D',
          annotations: { readOnlyHint: true },
        },
        { kind: 'resources', original: 'm:1', title: 'One' },
        { kind: 'resourceTemplates', original: 'm:{n}', description: 'Some' },
        { kind: 'prompts', original: 'p', name: 'q' },
      ];
      const deny = { kind: 'tools', allow: undefined, deny: ['rm_*'] };
      expect(virtualServers.map(({ naming, shapes }) => ({ naming, shapes }))).to.deep.equal([
        {
          naming: {
            mode: 'manual',
            order: ['a', 'b'],
            names: [
              { kind: 'tools', backend: 'a', original: 't', visible: 'find' },
              { kind: 'prompts', backend: 'b', original: 't', visible: 'find' },
            ],
          },
          shapes: [{ backend: 'a', filters: [deny], edits }],
        },
        {
          naming: { mode: 'none', order: ['a'] },
          shapes: [
            {
              backend: 'a',
              filters: [
                deny,
                { kind: 'tools', allow: ['u'], deny: [] },
                { kind: 'resources', allow: [], deny: [] },
              ],
              edits,
            },
          ],
        },
      ]);
      expect([...(backends[0]?.replaySafe ?? [])]).to.deep.equal(['t', 'only-replayed']);
    },
  );

  it('variables are expanded, with defaults, and a literal ${ can be written', async () => {
    const { backends } = await load(
      `${CALLERS}\nmcpServers:\n  a: { url: "http://\${HOST:-127.0.0.1}:\${PORT}/mcp" }\n  b: { command: sh, args: ["$\${HOME}", "\${EMPTY:-full}"] }`,
      { PORT: '81', EMPTY: '' },
    );
    expect(backends[0]).to.have.property('url', 'http://127.0.0.1:81/mcp');
    expect(backends[1]).to.have.deep.property('args', ['$'.concat('{HOME}'), 'full']);
  });

  it('a remote backend has a breaker, and an authority of its own where that is named', async () => {
    await writeFile(join(folder, 'ca.pem'), 'a certificate');
    const [plain, own] = (
      await load(`${CALLERS}
mcpServers:
  a: { url: "https://a.example/mcp" }
  b: { url: "https://b.example/sse", type: sse, tls: { ca: ca.pem }, breaker: { failures: 2, open: 5s } }`)
    ).backends;
    expect(plain).to.deep.include({ kind: 'http', ca: undefined, breaker: { failures: 5, openMs: 30_000 } });
    expect(own).to.deep.include({
      kind: 'sse',
      ca: 'a certificate',
      breaker: { failures: 2, openMs: 5_000 },
    });
  });

  it('JSON is read as well', async () => {
    const { backends } = await load('{"identity":{"anonymous":true},"mcpServers":{"a":{"command":"x"}}}');
    expect(backends).to.have.lengthOf(1);
  });

  it('a child inherits nothing that could hold a secret', async () => {
    const { backends } = await load(`${CALLERS}\n${SERVER}`, {
      PATH: '/bin',
      AWS_SECRET_ACCESS_KEY: 'x',
      NODE_OPTIONS: 'y',
    });
    expect(backends[0]).to.have.deep.property('env', { PATH: '/bin' });
  });

  it('secrets come from files and the environment', async () => {
    await writeFile(join(folder, 'token'), 'from-a-file\n');
    const { backends } = await load(
      `${CALLERS}
mcpServers:
  a: { url: "https://a.example/mcp", credential: { strategy: header, name: Authorization, prefix: "Bearer ", value: { file: token } } }
  b: { url: "https://b.example/mcp", credential: { strategy: header, name: X-Key, value: { env: B_KEY } } }`,
      { B_KEY: 'from-the-environment' },
    );
    expect(backends.map(({ credential }) => credential)).to.deep.equal([
      { strategy: 'header', name: 'Authorization', value: 'Bearer from-a-file' },
      { strategy: 'header', name: 'X-Key', value: 'from-the-environment' },
    ]);
  });

  it('the command line wins over the file', async () => {
    const settings = await load(
      `replica: a\n${CALLERS}\n${SERVER}`,
      {},
      {
        replica: 'b',
        listen: '127.0.0.1:0',
        ops: '[::1]:4391',
        state: 'elsewhere',
        store: 'memory',
        logFormat: 'json',
      },
    );
    expect(settings).to.include({ replica: 'b', stateFolder: join(folder, 'elsewhere') });
    expect(settings.listen).to.deep.equal({
      grpc: { host: '127.0.0.1', port: 0 },
      advertise: undefined,
      ops: { host: '::1', port: 4391 },
    });
    expect(settings.store).to.deep.equal({ kind: 'memory' });
    expect(settings.log).to.deep.equal({ level: 'info', format: 'json' });
  });

  it('with Redis the keys are named, and rotate', async () => {
    const { store, keys } = await load(
      `${CALLERS}\n${SERVER}
store: { type: redis, url: "redis://127.0.0.1:6379", durability: replicated, password: { env: PASSWORD } }
keys:
  server: [{ id: new, env: NEW }, { id: old, env: OLD }]
  index: { current: { env: NEW }, previous: { env: OLD } }`,
      { NEW: KEY, OLD: Buffer.alloc(32, 8).toString('hex'), PASSWORD: 'horse-staple' },
    );
    expect(store).to.deep.equal({
      kind: 'redis',
      url: 'redis://:horse-staple@127.0.0.1:6379',
      prefix: 'outrigger',
      durability: 'replicated',
      waitReplicas: 1,
      commandTimeoutMs: 500,
    });
    expect(keys?.server.map(({ id, key }) => [id, key[0]])).to.deep.equal([
      ['new', 7],
      ['old', 8],
    ]);
    expect(keys?.index.previous?.[0]).to.equal(8);
  });

  const WRONG: readonly (readonly [what: string, text: string, ...expected: string[]])[] = [
    [
      'an unknown key',
      `${CALLERS}\n${SERVER}\nreplcia: a`,
      'mesh.yaml:3: replcia: unknown key; did you mean replica?',
    ],
    [
      'several at once, in their places',
      `${CALLERS}\nmcpServers:\n  files:\n    command: node\n    arg: []\n    enviroment: {}\nlimits: { sesionIdle: 1m }`,
      'mesh.yaml:5: mcpServers.files.arg: unknown key; did you mean args?',
      'mesh.yaml:6: mcpServers.files.enviroment: unknown key; did you mean env?',
      'mesh.yaml:7: limits.sesionIdle: unknown key; did you mean sessionIdle?',
    ],
    [
      'a backend that is neither a command nor a URL',
      `${CALLERS}\nmcpServers: { files: { args: [] } }`,
      'mesh.yaml:2: mcpServers.files.command: is required',
    ],
    [
      'a bad URL',
      `${CALLERS}\nmcpServers: { a: { url: "ftp://a.example" } }`,
      'mesh.yaml:2: mcpServers.a.url: expected an http or https URL without a fragment',
    ],
    [
      'a duplicate name',
      `${CALLERS}\nmcpServers:\n  a: { command: x }\n  a: { command: y }`,
      'mesh.yaml:4: this key stands here twice',
    ],
    [
      'a name that could not be a prefix',
      `${CALLERS}\nmcpServers: { My Files: { command: x } }`,
      'mesh.yaml:2: mcpServers["My Files"]: expected a name of lower-case letters, digits and -, at most 40 characters',
    ],
    [
      'link-local, however it is written',
      `${CALLERS}\nmcpServers:\n  a: { url: "http://169.254.169.254/" }\n  b: { url: "http://0xa9fea9fe/" }\n  c: { url: "http://[::ffff:169.254.1.1]/" }\n  d: { url: "http://metadata.google.internal/" }`,
      'mesh.yaml:3: mcpServers.a.url: link-local addresses and cloud metadata services are never a backend',
      'mesh.yaml:4: mcpServers.b.url: link-local addresses and cloud metadata services are never a backend',
      'mesh.yaml:5: mcpServers.c.url: link-local addresses and cloud metadata services are never a backend',
      'mesh.yaml:6: mcpServers.d.url: link-local addresses and cloud metadata services are never a backend',
    ],
    [
      'a password in a URL',
      `${CALLERS}\nmcpServers: { a: { url: "http://me:pass@a.example/" } }`,
      'mesh.yaml:2: mcpServers.a.url: a URL holds no credentials: use credential or headers',
    ],
    [
      'a header of the mesh',
      `${CALLERS}\nmcpServers: { a: { url: "http://a.example/", headers: { Mcp-Session-Id: x } } }`,
      'mesh.yaml:2: mcpServers.a.headers.Mcp-Session-Id: this header belongs to the mesh',
    ],
    [
      'a header value that would be two headers',
      `${CALLERS}\nmcpServers: { a: { url: "http://a.example/", headers: { X: "a\\r\\nb: c" } } }`,
      'mesh.yaml:2: mcpServers.a.headers.X: expected a header value: one line of Latin-1 text',
    ],
    [
      'a duration without its unit',
      `${CALLERS}\n${SERVER}\nlimits: { requestTimeout: 30 }`,
      'mesh.yaml:3: limits.requestTimeout: expected a duration with its unit, such as 500ms, 30s or 1h30m',
    ],
    [
      'a lease that is too long',
      `${CALLERS}\n${SERVER}\nlimits: { lease: 2s }`,
      'mesh.yaml:3: limits.lease: expected at most 1s',
    ],
    [
      'a variable that is not set',
      `${CALLERS}\nmcpServers: { a: { url: "http://a.example/", headers: { Authorization: "Bearer \${TOKEN}" } } }`,
      'mesh.yaml:2: mcpServers.a.headers.Authorization: the environment variable TOKEN is not set',
    ],
    [
      'a variable that is written wrongly',
      `${CALLERS}\nmcpServers: { a: { command: "\${a b}" } }`,
      'mesh.yaml:2: mcpServers.a.command: a variable is written $'.concat('{NAME} or $', '{NAME:-default}'),
    ],
    [
      'an unknown strategy',
      `${CALLERS}\nmcpServers: { a: { url: "http://a.example/", credential: { strategy: passthru } } }`,
      'mesh.yaml:2: mcpServers.a.credential.strategy: expected one of none, header, token_exchange, id_jag, client_credentials, stored, discover, aws_sigv4, passthrough, env',
    ],
    [
      'nobody who could call',
      SERVER,
      'mesh.yaml: identity: nobody could call: name at least one issuer, or set anonymous: true',
    ],
    [
      'a loopback audience in production',
      `${SERVER}\nidentity: { issuers: [{ issuer: "https://i.example", jwksUri: "https://i.example/jwks", audiences: ["http://127.0.0.1:4280/mcp"] }] }`,
      'mesh.yaml:2: identity.issuers[0].audiences: a loopback URL is the same in every mesh: use a logical resource, or acceptLoopbackAudience: true in development',
    ],
    [
      'keys over a readable network',
      `${SERVER}\nidentity: { issuers: [{ issuer: "https://i.example", jwksUri: "http://i.example/jwks", audiences: [a] }] }`,
      'mesh.yaml:2: identity.issuers[0].jwksUri: expected https, except on loopback',
    ],
    [
      'a symmetric algorithm',
      `${SERVER}\nidentity: { issuers: [{ issuer: i, jwksUri: "https://i.example", audiences: [a], algorithms: [HS256] }] }`,
      'mesh.yaml:2: identity.issuers[0].algorithms[0]: expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519; did you mean RS256?',
    ],
    [
      'Redis without keys',
      `${CALLERS}\n${SERVER}\nstore: { type: redis, url: "redis://127.0.0.1" }`,
      'mesh.yaml: keys: required with Redis: the same server and index keys for every replica, 32 bytes each in base64 (openssl rand -base64 32)',
    ],
    [
      'a key that is too short',
      `${CALLERS}\n${SERVER}\nkeys: { server: [{ id: a, env: SHORT }], index: { current: { env: LONG } } }`,
      'mesh.yaml:3: keys.server[0]: expected 32 bytes in base64, base64url or hex',
    ],
    [
      'the mesh stream on the network',
      `${CALLERS}\n${SERVER}\nlisten: { grpc: "0.0.0.0:4290" }`,
      "mesh.yaml:3: listen.grpc: the mesh stream carries callers' tokens: only a loopback address, or listen.grpc.tls with cert, key and ca",
    ],
    [
      'a virtual server of servers that do not exist',
      `${CALLERS}\n${SERVER}\nvirtualServers: { team: { backends: [files, flies] } }`,
      'mesh.yaml:3: virtualServers.team.backends[1]: no such server; known here: files',
    ],
    [
      'a name that no client takes',
      `${CALLERS}\nmcpServers: { a: { command: x, tools: { t: { name: "two words" } } } }`,
      'mesh.yaml:2: mcpServers.a.tools.t.name: expected at most 128 letters, digits, _, - and .',
    ],
    [
      'one name for two items',
      `${CALLERS}\nmcpServers:\n  a:\n    command: x\n    tools:\n      t: { name: n }\n      u: { name: n }\n      v: { name: ${'v'.repeat(126)} }`,
      'mesh.yaml:7: mcpServers.a.tools.u.name: t has this name already',
      'mesh.yaml:8: mcpServers.a.tools.v.name: too long: a name has at most 128 characters with its prefix',
    ],
    [
      'a manual name that another item has, or that is a prefixed one',
      `${CALLERS}\nmcpServers: { a: { command: x }, b: { command: y } }\nvirtualServers:\n  v:\n    naming:\n      mode: manual\n      names:\n        a: { tools: { t: n } }\n        b: { tools: { t: n }, prompts: { t: n, u: a__u } }\n        c: { tools: {} }`,
      'mesh.yaml:9: virtualServers.v.naming.names.b.tools.t: t of a has this name already',
      'mesh.yaml:9: virtualServers.v.naming.names.b.prompts.u: names that begin with a__ are those of what is not named here',
      'mesh.yaml:10: virtualServers.v.naming.names.c: no such server; known here: a, b',
    ],
    [
      'names where none are given, and a filter for no server',
      `${CALLERS}\n${SERVER}\nvirtualServers:\n  v:\n    naming: { names: { files: { tools: { t: n } } } }\n    filter: { flies: {} }`,
      'mesh.yaml:5: virtualServers.v.naming.names: names are given in mode manual only',
      'mesh.yaml:6: virtualServers.v.filter.flies: no such server; known here: files',
    ],
    ['no YAML', `${CALLERS}\nmcpServers: [`, 'mesh.yaml:2: not valid YAML or JSON (bad indent)'],
    ['nothing at all', '', 'mesh.yaml: mcpServers: is required'],
  ];

  for (const [what, text, ...expected] of WRONG) {
    it(verifies('C12')(`${what} is refused, with its place`), async () => {
      expect(await problems(text, { SHORT: 'abc', LONG: KEY })).to.deep.equal(expected);
    });
  }

  it('Redis without keys is accepted where all replicas share the state folder that has them', async () => {
    const text = `${SERVER}\nidentity: { anonymous: true }\nstore: { type: redis, url: "redis://127.0.0.1:6379" }`;
    expect((await load(text, {}, { sharedState: true })).keys).to.equal(undefined);
  });

  it('no problem ever tells a value', async () => {
    const said = await problems(
      `mcpServers: { a: { url: "\${SECRET}", headers: { X: "\${SECRET}\\n" }, shared: "\${SECRET}" } }\nlimits: { lease: "\${SECRET}" }\nstore: "\${SECRET}"`,
      { SECRET: 'canary-canary' },
    );
    expect(said).to.have.lengthOf.at.least(4);
    expect(said.join('\n')).not.to.contain('canary');
  });

  it('the quickstart is valid', () => {
    const file = join(ROOT, 'docker/quickstart.yaml');
    const { settings, up } = loadConfig({ file, env: process.env, cwd: folder });
    expect(settings.backends.map(({ name }) => name)).to.deep.equal(['everything', 'files', 'memory']);
    expect(settings.backends[1]).to.have.deep.nested.property('args[1]', join(folder, '.outrigger/files'));
    expect(up.processes.map(({ name }) => name)).to.deep.equal(['everything']);
  });

  it('the published schema is what the loader checks', () => {
    const published: unknown = JSON.parse(readFileSync(join(ROOT, 'docker/config.schema.json'), 'utf8'));
    expect(published).to.deep.equal(JSON.parse(JSON.stringify(configSchema())));
  });

  it('the version is that of the package', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(VERSION).to.equal(version);
  });
});
