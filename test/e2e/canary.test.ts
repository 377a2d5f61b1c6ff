import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { ensureBuilt, OUTRIGGER } from '../support/build.ts';
import { Canaries, type Place } from '../support/canaries.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { startMesh } from '../support/mesh.ts';
import { filesBelow, metricsAt, processesBelow, redisContents } from '../support/places.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { startRedis } from '../support/redis.ts';
import { stdioBackendCommand } from '../support/stdio-backend.ts';
import { McpClient, metric, until } from '../support/story.ts';
import { plantSession, troubledLife } from '../support/troubled-life.ts';
import { Watched } from '../support/watched.ts';

describe('no token, session id or secret is anywhere but where it belongs', function () {
  this.timeout(60_000);
  let folder: string;
  let issuer: TestIssuer;
  let backend: RecordingBackend;
  /** Of the callers: nowhere at all. */
  let callers: Canaries;
  /** Of the configuration: in the environment that brings them alone. */
  let secrets: Canaries;
  let env: ReturnType<typeof newSecrets>;

  beforeEach(async () => {
    await ensureBuilt();
    folder = await mkdtemp(join(tmpdir(), 'outrigger-canary-'));
    [issuer, backend] = await Promise.all([startIssuer(), RecordingBackend.start()]);
    [callers, secrets, env] = [new Canaries(), new Canaries(), newSecrets()];
    for (const [name, value] of Object.entries(env)) plantSecret(name, value);
  });
  afterEach(async () => {
    await Promise.all([issuer.stop(), backend.stop(), rm(folder, { recursive: true, force: true })]);
  });

  function plantSecret(name: string, value: string): void {
    secrets.add(name, value);
    if (/key/i.test(name)) secrets.add(`the bytes of ${name}`, Buffer.from(value, 'base64'));
  }

  function nothingIn(places: readonly Place[]): void {
    expect(places).to.not.be.empty;
    expect(places.every(({ content }) => content.length > 0)).to.equal(true);
    const found = [...callers.in(places), ...secrets.in(places)];
    expect(found, `\n${found.join('\n')}\n`).to.deep.equal([]);
  }

  /** What a replica was given is not for its children, and what belongs to a caller is for neither. */
  async function nothingInProcesses(
    pids: readonly number[],
    { except }: { except?: number | undefined } = {},
  ): Promise<void> {
    const processes = (await processesBelow(pids)).filter(({ pid }) => pid !== except);
    nothingIn(
      processes.map(({ pid, commandLine }) => ({ name: `the title of ${pid}`, content: commandLine })),
    );
    const environmentOf = ({ pid, environment }: (typeof processes)[number]): Place => {
      return { name: `the environment of ${pid}`, content: environment };
    };
    expect(callers.in(processes.map(environmentOf))).to.deep.equal([]);
    nothingIn(processes.filter(({ isBackend }) => isBackend).map(environmentOf));
  }

  const surroundings = () => ({
    ...{ issuer, backend, canaries: callers },
    backendSecrets: [env.CANARY_HEADER, env.CANARY_STATIC],
  });

  it(verifies('OBS-1', 'I17', 'HTTP-22')('with Redis, and a sidecar that holds a token'), async () => {
    const password = env.CANARY_PASSWORD;
    await using redis = await startRedis({
      aof: true,
      requirepass: password,
      config: { rdbcompression: 'no' },
    });
    const held = issuer.token({ sub: 'holder' });
    callers.addToken('the token that the sidecar holds', held);
    const file = join(folder, 'token');
    await writeFile(file, held);
    await using mesh = await startMesh({
      replicas: 2,
      logLevel: 'debug',
      store: {
        type: 'redis',
        url: `redis://127.0.0.1:${redis.port}`,
        password: { env: 'CANARY_PASSWORD' },
      },
      config: configuration(issuer, backend),
      sidecarConfig: { token: { file }, allowSharedLoopback: true },
      env,
    });
    const { heard, keep } = await troubledLife({
      ...surroundings(),
      url: mesh.url,
      async loseOwner() {
        for (const replica of mesh.replicas)
          if ((await metric(replica, 'outrigger_sessions')) > 0) await replica.kill('SIGKILL');
      },
      async beforeTheEnd() {
        nothingIn(await redisContents(redis));
        nothingIn(await metricsAt(mesh.replicas.map(({ ops }) => ops)));
        await nothingInProcesses(mesh.replicas.map(({ pid }) => pid));
      },
    });

    const late = new McpClient({ url: mesh.url });
    await redis.kill('SIGKILL');
    const refused = await late.initialize();
    expect(refused.status).to.equal(503);
    keep('initialize without a store', refused);
    await redis.restart();
    await until('sessions can be made again', async () => (await late.initialize()).status === 200);
    plantSession(callers, late.sessionId ?? '');
    await mesh.sidecar.restart();
    keep('the token that the sidecar holds', await late.call('echo'));

    nothingIn(heard);
    nothingIn(await redisContents(redis));
    nothingIn(await metricsAt([mesh.sidecar, ...mesh.replicas].map(({ ops }) => ops)));
    await nothingInProcesses([mesh.sidecar.pid, ...mesh.replicas.map(({ pid }) => pid)]);
    const log = mesh.log().join('\n');
    nothingIn([{ name: 'the logs', content: log }]);
    expect(log)
      .to.contain('another principal')
      .and.to.contain('a token was refused')
      .and.to.contain('I know');
  });

  it(verifies('OBS-1', 'I17')('with the embedded store, as outrigger up starts it'), async () => {
    await writeFile(join(folder, 'mesh.json'), JSON.stringify(configuration(issuer, backend)));
    const args = ['up', '--config', 'mesh.json', '--port-base', '0', '--log-level', 'debug'];
    const up = new Watched([OUTRIGGER, ...args], { cwd: folder, env });
    try {
      const [, url = ''] = await up.line(/^ready: (.*)$/, { withinMs: 30_000 });
      const replicas = up.lines.flatMap((line) => {
        const [, pid, ops] = /^ +replica \w +(\d+) .*(http:\S+)\/metrics/.exec(line) ?? [];
        return ops === undefined ? [] : [{ pid: Number(pid), ops }];
      });
      const state = join(folder, '.outrigger');
      const keys = JSON.parse(await readFile(join(state, 'keys.json'), 'utf8'));
      plantSecret('the server key', keys.server.key);
      plantSecret('the index key', keys.index);
      expect((await stat(join(state, 'keys.json'))).mode & 0o777).to.equal(0o600);
      const { heard } = await troubledLife({
        ...surroundings(),
        url,
        async loseOwner() {
          for (const replica of replicas)
            if ((await metric(replica, 'outrigger_sessions')) > 0) process.kill(replica.pid, 'SIGKILL');
        },
        async beforeTheEnd() {
          await nothingInProcesses([up.child.pid ?? 0]);
        },
      });
      nothingIn(heard);
      nothingIn(await filesBelow(state, ({ name }) => name !== 'keys.json'));
      up.child.kill('SIGTERM');
      await up.exited;
      nothingIn(await filesBelow(state, ({ name }) => name !== 'keys.json'));
      nothingIn([{ name: 'what outrigger up says', content: up.lines.join('\n') }]);
      expect(up.lines.join('\n')).to.contain('another principal').and.to.contain('a token was refused');
    } finally {
      up.child.kill('SIGKILL');
      await up.exited;
    }
  });

  it(
    verifies('I17')('a password in --store goes no further than the command line that holds it'),
    async () => {
      await using redis = await startRedis({ requirepass: env.CANARY_PASSWORD });
      const keys = {
        server: [{ id: 'one', env: 'OUTRIGGER_TEST_SERVER_KEY' }],
        index: { current: { env: 'OUTRIGGER_TEST_INDEX_KEY' } },
      };
      const helper = {
        name: 'helper',
        command: process.execPath,
        args: ['-e', 'setInterval(() => {}, 1_000)'],
      };
      const config = { ...configuration(issuer, backend), keys, up: { replicas: 1, processes: [helper] } };
      await writeFile(join(folder, 'mesh.json'), JSON.stringify(config));
      const store = `redis://:${encodeURIComponent(env.CANARY_PASSWORD)}@127.0.0.1:${redis.port}`;
      const args = ['up', '--config', 'mesh.json', '--port-base', '0', '--store', store];
      const up = new Watched([OUTRIGGER, ...args], { cwd: folder, env });
      try {
        await up.line(/^ready: /, { withinMs: 30_000 });
        await nothingInProcesses([up.child.pid ?? 0], { except: up.child.pid });
        nothingIn([{ name: 'what outrigger up says', content: up.lines.join('\n') }]);
      } finally {
        up.child.kill('SIGTERM');
        await up.exited;
      }
    },
  );
});

