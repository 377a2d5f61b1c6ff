import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { verifies } from '../requirements.ts';
import { startSentinel } from '../support/redis.ts';
import {
  answered,
  BACKEND_CREDENTIAL,
  McpClient,
  metric,
  type Reply,
  type Setting,
  startSetting,
  textOf,
  until,
} from '../support/story.ts';

/** Longer than any lease. */
const BEYOND_LEASE_MS = 1_200;

interface Silence {
  readonly rows: Parameters<typeof verifies>;
  begin(setting: Setting): Promise<void>;
  end(setting: Setting): Promise<void>;
}

const SILENCES: Readonly<Record<string, Silence>> = {
  frozen: {
    rows: ['RST-9', 'R3'],
    begin: ({ redis }) => redis.kill('SIGSTOP'),
    end: ({ redis }) => redis.kill('SIGCONT'),
  },
  'cut off': {
    rows: ['RST-9', 'C4'],
    begin: async ({ storePath }) => storePath.set({ swallow: true }),
    end: async ({ storePath }) => storePath.heal(),
  },
  unreachable: {
    rows: ['RST-9', 'C4'],
    begin: async ({ storePath }) => {
      storePath.set({ refuse: true });
      storePath.reset();
    },
    end: async ({ storePath }) => storePath.heal(),
  },
};

describe('The session store fails', function () {
  this.timeout(60_000);

  describe('one Redis with an append-only file', () => {
    let setting: Setting;
    before(async () => {
      setting = await startSetting({ redis: { aof: true }, storePath: true });
      await setting.whole();
    });
    after(() => setting[Symbol.asyncDispose]());

    it(
      verifies(
        'RST-9',
        'R2',
      )('killed: warm sessions are served within their lease, the rest is told to come back, none is lost'),
      async () => {
        const { backend, redis } = setting;
        const clients = await Promise.all(Array.from({ length: 10 }, () => fresh(setting)));
        await Promise.all(clients.map((client) => client.call('count')));
        const initialises = backend.view.initialises;

        await redis.kill('SIGKILL');
        const warm = await Promise.all(clients.map((client) => client.call('whoami')));
        expect(warm.filter((reply) => !isAnswered(reply) && !comesBackLater(reply))).to.deep.equal([]);
        expect(warm.filter(isAnswered)).not.to.have.length(0);
        await sleep(BEYOND_LEASE_MS);
        await expectUnavailable(setting, clients);

        await redis.restart();
        const counts = await Promise.all(clients.map((client) => answered(() => client.call('count'))));
        expect(counts.map(textOf)).to.deep.equal(clients.map(() => '2'));
        expect((await fresh(setting)).sessionId).to.be.a('string');
        expect(backend.view.initialises).to.equal(initialises + 1);
        expect(backend.view.deletes).to.have.length(0);
      },
    );

    for (const [name, fault] of Object.entries(SILENCES)) {
      it(
        verifies(...fault.rows)(`${name}: every request is answered, and all goes on afterwards`),
        async () => {
          const clients = await Promise.all(Array.from({ length: 10 }, () => fresh(setting)));
          const { replicas } = setting.mesh;

          await fault.begin(setting);
          await sleep(BEYOND_LEASE_MS);
          for (let round = 0; round < 3; round += 1) await expectUnavailable(setting, clients);
          for (const replica of replicas) expect(await metric(replica, 'outrigger_exchanges')).to.equal(0);
          await fault.end(setting);

          const replies = await Promise.all(clients.map((client) => answered(() => client.call('whoami'))));
          expect(replies.filter((reply) => !isAnswered(reply))).to.deep.equal([]);
          expect((await fresh(setting)).sessionId).to.be.a('string');
        },
      );
    }

    it(
      verifies('RST-9', 'R9')('out of memory: new sessions and takeovers wait, warm ones go on and can end'),
      async () => {
        const { redis } = setting;
        const [kept, ended] = [await setting.open(), await setting.open()];
        await redis.cli('config', 'set', 'maxmemory', '1');
        try {
          await sleep(BEYOND_LEASE_MS);
          expect(isAnswered(await kept.client.call('whoami'))).to.equal(true);
          expect((await ended.client.end()).status).to.equal(200);
          expect((await ended.client.call('whoami')).status).to.equal(404);
          expect(comesBackLater(await begin(setting))).to.equal(true);
          await setting.whole();
          await setting.lose(kept.owner);
          expect(comesBackLater(await kept.client.call('whoami'))).to.equal(true);
        } finally {
          await redis.cli('config', 'set', 'maxmemory', '0');
        }
        const seen = JSON.parse(textOf(await answered(() => kept.client.call('whoami'))));
        expect(seen).to.deep.equal({ authorization: BACKEND_CREDENTIAL, sessionId: kept.backendSession });
        await setting.whole();
      },
    );

    it(verifies('R13', 'HTTP-9')('emptied: its sessions are gone, and clients begin anew'), async () => {
      const { client } = await setting.open();
      await setting.redis.cli('flushall');
      await until('the session is not found', async () => (await client.call('whoami')).status === 404);
      expect((await fresh(setting)).sessionId).to.be.a('string');
    });
  });

  it(
    verifies(
      'RST-9',
      'R1',
    )('Redis is down at the start: the mesh runs, is not ready, and serves once Redis is there'),
    async () => {
      const setting = await startSetting({ awaitReady: false, redis: { aof: true }, redisDown: true });
      try {
        const { mesh, redis } = setting;
        await until('the sidecar listens', async () => (await begin(setting)).status !== 0);
        await until('the replicas listen', () => everywhere(setting, '/livez', 200));
        expect(await everywhere(setting, '/readyz', 503)).to.equal(true);
        expect(comesBackLater(await begin(setting))).to.equal(true);
        const client = new McpClient({ url: mesh.url, token: setting.token() });
        client.sessionId = randomBytes(48).toString('base64url');
        expect(comesBackLater(await client.call('whoami'))).to.equal(true);

        await redis.restart();
        await Promise.all(mesh.replicas.map((replica) => replica.ready()));
        expect(isAnswered(await answered(() => begin(setting)))).to.equal(true);
      } finally {
        await setting[Symbol.asyncDispose]();
      }
    },
  );

  it(
    verifies(
      'R5',
      'RST-9',
    )('the primary of a Sentinel group dies: a while of 503, then every session is found'),
    async () => {
      const group = await startSentinel();
      const nodes = group.sentinels.map(({ port }) => `127.0.0.1:${port}`);
      const sentinel = { name: group.name, nodes };
      const setting = await startSetting({
        store: { type: 'redis', sentinel, durability: 'replicated', waitReplicas: 1 },
      });
      try {
        const clients = await Promise.all(Array.from({ length: 10 }, () => fresh(setting)));
        await Promise.all(clients.map((client) => client.call('count')));
        const primary = await group.primary();
        await primary.kill('SIGKILL');
        await sleep(BEYOND_LEASE_MS);
        await expectUnavailable(setting, clients.slice(0, 2));
        await group.failedOver(primary, 1);

        const counts = await Promise.all(clients.map((client) => answered(() => client.call('count'))));
        expect(counts.map(textOf)).to.deep.equal(clients.map(() => '2'));
        expect(setting.backend.view.initialises).to.equal(clients.length);
      } finally {
        await setting[Symbol.asyncDispose]();
        await group[Symbol.asyncDispose]();
      }
    },
  );
});

