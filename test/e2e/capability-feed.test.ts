import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { CAPABILITIES, type CapabilitySet, type Grant } from '../../shared/rpc/mesh-protocol.ts';
import { verifies } from '../requirements.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import { HELLO, type RawSidecar, rawSidecar } from '../support/mesh-raw.ts';
import { RecordingBackend } from '../support/recording-backend.ts';
import { until } from '../support/story.ts';

const INITIALIZE = {
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
};

/** A sidecar that says what the test says, with a session at a real replica. */
class Raw implements AsyncDisposable {
  readonly sidecar: RawSidecar;
  sessionId = '';
  #exchange = 0;

  constructor(address: string) {
    this.sidecar = rawSidecar(address);
    this.sidecar.say({ hello: { ...HELLO.hello, features: [CAPABILITIES] } });
  }

  static async open(address: string, sessionId?: string): Promise<Raw> {
    const raw = new Raw(address);
    await raw.sidecar.heard(({ welcome }) => welcome?.features.includes(CAPABILITIES) === true);
    raw.sessionId = sessionId ?? (await raw.ask(INITIALIZE)).sessionId;
    return raw;
  }

  get sets(): CapabilitySet[] {
    return this.sidecar.frames.flatMap(({ capabilitySet }) => capabilitySet ?? []);
  }

  get grants(): Grant[] {
    return this.sidecar.frames.flatMap(({ grant }) => grant ?? []);
  }

  /** The set that the newest grant names for a list. */
  get granted(): string | undefined {
    const set = this.grants.at(-1)?.sets['tools/list'];
    return set === undefined ? undefined : hex(set);
  }

  /** Bytes of items that came. */
  get itemBytes(): number {
    return this.sets.flatMap(({ bodies }) => bodies).reduce((sum, body) => sum + body.length, 0);
  }

  async ask(message: Record<string, unknown>) {
    this.#exchange += 1;
    const exchange = this.#exchange;
    const body = Buffer.from(JSON.stringify(message));
    this.sidecar.say({ open: { exchange, kind: 0, sessionId: this.sessionId, body } });
    const { head } = await this.sidecar.heard((frame) => frame.head?.exchange === exchange);
    if (head === null) throw new Error('no head');
    return { sessionId: head.sessionId, text: Buffer.from(head.body).toString() };
  }