describe('the search for secrets bites', () => {
  const token = `eyJhbGciOiJFUzI1NiJ9.${randomBytes(60).toString('base64url')}.${randomBytes(64).toString('base64url')}`;
  const bytes = randomBytes(32);
  const text = `p@ss/${randomBytes(12).toString('base64')}"`;
  const canaries = new Canaries();
  canaries.addToken('a token', token);
  canaries.add('a key', bytes);
  canaries.add('a password', text);

  const LEAKS: Readonly<Record<string, string | Buffer>> = {
    'a token as it is': `401 Bearer ${token}`,
    'the head of a token': `{"kid":"${token.split('.')[0]}"}`,
    'the claims of a token': `claims ${token.split('.')[1]}`,
    'the signature of a token': `${token.split('.')[2]} is wrong`,
    'a token that was cut short': `Unexpected token in "${token.slice(0, 40)}…"`,
    'a header that was encoded whole': Buffer.from(`authorization: Bearer ${token}`).toString('base64'),
    'bytes in a file': Buffer.concat([randomBytes(99), bytes, randomBytes(99)]),
    'bytes in hex': bytes.toString('hex').toUpperCase(),
    'bytes in base64': bytes.toString('base64'),
    'bytes in the middle of base64url': Buffer.concat([randomBytes(1), bytes]).toString('base64url'),
    'a text in a URL': `redis://:${encodeURIComponent(text)}@redis`,
    'a text in JSON': JSON.stringify({ password: text }),
    'a text in JSON that was encoded': Buffer.from(JSON.stringify([text, 1])).toString('base64'),
  };

  for (const [what, content] of Object.entries(LEAKS)) {
    it(`on ${what}`, () => {
      expect(canaries.in([{ name: 'a place', content }])).to.not.be.empty;
    });
  }

  it('and finds nothing where nothing is', () => {
    const noise = Buffer.concat([randomBytes(100_000), Buffer.from(randomBytes(100_000).toString('base64'))]);
    expect(canaries.in([{ name: 'noise', content: noise }])).to.deep.equal([]);
  });
});

