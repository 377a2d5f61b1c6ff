import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import type { ClientOptions, Incoming, McpClient, Reply } from '../support/mcp-client.ts';
import { metric, type Stage, startStage, until } from '../support/stage.ts';

const CHANGED = 'notifications/tools/list_changed';
const EACH = 8;

const tools = (...names: string[]) => names.map((name) => ({ name }));
const namesOf = (reply: Reply) =>
  ((reply.answer?.result ?? {}) as { tools: { name: string }[] }).tools.map(({ name }) => name);

interface Listener {
  readonly client: McpClient;
  readonly stream: Incoming;
}

describe('A list that a backend says has changed', function () {
  this.timeout(30_000);
  let issuer: TestIssuer;
  let stage: Stage;
  let listeners: Listener[] = [];

  beforeEach(async () => {
    issuer = await startIssuer();
    stage = await startStage({
      backends: { alpha: { tools: tools('one', 'echo') }, beta: { tools: tools('two') } },
      identity: {
        issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audiences: [issuer.audience] }],
      },
    });
  });
  afterEach(async () => {
    for (const { stream } of listeners) stream.drop();
    listeners = [];
    await stage[Symbol.asyncDispose]();
    await issuer[Symbol.asyncDispose]();
  });

  const alpha = () => stage.backend('alpha');
  const reads = (name = 'alpha') => stage.backend(name).view.requests({ rpc: 'tools/list' }).length;
  const heard = ({ stream }: Listener) => stream.messages.filter(({ method }) => method === CHANGED).length;
  const token = (sub: string) => issuer.token({ sub });

  /** A session that has its list and listens to all backends; what it missed before is read. */
  async function listen(options: Partial<ClientOptions>): Promise<Listener> {
    const client = await stage.open(options);
    await client.request('tools/list');
    const before = [reads('alpha'), reads('beta')];
    const listener = { client, stream: await client.listen() };
    listeners.push(listener);
    await until('it is heard', () => reads('alpha') > (before[0] ?? 0) && reads('beta') > (before[1] ?? 0));
    return listener;
  }

  const listenAll = async (subs: readonly string[]) => {
    for (const sub of subs) await listen({ token: token(sub) });
  };

  /** Resolves when all have heard what came until now. */
  async function settled(): Promise<void> {
    alpha().push({ method: 'notifications/message', params: { level: 'info', data: 'that was all' } });
    await Promise.all(listeners.map(({ stream }) => stream.message('notifications/message')));
  }

  it(
    verifies(
      'AGG-10',
      'AGG-14',
      'CAP-1',
    )('is read once for each authorization context, and each session is told once'),
    async () => {
      await listenAll(Array.from({ length: 2 * EACH }, (_, at) => (at % 2 === 0 ? 'alice' : 'bob')));
      const before = [reads('alpha'), reads('beta')];
      alpha().script({ tools: tools('one', 'echo', 'three') });
      alpha().push({ method: CHANGED });
      await Promise.all(listeners.map(({ stream }) => stream.message(CHANGED)));
      await settled();
      expect(listeners.map(heard)).to.deep.equal(listeners.map(() => 1));
      expect([reads('alpha'), reads('beta')]).to.deep.equal([(before[0] ?? 0) + 2, before[1]]);
      for (const { client } of listeners)
        expect(namesOf(await client.request('tools/list'))).to.include('alpha__three');

      // The same again, without a difference: read as often, told to nobody.
      alpha().push({ method: CHANGED });
      await until('it is read', () => reads('alpha') === (before[0] ?? 0) + 4);
      await settled();
      expect(listeners.map(heard)).to.deep.equal(listeners.map(() => 1));
    },
  );

  it(verifies('AGG-10')('is read anew for a session that was told while another was reading'), async () => {
    await listenAll(['alice', 'alice']);
    const [first, second] = alpha().view.sessions.map(({ id }) => id);
    const hold = alpha().hold('tools/list');
    alpha().push({ method: CHANGED }, first);
    await hold.arrived;
    const before = reads();
    alpha().push({ method: CHANGED }, second);
    await until('the other reads as well', () => reads() === before + 1);
    hold.release();
  });

  it(
    verifies('AGG-10', 'AGG-7')('is each session’s own where the backend may show each another'),
    async () => {
      await listen({ token: token('alice') });
      await listen({ token: token('alice'), capabilities: { sampling: {} } });
      const differing = reads();
      alpha().push({ method: CHANGED });
      await until('both read', () => reads() === differing + 2);

      // What was shown to one and not to the other is no list of both.
      const [first] = alpha().view.sessions.map(({ id }) => id);
      alpha().script({ tools: tools('one', 'echo', 'unlocked') });
      alpha().push({ method: CHANGED }, first);
      await listeners[0]?.stream.message(CHANGED);
      await listen({ token: token('alice'), capabilities: { sampling: {} } });
      const apart = reads();
      alpha().push({ method: CHANGED });
      await until('three read, each what it was shown', () => reads() === apart + 3);
      await settled();
      expect(listeners.map(heard)).to.deep.equal([1, 1, 0]);
    },
  );

  it(verifies('AGG-10', 'RST-4')('is read once more when the first to read it fails'), async () => {
    await listenAll(['alice', 'alice', 'alice', 'alice']);
    const before = reads();
    alpha().script({ tools: tools('one', 'echo', 'three') });
    // A read that was interrupted is asked once more, which is the same read.
    for (let n = 0; n < 2; n += 1) alpha().next('tools/list', { reset: true });
    alpha().push({ method: CHANGED });
    await until('the others were told', () => listeners.filter((each) => heard(each) === 1).length === 3);
    expect(reads() - before).to.equal(3);
  });
});