  list(method = 'tools/list') {
    return this.ask({ jsonrpc: '2.0', id: this.#exchange, method });
  }

  listen(): void {
    this.#exchange += 1;
    this.sidecar.say({ open: { exchange: this.#exchange, kind: 1, sessionId: this.sessionId } });
  }

  /** Resolves with the last set when so many have come. */
  async set(count: number): Promise<CapabilitySet> {
    await until(`${count} sets`, () => this.sets.length >= count);
    const last = this.sets.at(-1);
    if (last === undefined) throw new Error('no set');
    return last;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sidecar[Symbol.asyncDispose]();
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function tools(...names: string[]) {
  return names.map((name) => ({ name, definition: { description: name.repeat(200).slice(0, 400) } }));
}

const CHANGED = { method: 'notifications/tools/list_changed' };

describe('the feed of a sidecar', () => {
  let backend: RecordingBackend;
  let mesh: Mesh;

  beforeEach(async () => {
    backend = await RecordingBackend.start({ tools: tools('a', 'b', 'c') });
    const config = { mcpServers: { rec: { url: backend.url } } };
    mesh = await startMesh({ replicas: 1, sidecars: 0, config, anonymous: true });
  });
  afterEach(async () => {
    await mesh[Symbol.asyncDispose]();
    await backend.stop();
  });

  function open(sessionId?: string): Promise<Raw> {
    return Raw.open(mesh.replicas[0]?.grpc ?? '', sessionId);
  }

  it(
    verifies('CAP-1')('begins with a snapshot, goes on with differences, and after a reconnect too'),
    async () => {
      await using raw = await open();
      await raw.list();
      const first = await raw.set(1);
      expect(first.items).to.have.length(3);
      expect(first.bodies).to.have.length(3);
      raw.sidecar.say({ ack: { set: first.set } });
      await until('it is granted', () => raw.granted === hex(first.set));
      expect(raw.grants.at(-1)?.validForMs).to.be.within(1, 60_000);

      raw.listen();
      await backend.listeners(1);
      backend.script({ tools: tools('a', 'b', 'd') });
      backend.push(CHANGED);
      const second = await raw.set(2);
      expect(second.items).to.have.length(3);
      expect(second.bodies.map((body) => JSON.parse(Buffer.from(body).toString()).name)).to.deep.equal(['d']);
      raw.sidecar.say({ ack: { set: second.set } });
      await until('it is granted', () => raw.granted === hex(second.set));

      const { sessionId } = raw;
      await using unchanged = await open(sessionId);
      unchanged.sidecar.say({ held: { sets: [second.set], items: second.items } });
      await unchanged.list();
      await until('it is granted again', () => unchanged.granted === hex(second.set));
      expect(unchanged.sets).to.deep.equal([]);

      backend.script({ tools: tools('a', 'b', 'd', 'e') });
      await using changed = await open();
      changed.sidecar.say({ held: { sets: [second.set], items: second.items } });
      await changed.list();
      const third = await changed.set(1);
      expect(third.bodies).to.have.length(1);
      expect(changed.itemBytes).to.be.lessThan(600);
    },
  );

  it(
    verifies('CAP-1')('takes a list back before its change is announced, and grants the new one first'),
    async () => {
      await using raw = await open();
      raw.listen();
      await backend.listeners(1);
      await raw.list();
      raw.sidecar.say({ ack: { set: (await raw.set(1)).set } });
      await until('it is granted', () => raw.granted !== undefined);
      backend.script({ tools: tools('z') });
      backend.push(CHANGED);
      const said = await raw.sidecar.heard(({ data }) => data !== null && data.body.length > 0);
      const { frames } = raw.sidecar;
      const before = frames.slice(0, frames.indexOf(said));
      expect(before.findLast(({ grant }) => grant !== null)?.grant?.sets['tools/list']).to.deep.equal(
        (await raw.set(2)).set,
      );
      const taken = before.filter(({ grant }) => grant?.validForMs === 0);
      expect(taken).to.have.length(1);
    },
  );

  it(
    verifies('CAP-1')('sends a set that was refused once more, whole, and then grants nothing of it'),
    async () => {
      await using raw = await open();
      raw.sidecar.say({ held: { sets: [], items: [] } });
      await raw.list();
      const first = await raw.set(1);
      raw.sidecar.say({ nack: { set: first.set, reason: 'missing' } });
      const again = await raw.set(2);
      expect(again.bodies).to.have.length(3);
      raw.sidecar.say({ nack: { set: first.set, reason: 'missing' } });
      await raw.list();
      await until('nothing is granted', () => raw.granted === undefined && raw.grants.length > 0);
      await sleep(200);
      expect(raw.sets).to.have.length(2);
      expect((await raw.list()).text).to.include('"name":"a"');
    },
  );

  it(verifies('CAP-1')('gives a slow sidecar the newest state, not all that it missed'), async () => {
    await using raw = await open();
    raw.listen();
    await backend.listeners(1);
    await raw.list();
    const first = await raw.set(1);
    for (const name of ['p', 'q', 'r']) {
      backend.script({ tools: tools(name) });
      backend.push(CHANGED);
      await sleep(250);
    }
    expect(raw.sets).to.have.length(1);
    expect(raw.granted).to.equal(undefined);
    raw.sidecar.say({ ack: { set: first.set } });
    const next = await raw.set(2);
    expect(JSON.parse(Buffer.from(next.bodies[0] ?? '').toString()).name).to.equal('r');
    raw.sidecar.say({ ack: { set: next.set } });
    await until('it is granted', () => raw.granted === hex(next.set));
    await sleep(200);
    expect(raw.sets).to.have.length(2);
  });

  it(
    verifies('X9b')('grants nothing for a session that is unknown, and sends a set that was let go again'),
    async () => {
      await using raw = await open();
      await raw.list();
      const first = await raw.set(1);
      raw.sidecar.say({ ack: { set: first.set } });
      raw.sidecar.say({ active: { sessions: ['unknown', raw.sessionId] } });
      raw.sidecar.say({ nack: { set: first.set, reason: 'gone' } });
      expect(hex((await raw.set(2)).set)).to.equal(hex(first.set));
      await using other = await open('AAAA');
      other.sidecar.say({ open: { exchange: 1, kind: 0, sessionId: 'AAAA', body: Buffer.from(LIST) } });
      await other.sidecar.heard(({ failure }) => failure?.reason === 'session_not_found');
      await sleep(200);
      expect(other.grants).to.deep.equal([]);
    },
  );

  it('is not there for a sidecar that does not know of it', async () => {
    await using raw = await open();
    await using old = rawSidecar(mesh.replicas[0]?.grpc ?? '');
    old.say(HELLO);
    await old.heard(({ welcome }) => welcome !== null);
    const body = Buffer.from(LIST);
    old.say({ open: { exchange: 1, kind: 0, sessionId: raw.sessionId, body } });
    await old.heard(({ head }) => head !== null);
    await sleep(200);
    expect(old.frames.some(({ grant, capabilitySet }) => grant !== null || capabilitySet !== null)).to.equal(
      false,
    );
  });
});

const LIST = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
