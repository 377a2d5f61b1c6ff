import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import {
  answered,
  BACKEND_CREDENTIAL,
  McpClient,
  metric,
  type Reply,
  reasonOf,
  type Setting,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';

describe('A replica is told to go', function () {
  this.timeout(60_000);

  describe('under load', () => {
    let setting: Setting;
    before(async () => {
      setting = await startSetting();
      await setting.whole();
    });
    after(() => setting[Symbol.asyncDispose]());

    it(
      verifies('RST-12', 'C2')('no request fails, each runs once, and its sessions are served elsewhere'),
      async () => {
        const { backend, mesh } = setting;
        const first = await setting.open();
        const clients = [first.client];
        while (clients.length < 8)
          clients.push(await McpClient.open({ url: mesh.url, token: setting.token() }));
        const initialises = backend.view.initialises;
        const stream = await first.client.listen();
        const load = clients.map((client, at) => new Load(client, `load ${at}`).start());
        const long = clients.map((client, at) =>
          client.beginCall('effect', { tag: `long ${at}`, ms: 2_500 }),
        );
        await until('all long calls run', () => backend.view.executionsOf('effect') === clients.length);

        const exiting = terminated(first.owner);
        await until('it turns unready', async () => (await probe(first.owner, 'readyz')) === 503);
        expect(await probe(first.owner, 'livez')).to.equal(200);
        const exit = await exiting;
        await Promise.all([sleep(300), ...long.map((each) => each.ended)]);
        const replies = (await Promise.all(load.map((each) => each.stop()))).flat();

        expect(exit).to.deep.equal({ code: 0, signal: null });
        expect(replies.filter(failed)).to.deep.equal([]);
        for (const each of long) expect(textOf(await each.reply())).to.equal('slept');
        const tags = backend.view.record.executions.map(({ arguments: args }) => JSON.stringify(args));
        expect(tags).to.have.length(new Set(tags).size);
        await backend.listeners(1);
        backend.push({ method: 'notifications/message', params: { level: 'info', data: 'after the move' } });
        await stream.message('notifications/message');
        expect(stream.messages).to.have.length(1);
        for (const client of clients) expect((await client.call('whoami')).status).to.equal(200);
        expect(backend.view.initialises).to.equal(initialises);
        expect(backend.view.deletes).to.have.length(0);
        expect(backend.view.authorizations).to.deep.equal([BACKEND_CREDENTIAL]);
      },
    );
  });

  describe('while it takes a session over', () => {
    let setting: Setting;
    before(async () => {
      setting = await startSetting({ replicas: 3, storePath: true });
      await setting.whole();
    });
    after(() => setting[Symbol.asyncDispose]());

    it(
      verifies('C3', 'RST-12')('the call that waits is answered, and the record stays good for the next one'),
      async () => {
        const { backend, storePath } = setting;
        const { client, owner, backendSession } = await setting.open();
        const calls = metricOfEach(setting, 'outrigger_exchanges');
        await setting.lose(owner);
        // A restore takes several round trips of 160 ms.
        storePath.set({ delayMs: 80 });
        const waiting = client.beginCall('effect', { tag: 'waits', ms: 1 });
        await until('the call is at another replica', async () => (await calls()).some((count) => count > 0));
        const [at] = (await calls()).flatMap((count, index) => (count > 0 ? [index] : []));
        const second = setting.mesh.replicas.filter(({ alive }) => alive)[at ?? 0];

        expect(second && (await terminated(second))).to.deep.equal({ code: 0, signal: null });
        const reply = await waiting.reply();
        storePath.heal();

        expect(textOf(reply)).to.equal('slept');
        expect(backend.view.executionsOf('effect')).to.equal(1);
        const seen = JSON.parse(textOf(await answered(() => client.call('whoami'))));
        expect(seen).to.deep.equal({ authorization: BACKEND_CREDENTIAL, sessionId: backendSession });
        expect(backend.view.deletes).to.have.length(0);
      },
    );
  });
});

/** The same value of each replica that runs. */
function metricOfEach({ mesh }: Setting, name: string): () => Promise<number[]> {
  return () => Promise.all(mesh.replicas.filter(({ alive }) => alive).map((each) => metric(each, name)));
}

/** A client that calls again and again, a request after the other. */
class Load {
  readonly #client: McpClient;
  readonly #tag: string;
  readonly #replies: Reply[] = [];
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(client: McpClient, tag: string) {
    this.#client = client;
    this.#tag = tag;
  }

  start(): this {
    this.#running = this.#run();
    return this;
  }

  async stop(): Promise<Reply[]> {
    this.#stopped = true;
    await this.#running;
    return this.#replies;
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#stopped; n += 1) {
      this.#replies.push(await this.#client.call('echo', { tag: this.#tag, n }));
      await sleep(5);
    }
  }
}

function failed(reply: Reply): boolean {
  return reply.status !== 200 || reply.answer?.result === undefined || reasonOf(reply) !== undefined;
}

async function probe({ ops }: { readonly ops: string }, path: string): Promise<number> {
  return (await fetch(`${ops}/${path}`)).status;
}

async function terminated(process: { kill(signal: 'SIGTERM'): Promise<void>; exited: Promise<unknown> }) {
  await process.kill('SIGTERM');
  return await process.exited;
}