describe('A list that changes while its session moves', function () {
  this.timeout(30_000);
  let stage: Stage;

  beforeEach(async () => {
    const described = [{ name: 'echo', definition: { description: 'says it again' } }];
    stage = await startStage({ backends: { alpha: { tools: described } }, replicas: 2 });
  });
  afterEach(() => stage[Symbol.asyncDispose]());

  /** The replica that has the session writes what is unsaved, and leaves. */
  async function handOver(): Promise<void> {
    const { replicas } = stage.mesh;
    const sessions = await Promise.all(replicas.map((each) => metric(each, 'outrigger_sessions')));
    await replicas.find((_, at) => (sessions[at] ?? 0) > 0)?.kill('SIGTERM');
  }

  /** Where the sidecar has no home for a moment, it says so. */
  async function listen(client: McpClient): Promise<Incoming> {
    for (;;) {
      const incoming = await client.listen();
      if (incoming.status !== 503) return incoming;
      await incoming.ended;
    }
  }

  it(verifies('AGG-10', 'RST-5')('is announced though all names stayed'), async () => {
    const client = await stage.open();
    await client.request('tools/list');
    await handOver();
    stage
      .backend('alpha')
      .script({ tools: [{ name: 'echo', definition: { description: 'keeps it for itself' } }] });
    const listening = await listen(client);
    await listening.message(CHANGED);
    expect((await client.request('tools/list')).body).to.contain('keeps it for itself');
    listening.drop();
  });

  it(verifies('AGG-10', 'RST-5')('and one that did not change is not'), async () => {
    const client = await stage.open();
    await client.request('tools/list');
    await handOver();
    const alpha = stage.backend('alpha');
    const before = alpha.view.requests({ rpc: 'tools/list' }).length;
    const listening = await listen(client);
    await until('it is read', () => alpha.view.requests({ rpc: 'tools/list' }).length > before);
    alpha.push({ method: 'notifications/message', params: { level: 'info', data: 'that was all' } });
    await listening.message('notifications/message');
    expect(listening.messages.map(({ method }) => method)).to.not.include(CHANGED);
    listening.drop();
  });
});
