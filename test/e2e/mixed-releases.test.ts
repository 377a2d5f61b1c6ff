import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { RecordCrypto } from '../../control-plane/session/record-crypto.ts';
import { parseSessionId } from '../../control-plane/session/session-id.ts';
import { verifies } from '../requirements.ts';
import { AdminClient } from '../support/admin-client.ts';
import { granted, namesIn } from '../support/lists.ts';
import type { Replica } from '../support/mesh.ts';
import { buildNextRelease, type NextRelease } from '../support/next-release.ts';
import { defaultScript } from '../support/recording-backend/script.ts';
import { answered, McpClient, type Setting, startSetting, textOf, until } from '../support/story.ts';

const SERVER_KEY = randomBytes(32);
const CHANGED = 'notifications/tools/list_changed';

/** Replica `a` and the first sidecar are of this release, replica `b` and the second sidecar of the next one. */
describe('A release and the next one run together', function () {
  this.timeout(60_000);
  let next: NextRelease;
  let setting: Setting;

  before(async () => {
    next = await buildNextRelease();
    setting = await startSetting({
      replicas: 2,
      sidecars: 2,
      spread: true,
      builds: { b: next.outrigger, 'sidecar 2': next.outrigger },
      entry: { credential: { strategy: 'passthrough', audience: 'https://mesh.example/mcp' } },
      config: { admin: { claim: { name: 'roles', value: 'mesh-admin' } } },
      env: { OUTRIGGER_TEST_SERVER_KEY: SERVER_KEY.toString('base64') },
    });
  });
  beforeEach(() => setting.whole());
  after(async () => {
    // First, so that nothing stays of it when the mesh did not start: its programs are read whole.
    await next[Symbol.asyncDispose]();
    await setting[Symbol.asyncDispose]();
  });

  const replicas = () => setting.mesh.replicas as readonly [present: Replica, next: Replica];

  for (const [what, sidecar, home] of [
    ['an older sidecar at an older replica, for comparison', 0, 0],
    ['an older sidecar at a newer replica', 0, 1],
    ['a newer sidecar at an older replica', 1, 0],
  ] as const) {
    it(verifies('C11', 'CAP-2')(`${what}: calls, streams, and lists that it answers itself`), async () => {
      const { backend, mesh } = setting;
      const at = mesh.sidecars[sidecar];
      const away = replicas()[1 - home];
      if (at === undefined || away === undefined) throw new Error('no such process');
      await away.kill('SIGTERM');
      const client = await McpClient.open({ url: at.url, token: setting.token({ sub: what }) });
      const stream = await client.listen();
      await backend.listeners(1);

      expect(textOf(await client.call('echo', { what }))).to.contain(what);
      const long = await client.call('effect', { ms: 1_300 });
      expect(long.headers['content-type']).to.contain('text/event-stream');
      expect(textOf(long)).to.equal('slept');
      await granted(client, at);
      const before = await namesIn(client);
      const more = `more-${sidecar}${home}`;
      backend.script({
        tools: [...defaultScript().tools, { name: 'effect', behaviour: 'slow' }, { name: more }],
      });
      backend.push({ method: CHANGED });
      await stream.message(CHANGED);
      expect(await namesIn(client)).to.include(more);
      expect(before).not.to.include(more);
      await granted(client, at);
      stream.drop();
      await until('nobody listens', () => backend.record.openStreams === 0);
      expect((await client.end()).status).to.equal(200);
      await away.start();
    });
  }

  it(
    verifies(
      'C11',
      'RST-2',
      'RST-5',
    )(
      'a session goes from one to the other and back, as its caller, and loses nothing that the newer one wrote',
    ),
    async () => {
      const { backend, mesh } = setting;
      const [present, newer] = replicas();
      const alice = await Promise.all(
        mesh.urls.map((url) => McpClient.open({ url, token: setting.token({ sub: 'alice' }) })),
      );
      const seen = await Promise.all(alice.map(async (each) => textOf(await each.call('whoami'))));
      const initialises = backend.view.initialises;
      const level = async (name: string) => {
        for (const each of alice) {
          await answered(() => each.request('logging/setLevel', { level: name }));
          await until('it is written', async () => (await bodyOf(each)).logLevel === name);
        }
      };
      const sameAsBefore = async (count: number) => {
        for (const [at, each] of alice.entries()) {
          expect(textOf(await answered(() => each.call('count')))).to.equal(String(count));
          expect(textOf(await each.call('whoami'))).to.equal(seen[at]);
          const thief = each.alias({ token: setting.token({ sub: 'mallory' }) });
          expect((await thief.call('whoami')).status).to.equal(404);
        }
      };
      await sameAsBefore(1);

      await present.kill('SIGTERM');
      await sameAsBefore(2);
      await level('warning');
      const written = await Promise.all(alice.map(async (each) => (await bodyOf(each)).written ?? 0));
      for (const count of written) expect(count).to.be.above(0);
      await present.start();
      await setting.whole();

      await newer.kill('SIGTERM');
      await sameAsBefore(3);
      await level('error');
      for (const [at, each] of alice.entries()) {
        const body = await bodyOf(each);
        expect(body.written).to.equal(written[at]);
        expect(body.hints?.['rec']).to.include({ warmth: 'kept' });
      }
      await newer.start();
      await setting.whole();

      await present.kill('SIGTERM');
      await sameAsBefore(4);
      await level('info');
      for (const [at, each] of alice.entries())
        expect((await bodyOf(each)).written).to.be.above(written[at] ?? 0);
      await present.start();
      expect(backend.view.initialises).to.equal(initialises);
      expect(
        backend.view.deletes.filter(({ sessionId }) => seen.some((text) => text.includes(sessionId ?? '-'))),
      ).to.deep.equal([]);
    },
  );

  it(verifies('C11', 'ADM-1')('an admin asks either and is told of both'), async () => {
    const { mesh } = setting;
    for (const url of mesh.urls) await McpClient.open({ url, token: setting.token({ sub: 'bob' }) });
    const token = setting.token({ sub: 'root', claims: { roles: ['mesh-admin'] } });
    for (const { grpc } of replicas()) {
      using admin = await AdminClient.open({ address: grpc, token });
      await until('both are in the directory', async () => {
        const { replicas: known } = (await admin.ask('ListReplicas')) as { replicas: { version: string }[] };
        return known.length === 2;
      });
      const { replicas: known } = (await admin.ask('ListReplicas')) as { replicas: { version: string }[] };
      expect(known.map(({ version }) => version))
        .to.include('99.0.0')
        .and.to.have.length(2);
      const { sidecars, unreachable } = (await admin.ask('ListSidecars')) as {
        sidecars: unknown[];
        unreachable: unknown[];
      };
      expect(sidecars).to.have.length(2);
      expect(unreachable).to.deep.equal([]);
      const { sessions } = (await admin.ask('ListSessions', { filter: 'subject = "bob"' })) as {
        sessions: { live?: unknown }[];
      };
      expect(sessions).to.have.length(2);
    }
  });

  interface Body {
    readonly logLevel?: string;
    readonly written?: number;
    readonly hints?: Readonly<Record<string, object>>;
  }

  /** What the store keeps of a client's session. */
  async function bodyOf({ sessionId = '' }: McpClient): Promise<Body> {
    const crypto = new RecordCrypto([{ id: 'test', key: SERVER_KEY }]);
    const secret = parseSessionId(sessionId)?.secret ?? Buffer.alloc(0);
    for (const key of (await setting.redis.cli('keys', 'outrigger:*:s:*')).split('\n')) {
      const name = key.slice(key.lastIndexOf(':') + 1);
      const text = crypto.openBody(name, secret, await setting.redis.cli('hget', key, 'body'));
      if (text !== undefined) return JSON.parse(text) as Body;
    }
    throw new Error('no record opens with this id');
  }
});
