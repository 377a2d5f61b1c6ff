import { mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
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
