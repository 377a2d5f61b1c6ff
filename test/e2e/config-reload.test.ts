import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { startIssuer } from '../support/issuer.ts';
import { type Incoming, McpClient, type Reply, reasonOf, textOf } from '../support/mcp-client.ts';
import { type Mesh, type MeshOptions, startMesh } from '../support/mesh.ts';
import { RecordingBackend, type Script } from '../support/recording-backend.ts';
import { metric, until } from '../support/story.ts';

/** Over several replicas, each of which watches the file for itself. */
const namesOf = (reply: Reply) =>
  ((reply.answer?.result as { tools?: readonly { name: string }[] })?.tools ?? []).map(({ name }) => name);
const tools = (...names: string[]) => names.map((name) => ({ name }));

/** Announcements of lists, in the words of the method. */
const announced = (incoming: Incoming) =>
  incoming.messages.flatMap(({ method }) => (method?.endsWith('list_changed') ? [method.split('/')[1]] : []));

const reloads = (mesh: Mesh, result: string) =>
  Promise.all(
    mesh.replicas.map(async ({ ops }) => {
      const text = await (await fetch(`${ops}/metrics`)).text();
      return Number(new RegExp(`reloads_total\\{result="${result}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
    }),
  );
const everywhere = (mesh: Mesh, result: string, count = 1) =>
  until(`every replica counts ${count} ${result}`, async () =>
    (await reloads(mesh, result)).every((each) => each >= count),
  );
const digests = (mesh: Mesh) =>
  Promise.all(
    mesh.replicas.map(
      async ({ ops }) => /digest="(\w+)"/.exec(await (await fetch(`${ops}/metrics`)).text())?.[1],
    ),
  );

describe('A configuration that changes while the mesh runs', function () {
  this.timeout(60_000);

  const backends: RecordingBackend[] = [];
  const meshes: Mesh[] = [];
  afterEach(async () => {
    await Promise.all(meshes.splice(0).map((each) => each[Symbol.asyncDispose]()));
    await Promise.all(backends.splice(0).map((each) => each.stop()));
  });

  const backend = async (script: Partial<Script>) => {
    const started = await RecordingBackend.start(script);
    backends.push(started);
    return started;
  };
  const start = async (config: Record<string, unknown>, more: Partial<MeshOptions> = {}) => {
    const mesh = await startMesh({
      replicas: 2,
      sidecars: 2,
      spread: true,
      anonymous: true,
      config,
      ...more,
    });
    meshes.push(mesh);
    return mesh;
  };
  const listening = async (mesh: Mesh) =>
    Promise.all(
      mesh.urls.map(async (url) => {
        const client = await McpClient.open({ url });
        await client.request('tools/list');
        return { client, incoming: await client.listen() };
      }),
    );
  /** What was announced before this came of what changed before. */
  const quiet = () => sleep(1_500);

  it(
    verifies(
      'AGG-10',
      'CAP-1',
    )('is seen by the sessions of every replica, announced once where lists differ'),
    async () => {
      const [alpha, beta] = [await backend({ tools: tools('one') }), await backend({ tools: tools('two') })];
      const mcpServers = { alpha: { url: alpha.url }, beta: { url: beta.url } };
      const mesh = await start({ mcpServers });
      expect(await Promise.all(mesh.replicas.map((each) => metric(each, 'outrigger_sessions')))).to.be.length(
        2,
      );
      const sessions = await listening(mesh);
      expect(
        await Promise.all(mesh.replicas.map((each) => metric(each, 'outrigger_sessions'))),
      ).to.deep.equal([1, 1]);
      await quiet();
      await mesh.configure({ mcpServers, virtualServers: { default: { naming: { mode: 'priority' } } } });
      for (const { incoming } of sessions) await incoming.message('notifications/tools/list_changed');
      for (const { client } of sessions) {
        expect(namesOf(await client.request('tools/list'))).to.deep.equal(['one', 'two']);
        expect(textOf(await client.call('two', { n: 1 }))).to.contain('1');
        expect(reasonOf(await client.call('beta__two'))).to.equal('invalid_params');
      }
      await quiet();
      expect(sessions.map(({ incoming }) => announced(incoming))).to.deep.equal([['tools'], ['tools']]);
      expect(new Set(await digests(mesh)).size).to.equal(1);
    },
  );

  it(
    verifies('AGG-10')('is not heard by a session that sees no difference, which is not read again either'),
    async () => {
      const alpha = await backend({ tools: tools('one') });
      const beta = await backend({ tools: tools('two') });
      const mcpServers = { alpha: { url: alpha.url }, beta: { url: beta.url } };
      const mesh = await start({ mcpServers, virtualServers: { default: { backends: ['alpha'] } } });
      const [session] = await listening(mesh);
      await quiet();
      const before = alpha.view.requests({}).length;
      await mesh.configure({
        mcpServers,
        virtualServers: { default: { backends: ['alpha'], instructions: 'new' }, both: {} },
        limits: { requestTimeout: '30s' },
      });
      await everywhere(mesh, 'applied');
      await quiet();
      expect(session && announced(session.incoming)).to.deep.equal([]);
      expect(alpha.view.requests({}).length).to.equal(before);
      const { answer } = await new McpClient({ url: mesh.url }).initialize();
      expect(answer?.result).to.have.property('instructions').that.contains('new');
    },
  );

  it(
    verifies('C12')('changes nothing when it is wrong, and is counted; one that is right again counts'),
    async () => {
      const alpha = await backend({ tools: tools('echo') });
      const config = { mcpServers: { alpha: { url: alpha.url } } };
      const mesh = await start(config);
      const [session] = await listening(mesh);
      const before = await digests(mesh);
      await mesh.configure({ mcpServers: { alpha: { url: 'no url' }, beta: { url: alpha.url } } });
      await everywhere(mesh, 'rejected');
      await mesh.configure('{"mcpServers": {"alpha": ');
      await everywhere(mesh, 'rejected', 2);
      await mesh.configure({ mcpServers: { alpha: { url: alpha.url, credential: secretIn('missing') } } });
      await everywhere(mesh, 'rejected', 3);
      expect(await digests(mesh)).to.deep.equal(before);
      expect(namesOf((await session?.client.request('tools/list')) as Reply)).to.deep.equal(['echo']);
      expect(await metric(mesh.replicas[0] as never, 'outrigger_config_last_reload_successful')).to.equal(0);
      const said = mesh.log().filter((line) => line.includes('config_rejected'));
      expect(said.some((line) => line.includes('mcpServers.alpha.url'))).to.equal(true);
      // The file that was missing comes: nobody touches the configuration itself.
      await mesh.write('missing', 'a-secret-of-this-test');
      await everywhere(mesh, 'applied');
      expect(await metric(mesh.replicas[0] as never, 'outrigger_config_last_reload_successful')).to.equal(1);
      expect(mesh.log().filter((line) => line.includes('a-secret-of'))).to.deep.equal([]);
    },
  );

  it(verifies('AGG-10', 'RST-6')('adds and takes backends from sessions that live'), async () => {
    const [alpha, beta] = [await backend({ tools: tools('one') }), await backend({ tools: tools('two') })];
    const both = { alpha: { url: alpha.url }, beta: { url: beta.url } };
    const naming = { virtualServers: { default: { naming: { mode: 'prefix' } } } };
    const mesh = await start({ mcpServers: { alpha: both.alpha }, ...naming });
    const sessions = await listening(mesh);
    const heard = () =>
      sessions.map(({ incoming }) => announced(incoming).filter((kind) => kind === 'tools').length);
    await quiet();
    await mesh.configure({ mcpServers: both, ...naming });
    for (const { client, incoming } of sessions) {
      await incoming.message('notifications/tools/list_changed');
      expect(namesOf(await client.request('tools/list'))).to.deep.equal(['alpha__one', 'beta__two']);
      expect((await client.call('beta__two', {})).answer?.error).to.equal(undefined);
    }
    await quiet();
    expect(heard()).to.deep.equal([1, 1]);
    await mesh.configure({ mcpServers: { beta: both.beta }, ...naming });
    await until('both are told', () => heard().every((count) => count === 2));
    expect(alpha.view.requests({ method: 'DELETE' })).to.have.length(2);
    for (const { client } of sessions) {
      expect(namesOf(await client.request('tools/list'))).to.deep.equal(['beta__two']);
      expect(reasonOf(await client.call('alpha__one'))).to.equal('invalid_params');
    }
    await quiet();
    expect(heard()).to.deep.equal([2, 2]);
    // Its new owner has them under the same configuration.
    await mesh.replicas[0]?.kill('SIGKILL');
    const names = async () => namesOf((await sessions[0]?.client.request('tools/list')) as Reply);
    await until('the session lives on', async () => (await names()).join() === 'beta__two');
  });

  it('lets calls under way finish, at the backend that they began at', async () => {
    const [old, fresh] = [await backend({ tools: tools('echo') }), await backend({ tools: tools('echo') })];
    const mesh = await start({ mcpServers: { alpha: { url: old.url } } }, { replicas: 1, sidecars: 1 });
    const client = await McpClient.open({ url: mesh.url });
    const held = old.hold('tools/call');
    const running = client.beginCall('echo', { which: 'first' });
    await held.arrived;
    await mesh.configure({ mcpServers: { alpha: { url: fresh.url } } });
    await everywhere(mesh, 'applied');
    expect(textOf(await client.call('echo', { which: 'second' }))).to.contain('second');
    expect(fresh.view.executionsOf('echo')).to.equal(1);
    expect(old.view.requests({ method: 'DELETE' })).to.have.length(0);
    held.release();
    expect(textOf(await running.reply())).to.contain('first');
    expect(old.view.executionsOf('echo')).to.equal(1);
    await old.seen({ method: 'DELETE' });
    const asked = fresh.view.requests({ rpc: 'tools/call' })[0]?.sessionId;
    expect(asked).to.not.equal(old.view.requests({ rpc: 'tools/call' })[0]?.sessionId);
  });

  it('keeps the backend session where only the way to it is another', async () => {
    const alpha = await backend({ tools: [{ name: 'count', behaviour: 'count' }] });
    const entry = (concurrency: number) => ({
      mcpServers: { alpha: { url: alpha.url, limits: { concurrency } } },
    });
    const mesh = await start(entry(64), { replicas: 1, sidecars: 1 });
    const client = await McpClient.open({ url: mesh.url });
    await client.call('count');
    await mesh.configure(entry(8));
    await everywhere(mesh, 'applied');
    await client.call('count');
    expect(alpha.view.initialises).to.equal(1);
    expect(alpha.view.requests({ method: 'DELETE' })).to.have.length(0);
  });

  it(verifies('BACK-5')('sends the new secret when the file of a secret is another'), async () => {
    const alpha = await backend({
      tools: [{ name: 'whoami', behaviour: 'whoami' }],
      refuse: { 'Bearer second-secret': 401 },
    });
    const config = {
      mcpServers: { alpha: { url: alpha.url, credential: secretIn('credential') } },
    };
    const mesh = await start(config, { replicas: 1, sidecars: 1, files: { credential: 'first-secret\n' } });
    const client = await McpClient.open({ url: mesh.url });
    expect(textOf(await client.call('whoami'))).to.contain('Bearer first-secret');
    alpha.script({ refuse: { 'Bearer first-secret': 401 } });
    await mesh.write('credential', 'second-secret\n');
    await everywhere(mesh, 'applied');
    expect(textOf(await client.call('whoami'))).to.contain('Bearer second-secret');
    expect(alpha.view.initialises).to.equal(1);
    expect(mesh.log().filter((line) => /(?:first|second)-secret/.test(line))).to.deep.equal([]);
  });

  it(
    verifies('HTTP-22', 'I3')('trusts an issuer no more: calls, lists and listening of its tokens end'),
    async () => {
      const [kept, gone] = [await startIssuer(), await startIssuer()];
      try {
        const alpha = await backend({ tools: tools('echo') });
        const trusted = (...issuers: (typeof kept)[]) => ({
          mcpServers: { alpha: { url: alpha.url } },
          identity: {
            issuers: issuers.map(({ url, jwksUri, audience }) => ({
              issuer: url,
              jwksUri,
              audiences: [audience],
            })),
          },
        });
        const mesh = await start(trusted(kept, gone), { anonymous: false });
        const mine = await McpClient.open({ url: mesh.url, token: kept.token() });
        const theirs = await McpClient.open({ url: mesh.url, token: gone.token() });
        for (const client of [mine, theirs]) await client.request('tools/list');
        const incoming = await theirs.listen();
        await mesh.configure(trusted(kept));
        await incoming.ended;
        await until('401', async () => (await theirs.request('tools/list')).status === 401, 2_000);
        expect((await theirs.call('echo')).status).to.equal(401);
        expect((await mine.call('echo', { n: 1 })).status).to.equal(200);
        const metadata = await fetch(new URL('/.well-known/oauth-protected-resource/mcp', mesh.url));
        const { authorization_servers: servers } = (await metadata.json()) as {
          authorization_servers: string[];
        };
        expect(servers).to.deep.equal([kept.url]);
      } finally {
        await Promise.all([kept.stop(), gone.stop()]);
      }
    },
  );

  it('is read at once on SIGHUP, which ends neither a replica nor a sidecar', async () => {
    const alpha = await backend({ tools: tools('echo') });
    const config = { mcpServers: { alpha: { url: alpha.url } } };
    const mesh = await start({ ...config, log: { level: 'info' } }, { logLevel: 'as configured' });
    const [session] = await listening(mesh);
    for (const each of [...mesh.replicas, ...mesh.sidecars]) process.kill(each.pid, 'SIGHUP');
    await everywhere(mesh, 'unchanged');
    await until('the sidecars have read theirs', () =>
      mesh.sidecars.every((each) => each.log().some((line) => line.includes('config_applied'))),
    );
    await mesh.configure({ ...config, log: { level: 'debug' }, limits: { lease: '500ms', message: '1MiB' } });
    await mesh.write(
      'sidecar.json',
      JSON.stringify({ log: { level: 'debug' }, limits: { message: '1MiB' } }),
    );
    await until('they say more', () => {
      const programs = [...mesh.replicas, ...mesh.sidecars];
      return programs.every((each) => each.log().some((line) => line.includes('config_needs_restart')));
    });
    const waiting = mesh.replicas[0]?.log().find((line) => line.includes('config_needs_restart'));
    expect(JSON.parse(waiting ?? '{}')).to.include({ detail: 'limits.message, limits.lease' });
    expect([...mesh.replicas, ...mesh.sidecars].every((each) => each.alive)).to.equal(true);
    expect((await session?.client.request('ping'))?.status).to.equal(200);
  });

  it('is read once or twice for a hundred writes', async () => {
    const alpha = await backend({ tools: tools('echo') });
    const config = (n: number) => ({
      mcpServers: { alpha: { url: alpha.url, timeouts: { request: `${n + 1}s` } } },
    });
    const mesh = await start(config(0), { replicas: 1, sidecars: 1 });
    const client = await McpClient.open({ url: mesh.url });
    for (let n = 1; n <= 100; n += 1) await mesh.configure(config(n));
    await everywhere(mesh, 'applied');
    await quiet();
    expect((await reloads(mesh, 'applied'))[0]).to.be.within(1, 2);
    expect((await client.call('echo', {})).status).to.equal(200);
    expect(alpha.view.initialises).to.equal(1);
  });
});

function secretIn(file: string) {
  return { strategy: 'header', name: 'Authorization', prefix: 'Bearer ', value: { file } };
}