/** Nobody is told that a session is gone, and nobody gets one that would not work. */
async function expectUnavailable(setting: Setting, clients: readonly McpClient[]): Promise<void> {
  const replies = await Promise.all([
    ...clients.map((client) => client.call('whoami')),
    ...clients.slice(0, 2).map((client) => client.request('tools/list')),
    ...clients.slice(0, 2).map((client) => client.alias({ sessionId: strange(client) }).call('whoami')),
    begin(setting),
  ]);
  expect(replies.filter((reply) => !comesBackLater(reply))).to.deep.equal([]);
}

function comesBackLater({ status, headers, answer }: Reply): boolean {
  const { retryable } = (answer?.error?.data ?? {}) as { retryable?: boolean };
  return status === 503 && Number(headers['retry-after']) >= 1 && retryable === true;
}

function isAnswered({ status, answer }: Reply): boolean {
  return status === 200 && answer?.result !== undefined;
}

function fresh(setting: Setting): Promise<McpClient> {
  return McpClient.open({ url: setting.mesh.url, token: setting.token() });
}

/** An initialize, however it ends. */
function begin(setting: Setting): Promise<Reply> {
  return new McpClient({ url: setting.mesh.url, token: setting.token() }).initialize();
}

/** An id in the form of this one, of no session. */
function strange({ sessionId = '' }: McpClient): string {
  return [...sessionId].reverse().join('');
}

async function everywhere({ mesh }: Setting, path: string, status: number): Promise<boolean> {
  const answers = await Promise.all(
    mesh.replicas.map(async ({ ops }) => {
      const response = await fetch(`${ops}${path}`).catch(() => undefined);
      await response?.body?.cancel();
      return response?.status;
    }),
  );
  return answers.every((each) => each === status);
}
