import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import type { Replica } from '../support/mesh.ts';
import {
  answered,
  BACKEND_CREDENTIAL,
  McpClient,
  reasonOf,
  type Setting,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';

/** Replicas that share one embedded store fail in the middle of things. */
describe('Faults of replicas', function () {
  this.timeout(40_000);
  let setting: Setting;

  before(async () => {
    setting = await startSetting({ store: 'embedded', stdio: true, limits: { streamAfter: '200ms' } });
  });
  beforeEach(() => setting.whole());
  after(() => setting[Symbol.asyncDispose]());

  const say = (data: string, session: string) =>
    setting.backend.push({ method: 'notifications/message', params: { level: 'info', data } }, session);
  const listens = (session: string) =>
    setting.backend.view.requests({ method: 'GET', sessionId: session }).length;
  const deletes = (session: string) =>
    setting.backend.view.requests({ method: 'DELETE', sessionId: session }).length;

  for (const [name, signal] of [
    ['killed', 'SIGKILL'],
    ['frozen', 'SIGSTOP'],
    ['drained', 'SIGTERM'],
  ] as const) {
    it(
      verifies(
        'RST-11',
        'HTTP-16',
        'C1',
      )(`${name} under a listening client: its stream goes on, and each message comes once`),
      async () => {
        const { backend } = setting;
        const { client, owner, backendSession } = await setting.open();
        const stream = await client.listen();
        await until('the backend is listened to', () => listens(backendSession) === 1);
        say('before', backendSession);
        await stream.event(({ data }) => data.includes('before'));

        await owner.kill(signal);
        await until('the next replica listens', () => listens(backendSession) === 2);
        say('during', backendSession);
        await stream.event(({ data }) => data.includes('during'));
        await back(owner, signal);
        await setting.whole();
        await until('only one listens', () => backend.record.openStreams === 1);
        say('after', backendSession);
        await stream.event(({ data }) => data.includes('after'));

        expect(stream.messages.map(({ params }) => params?.['data'])).to.deep.equal([
          'before',
          'during',
          'after',
        ]);
        expect(stream.over).to.equal(false);
        stream.drop();
        expect((await client.end()).status).to.equal(200);
        await until('the DELETE', () => deletes(backendSession) === 1);
        await until('nobody listens', () => backend.record.openStreams === 0);
      },
    );
  }

  it(
    verifies(
      'BACK-9',
      'RST-11',
    )('frozen: its child ends when it is back, and the session has a new one, which is said once'),
    async () => {
      const { client, owner } = await setting.open();
      const old = Number(textOf(await client.call('pid')));
      await owner.kill('SIGSTOP');
      // Until it is silent for long enough, nobody knows.
      expect(reasonOf(await client.call('pid'))).to.equal('outcome_unknown');
      const reply = await client.call('pid');
      expect(Number(textOf(reply))).not.to.equal(old);
      expect(reply.body).to.contain('dev.outrigger/backendRestarted');
      expect((await client.call('pid')).body).not.to.contain('dev.outrigger/backendRestarted');
      await owner.kill('SIGCONT');
      expect((await client.end()).status).to.equal(200);
      await until('both children are gone', () => !isAlive(old) && !isAlive(Number(textOf(reply))));
    },
  );

  it(
    verifies(
      'RPC-7',
      'C2',
    )(
      'drained while its backend waits for an answer of the client: the answer arrives, and the call ends well',
    ),
    async () => {
      const { client, owner, backendSession } = await setting.open({ capabilities: { elicitation: {} } });
      const call = client.beginCall('ask');
      const question = await call.message('elicitation/create');
      const gone = owner.kill('SIGTERM');
      expect(textOf(await client.call('echo', { at: 'the next replica' }))).to.contain('the next replica');
      const result = { action: 'accept', content: { name: 'Ada' } };
      const reply = await client.send({ jsonrpc: '2.0', id: question.id, result }).reply();
      expect(reply.status).to.equal(202);
      expect(JSON.parse(textOf(await call.reply()))).to.deep.equal(result);
      await gone;
      expect(await owner.exited).to.deep.equal({ code: 0, signal: null });
      expect((await client.call('whoami')).body).to.contain(backendSession);
    },
  );

  it(verifies('RPC-5', 'C2')('drained while a call runs: its cancellation reaches the backend'), async () => {
    const { backend } = setting;
    const { client, owner } = await setting.open();
    const call = client.send({
      jsonrpc: '2.0',
      id: 'long',
      method: 'tools/call',
      params: { name: 'hang', arguments: {} },
    });
    await until('it runs', () => backend.view.executionsOf('hang') === 1);
    const gone = owner.kill('SIGTERM');
    expect((await client.call('echo')).status).to.equal(200);
    await client.notify('notifications/cancelled', { requestId: 'long', reason: 'no more' });
    await call.ended;
    expect(call.messages).to.deep.equal([]);
    await until(
      'the backend hears of it',
      () => backend.view.requests({ rpc: 'notifications/cancelled' }).length === 1,
    );
    await gone;
    expect(await owner.exited).to.deep.equal({ code: 0, signal: null });
  });

  it(
    verifies(
      'RPC-7',
      'RST-11',
    )('killed while its backend waits for an answer of the client: the answer still reaches the backend'),
    async () => {
      const { backend } = setting;
      const { client, owner } = await setting.open({ capabilities: { elicitation: {} } });
      const call = client.beginCall('ask');
      const question = await call.message('elicitation/create');
      await owner.kill('SIGKILL');
      expect(reasonOf(await call.reply())).to.equal('outcome_unknown');
      const before = backend.view.requests({ rpc: 'response' }).length;
      const result = { action: 'decline' };
      const reply = await answered(() => client.send({ jsonrpc: '2.0', id: question.id, result }).reply());
      expect(reply.status).to.equal(202);
      await until('the reply', () => backend.view.requests({ rpc: 'response' }).length > before);
      const [seen] = backend.view.requests({ rpc: 'response' }).slice(before);
      expect(seen?.message?.result).to.deep.equal(result);
      expect(seen?.authorization).to.equal(BACKEND_CREDENTIAL);
    },
  );

  it(
    verifies(
      'HTTP-18',
      'RST-11',
    )('killed after a client left its call: who resumes is told, once, that the outcome is unknown'),
    async () => {
      const { backend } = setting;
      const { client, owner } = await setting.open();
      const call = client.beginCall('effect', { tag: 'left', ms: 60_000 });
      await until('it streams', () => call.lastEventId !== undefined);
      call.drop();
      await owner.kill('SIGKILL');
      const resumed = await answered(async () => (await client.listen(call.lastEventId)).reply());
      expect(reasonOf(resumed)).to.equal('outcome_unknown');
      expect(resumed.events.filter(({ message }) => message !== undefined)).to.have.length(1);
      const ran = backend.view.record.executions.filter(
        (each) => (each.arguments as { tag?: string }).tag === 'left',
      );
      expect(ran).to.have.length(1);
    },
  );

  it(
    verifies(
      'HTTP-18',
      'RST-5',
    )('killed after an answer that nobody fetched: it is fetched at the next replica'),
    async () => {
      const { client, owner } = await setting.open();
      const call = client.beginCall('effect', { tag: 'kept', ms: 600 });
      await until('it streams', () => call.lastEventId !== undefined);
      const place = call.lastEventId;
      expect(textOf(await call.reply())).to.equal('slept');
      await setting.lose(owner);
      const resumed = await answered(async () => (await client.listen(place)).reply());
      expect(textOf(resumed)).to.equal('slept');
      const again = await answered(async () => (await client.listen(place)).reply());
      expect(again.events).to.deep.equal(resumed.events);
      const thief = await client.alias({ token: setting.token({ sub: 'thief' }) }).listen(place);
      expect(thief.status).to.equal(404);
    },
  );

  it(
    verifies(
      'RST-7',
      'S7',
    )('frozen while its session is ended elsewhere: back again it serves nothing, and ends nothing else'),
    async () => {
      const { backend } = setting;
      const { client, owner, backendSession } = await setting.open();
      const before = backend.view.deletes.length;
      await owner.kill('SIGSTOP');
      expect((await answered(() => client.end())).status).to.equal(200);
      await until('the DELETE', () => deletes(backendSession) === 1);
      await owner.kill('SIGCONT');
      await setting.whole();
      expect((await client.call('whoami')).status).to.equal(404);
      const ended = backend.view.deletes.slice(before).map(({ sessionId }) => sessionId);
      expect([...new Set(ended)]).to.deep.equal([backendSession]);
    },
  );

  it(
    verifies(
      'RST-11',
      'RST-9',
    )('killed while a session is made: the client knows nothing, or has one that works'),
    async () => {
      const { backend, mesh } = setting;
      const { owner } = await setting.open();
      const held = backend.hold('initialize');
      const client = new McpClient({ url: mesh.url, token: setting.token() });
      const making = client.initialize();
      await held.arrived;
      await owner.kill('SIGKILL');
      held.release();
      const reply = await making;
      expect(client.sessionId).to.equal(undefined);
      expect(reasonOf(reply)).to.equal('outcome_unknown');
      expect((await client.initialize()).status).to.equal(200);
      expect((await client.call('whoami')).status).to.equal(200);
    },
  );
});

async function back(replica: Replica, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGTERM'): Promise<void> {
  if (signal === 'SIGSTOP') await replica.kill('SIGCONT');
  else await replica.start();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
