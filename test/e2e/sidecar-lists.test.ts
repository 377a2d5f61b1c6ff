import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { CAPABILITIES, type ReplicaFrame } from '../../shared/rpc/mesh-protocol.ts';
import { LocalLists, type LocalListsOptions } from '../../sidecar/capabilities/local-lists.ts';
import { verifies } from '../requirements.ts';
import { CLIENT_HEADERS, eventually, type RunningEdge, startEdge } from '../support/edge.ts';
import { type RawReplica, rawReplica } from '../support/mesh-raw.ts';
import { startClient, type TestClient } from '../support/mesh-stream.ts';

const SET = Buffer.alloc(32, 1);
const ITEMS = ['{"name":"a"}', '{"name":"b"}'];

/** A sidecar's edge and mesh client, and a replica that says what the test says. */
class Setting implements AsyncDisposable {
  readonly replica: RawReplica;
  readonly lists: LocalLists;
  readonly client: TestClient;
  readonly edge: RunningEdge;

  private constructor(parts: Pick<Setting, 'replica' | 'lists' | 'client' | 'edge'>) {
    this.replica = parts.replica;
    this.lists = parts.lists;
    this.client = parts.client;
    this.edge = parts.edge;
  }

  static async start(options: LocalListsOptions = {}): Promise<Setting> {
    const replica = await rawReplica();
    const lists = new LocalLists(options);
    const client = startClient([replica.address], { lists });
    await replica.heard(({ hello }) => hello?.features.includes(CAPABILITIES) === true);
    replica.say({
      welcome: { replica: 'r', anonymous: true, maxMessageBytes: 65_536, features: [CAPABILITIES] },
    });
    const edge = await startEdge({ client, lists });
    await replica.heard(({ held }) => held !== null);
    return new Setting({ replica, lists, client, edge });
  }

  /** What the sidecar answers by itself, or undefined: the request crossed to the replica, which says so. */
  async ask(token = 'alice', sessionId = 's-1'): Promise<unknown> {
    const reply = this.edge.post(
      { jsonrpc: '2.0', id: 7, method: 'tools/list' },
      {
        ...CLIENT_HEADERS,
        authorization: `Bearer ${token}`,
        'mcp-session-id': sessionId,
      },
    );
    let over = false;
    const done = reply.finally(() => {
      over = true;
    });
    const answered = new Set<number>();
    while (!over) {
      for (const { open } of this.replica.frames) {
        if (open === null || answered.has(open.exchange)) continue;
        answered.add(open.exchange);
        this.say({ head: { exchange: open.exchange, kind: 0, body: Buffer.from('"crossed"') } });
      }
      await sleep(2);
    }
    const text = await (await done).text();
    return text === '"crossed"' ? undefined : JSON.parse(text).result.tools;
  }

  say(...frames: ReplicaFrame[]): void {
    this.replica.say(...frames);
  }

  /** Pushes a set and waits for what the sidecar says to it. */
  async push(set: Buffer, items: readonly string[], bodies = items): Promise<string> {
    const hashes = items.map((item) => createHash('sha256').update(item).digest());
    const head = Buffer.from('{"tools":[');
    this.say({
      capabilitySet: { set, head, items: hashes, bodies: bodies.map((body) => Buffer.from(body)) },
    });
    const answer = await this.replica.heard(
      ({ ack, nack }) => set.equals(ack?.set ?? EMPTY) || set.equals(nack?.set ?? EMPTY),
    );
    return answer.nack?.reason ?? 'ack';
  }

  async grant(validForMs: number, set: Buffer = SET): Promise<void> {
    // The token is the stream's first credential.
    this.say({ grant: { sessionId: 's-1', credential: 1, sets: { 'tools/list': set }, validForMs } });
    await sleep(30);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.edge[Symbol.asyncDispose]();
    await this.client.close(0);
    this.lists.close();
    await this.replica[Symbol.asyncDispose]();
  }
}

const EMPTY = Buffer.alloc(0);
const TOOLS = [{ name: 'a' }, { name: 'b' }];

async function granted(options: LocalListsOptions & { validForMs?: number } = {}): Promise<Setting> {
  const setting = await Setting.start(options);
  expect(await setting.ask()).to.equal(undefined);
  expect(await setting.push(SET, ITEMS)).to.equal('ack');
  await setting.grant(options.validForMs ?? 60_000);
  expect(await setting.ask()).to.deep.equal(TOOLS);
  return setting;
}

describe('what a sidecar answers under a grant', () => {
  it(verifies('CAP-2')('is that set for that session and that credential, and nothing else'), async () => {
    await using setting = await granted();
    expect(await setting.ask('bob')).to.equal(undefined);
    expect(await setting.ask('alice', 's-2')).to.equal(undefined);
    expect(await setting.ask()).to.deep.equal(TOOLS);
    expect(setting.lists.counters).to.include({ answered: 2, grants: 1, sets: 1 });
  });

  it(
    verifies('CAP-1')('stays as it is when a set cannot be applied, and the replica hears of it'),
    async () => {
      await using setting = await granted();
      const next = Buffer.alloc(32, 2);
      expect(await setting.push(next, [...ITEMS, '{"name":"c"}'], [])).to.equal('missing');
      expect(await setting.ask()).to.deep.equal(TOOLS);
      await setting.grant(60_000, next);
      await setting.replica.heard(({ nack }) => nack?.reason === 'gone');
      expect(await setting.ask()).to.equal(undefined);
      const third = Buffer.alloc(32, 3);
      expect(await setting.push(third, [...ITEMS, '{"name":"c"}'], ['{"name":"c"}'])).to.equal('ack');
      await setting.grant(60_000, third);
      expect(await setting.ask()).to.deep.equal([...TOOLS, { name: 'c' }]);
    },
  );

  it(verifies('X9b')('ends with the session, the credential, the grant, and its time'), async () => {
    const ends: Record<string, (setting: Setting) => unknown> = {
      session: (setting) => setting.say({ sessionEnded: { sessionId: 's-1' } }),
      credential: (setting) => setting.say({ revoked: { id: 1 } }),
      grant: (setting) => setting.grant(0),
      time: (setting) => setting.grant(40),
    };
    for (const [what, end] of Object.entries(ends)) {
      await using setting = await granted();
      await end(setting);
      await sleep(60);
      expect(await setting.ask(), what).to.equal(undefined);
    }
  });

  it(verifies('CAP-2')('goes on without a replica, for as long as the last word is fresh'), async () => {
    await using setting = await granted({ maxStalenessMs: 700 });
    await setting.replica[Symbol.asyncDispose]();
    await eventually(() => !setting.client.connected);
    expect(await setting.ask()).to.deep.equal(TOOLS);
    await sleep(800);
    const { status } = await setting.edge.post(
      { jsonrpc: '2.0', id: 7, method: 'tools/list' },
      { ...CLIENT_HEADERS, authorization: 'Bearer alice', 'mcp-session-id': 's-1' },
    );
    expect(status).to.equal(503);
  });

  it(verifies('CAP-2')('is as fresh as the last bookmark'), async () => {
    await using setting = await granted({ maxStalenessMs: 400 });
    for (let n = 0; n < 4; n += 1) {
      await sleep(200);
      setting.say({ bookmark: {} });
      await sleep(20);
      expect(await setting.ask()).to.deep.equal(TOOLS);
    }
    await sleep(450);
    expect(await setting.ask()).to.equal(undefined);
  });
});
