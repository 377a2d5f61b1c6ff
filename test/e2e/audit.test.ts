import { mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { defaultScript } from '../support/recording-backend/script.ts';
import { McpClient, type Setting, startSetting, until } from '../support/story.ts';

/** What the audit log says of a day: two callers, two replicas, one of them killed. */
describe('the audit log of a mesh', function () {
  this.timeout(60_000);

  let folder: string;
  let file: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'outrigger-audit-'));
    file = join(folder, 'audit.log');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const events = async () =>
    (await readFile(file, 'utf8').catch(() => ''))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, never>);
  /** `action outcome subject`, in order. */
  const told = async () =>
    (await events()).map(({ action, outcome, principal }) =>
      [action, outcome, (principal as { subject?: string } | undefined)?.subject].join(' '),
    );
  const setting = (audit: object = {}): Promise<Setting> =>
    startSetting({ store: 'embedded', config: { audit: { file, ...audit } } });

  it(
    verifies('OBS-1', 'RST-2')('says who had which session, who was refused, and who ended it'),
    async () => {
      await using mesh = await setting();
      const { client, owner } = await mesh.open();
      const mallory = client.alias({ token: mesh.token({ sub: 'mallory' }) });
      expect((await mallory.call('echo', {})).status).to.equal(404);
      // What is not written yet goes with a replica that is killed.
      await until('that is written', async () => (await told()).includes('session.use denied mallory'));
      await mesh.lose(owner);
      expect((await client.call('echo', { secret: 'argument' })).status).to.equal(200);
      expect((await client.end()).status).to.be.within(200, 299);
      const expected = [
        'session.create allowed alice',
        'session.use denied mallory',
        'session.restore allowed alice',
        'session.terminate allowed alice',
      ];
      await until('all is written', async () => {
        const seen = (await told()).filter((each) => each.startsWith('session.'));
        return JSON.stringify(seen) === JSON.stringify(expected);
      });
      const all = await events();
      const sessions = all.filter(
        ({ action, outcome }) => `${action}` !== 'session.use' && outcome === 'allowed',
      );
      expect(new Set(sessions.map(({ session }) => session)).size).to.equal(1);
      expect(new Set(all.map(({ replica }) => replica)).size).to.equal(2);
      const text = await readFile(file, 'utf8');
      for (const secret of [client.token, mallory.token, client.sessionId, 'argument']) {
        expect(text).to.not.contain(secret);
      }
    },
  );

  it(
    verifies(
      'OBS-1',
      'AGG-7',
    )('says what was called and what was denied, with its trace, and no arguments unasked'),
    async () => {
      const restricted = { requiredScopes: [], tools: { effect: { requiredScopes: ['effects'] } } };
      await using mesh = await startSetting({
        store: 'embedded',
        replicas: 1,
        entry: restricted,
        config: { audit: { file, arguments: true } },
      });
      const client = await McpClient.open({ url: mesh.mesh.url, token: mesh.token() });
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
      const params = { name: 'echo', arguments: { n: 1 } };
      await client.send({ jsonrpc: '2.0', id: 9, method: 'tools/call', params }, { traceparent }).reply();
      const refused = { name: 'effect', arguments: { n: 2 } };
      const message = { jsonrpc: '2.0', id: 10, method: 'tools/call', params: refused };
      expect((await client.send(message, { traceparent }).reply()).status).to.equal(403);
      await client.call('nothing', {});
      await until('both calls are written', async () => (await told()).length >= 3);
      const [, allowed, denied, ...more] = await events();
      expect(more).to.deep.equal([]);
      expect(allowed).to.deep.include({
        action: 'call',
        outcome: 'allowed',
        method: 'tools/call',
        backend: 'rec',
        kind: 'tool',
        item: 'echo',
        visible: 'echo',
        traceId: '0af7651916cd43dd8448eb211c80319c',
        arguments: { n: 1 },
      });
      expect(denied).to.deep.include({
        action: 'call',
        outcome: 'denied',
        method: 'tools/call',
        item: 'effect',
        reason: 'insufficient_scope',
        session: allowed?.['session'],
        traceId: '0af7651916cd43dd8448eb211c80319c',
        arguments: { n: 2 },
      });
      // A method that the mesh does not know reaches the only backend as well.
      await client.request('vendor/method');
      await until('it is written', async () => (await told()).length === 4);
      expect((await events()).at(-1)).to.deep.include({
        method: 'vendor/method',
        outcome: 'allowed',
        backend: 'rec',
      });
    },
  );

  it(
    verifies(
      'OBS-1',
      'AGG-15',
    )('says who followed a task, who listed tasks and who lacked a scope for either; limits count them'),
    async () => {
      const { capabilities } = defaultScript();
      const tasks = { list: {}, cancel: {}, requests: { tools: { call: {} } } };
      await using mesh = await startSetting({
        store: 'embedded',
        replicas: 1,
        script: { capabilities: { ...capabilities, tasks } },
        entry: { requiredScopes: ['rec:use'] },
        config: {
          audit: { file },
          callLimits: { rules: [{ name: 'calls', per: ['principal'], calls: 5, window: '1h' }] },
        },
      });
      const client = await McpClient.open({ url: mesh.mesh.url, token: mesh.token({ scope: 'rec:use' }) });
      const made = await client.request('tools/call', { name: 'echo', arguments: {}, task: { ttl: 60_000 } });
      const { result } = made.answer ?? {};
      const { taskId } = (result as { task: { taskId: string } }).task;
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
      const follow = { jsonrpc: '2.0', id: 9, method: 'tasks/get', params: { taskId } };
      expect((await client.send(follow, { traceparent }).reply()).status).to.equal(200);
      await client.request('tasks/list');
      const lesser = client.alias({ token: mesh.token() });
      expect((await lesser.request('tasks/cancel', { taskId })).status).to.equal(403);
      expect((await lesser.request('vendor/method')).status).to.equal(403);
      await client.request('tasks/cancel', { taskId });
      await client.request('tasks/result', { taskId });
      const counted = await client.request('tasks/get', { taskId });
      expect(counted.status).to.equal(429);
      // A list has what it may have, and says whom it did not ask.
      const list = await client.request('tasks/list');
      expect(list.answer?.result).to.deep.nested.include({
        '_meta.dev\\.outrigger/backends.rec.reason': 'rate_limited',
      });
      const calls = async () => (await events()).filter(({ action }) => `${action}` === 'call');
      await until('all is written', async () => (await calls()).length === 9);
      expect((await calls()).map((each) => [each['method'], each['outcome'], each['reason']])).to.deep.equal([
        ['tools/call', 'allowed', undefined],
        ['tasks/get', 'allowed', undefined],
        ['tasks/list', 'allowed', undefined],
        ['tasks/cancel', 'denied', 'insufficient_scope'],
        ['vendor/method', 'denied', 'insufficient_scope'],
        ['tasks/cancel', 'allowed', undefined],
        ['tasks/result', 'allowed', undefined],
        ['tasks/get', 'denied', 'rate_limited'],
        ['tasks/list', 'denied', 'rate_limited'],
      ]);
      const [, followed] = await calls();
      expect(followed).to.deep.include({
        backend: 'rec',
        kind: 'task',
        traceId: '0af7651916cd43dd8448eb211c80319c',
      });
      expect(await readFile(file, 'utf8')).to.not.contain(taskId);
    },
  );

  it('begins a new file on SIGHUP, when the old one was moved away', async () => {
    await using mesh = await startSetting({ store: 'embedded', replicas: 1, config: { audit: { file } } });
    const client = await McpClient.open({ url: mesh.mesh.url, token: mesh.token() });
    await until('the session is written', async () => (await told()).length === 1);
    await rename(file, `${file}.1`);
    for (const { pid } of mesh.mesh.replicas) process.kill(pid, 'SIGHUP');
    await until('the new file is there', () =>
      stat(file).then(
        () => true,
        () => false,
      ),
    );
    await client.call('echo', {});
    await until('the call is in it', async () => (await told()).join() === 'call allowed alice');
  });

  it('an event that cannot be kept ends the replica, where nothing may go unsaid', async () => {
    // A device on which every write meets a full disk.
    file = '/dev/full';
    await using mesh = await startSetting({
      store: 'embedded',
      replicas: 1,
      config: { audit: { file, onLoss: 'stop' } },
    });
    await new McpClient({ url: mesh.mesh.url, token: mesh.token() }).initialize();
    await until('it has ended', () =>
      mesh.mesh.log().some((line) => line.includes('audit event could not be kept')),
    );
  });
});