const SAYS_ITS_SECRET = "console.error('I know', process.env.LOUD_TOKEN); process.exit(3)";

/** Secrets of the configuration, by the environment variable that brings them. */
function newSecrets() {
  const secret = () => `sk-${randomBytes(24).toString('base64')}`;
  return {
    CANARY_HEADER: secret(),
    CANARY_STATIC: secret(),
    CANARY_PASSWORD: randomBytes(24).toString('base64'),
    CANARY_LOUD: secret(),
    OUTRIGGER_TEST_SERVER_KEY: randomBytes(32).toString('base64'),
    OUTRIGGER_TEST_INDEX_KEY: randomBytes(32).toString('base64'),
  };
}

function configuration(issuer: TestIssuer, backend: RecordingBackend) {
  return {
    mcpServers: {
      rec: {
        url: backend.url,
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the configuration expands it
        headers: { 'x-static': '${CANARY_STATIC}' },
        credential: { strategy: 'header', name: 'x-api-key', value: { env: 'CANARY_HEADER' } },
      },
      kid: stdioBackendCommand(),
      loud: {
        command: process.execPath,
        args: ['-e', SAYS_ITS_SECRET],
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the configuration expands it
        env: { LOUD_TOKEN: '${CANARY_LOUD}' },
      },
    },
    virtualServers: { default: { naming: { mode: 'priority' } } },
    identity: {
      issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audiences: [issuer.audience] }],
    },
    limits: { requestTimeout: '700ms', streamAfter: '200ms', drain: '500ms' },
  };
}
