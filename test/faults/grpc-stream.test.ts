import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { loadService } from '../../shared/rpc/proto-files.ts';
import { retryAfter } from '../../shared/rpc/retry-info.ts';
import { verifies } from '../requirements.ts';
import { HELLO, type RawSidecar, rawReplica, rawSidecar, UNKNOWN_FRAME } from '../support/mesh-raw.ts';
import {
  connected,
  send,
  startClient,
  startReplica,
  type TestReplica,
  until,
} from '../support/mesh-stream.ts';

/** A raw sidecar after its Welcome. */
async function greeted(replica: TestReplica): Promise<RawSidecar> {
  const sidecar = rawSidecar(replica.address);
  sidecar.say(HELLO);
  await sidecar.heard(({ welcome }) => welcome !== null);
  return sidecar;
}

const open = (exchange: number, text = 'x') => ({ open: { exchange, body: Buffer.from(text) } });

describe('a mesh stream with a strange peer', () => {
  it(verifies('G14', 'C11')('a replica ignores frames and fields of a newer sidecar'), async () => {
    await using replica = await startReplica();
    await using sidecar = await greeted(replica);
    sidecar.sayBytes(UNKNOWN_FRAME);
    sidecar.say(open(1));
    const { head } = await sidecar.heard((frame) => frame.head !== null);
    expect(Buffer.from(head!.body).toString()).to.equal('x');
  });

  it(verifies('G14', 'C11')('a sidecar ignores frames and fields of a newer replica'), async () => {
    await using replica = await rawReplica();
    await using client = startClient([replica.address]);
    await replica.heard(({ hello }) => hello !== null);
    replica.say({ welcome: { replica: 'newer' } });
    await connected(client);
    replica.sayBytes(UNKNOWN_FRAME);
    const sent = send(client, 'x');
    await replica.heard((frame) => frame.open !== null);
    replica.say({ failure: { exchange: 1, reason: 'a_reason_of_tomorrow', detail: 'so be it' } });
    expect((await sent.answered).error).to.include({ reason: 'internal', message: 'so be it' });
  });

  const VIOLATIONS: readonly [string, (sidecar: RawSidecar) => void][] = [
    ['a frame before Hello', (sidecar) => sidecar.say(open(1))],
    ['a Hello without a node', (sidecar) => sidecar.say({ hello: {} })],
    ['a second Hello', (sidecar) => sidecar.say(HELLO, HELLO)],
    ['an exchange without an id', (sidecar) => sidecar.say(HELLO, { open: {} })],
    ['an id that was used', (sidecar) => sidecar.say(HELLO, open(5), open(5))],
    ['an id that falls', (sidecar) => sidecar.say(HELLO, open(5), open(4))],
    [
      'a credential without an id',
      (sidecar) => sidecar.say(HELLO, { credential: { authorization: 'Bearer x' } }),
    ],
    ['the end before Hello', (sidecar) => sidecar.halfClose()],
  ];
  for (const [what, act] of VIOLATIONS) {
    it(verifies('G14')(`${what} ends the stream with INVALID_ARGUMENT`), async () => {
      await using replica = await startReplica();
      await using sidecar = rawSidecar(replica.address);
      act(sidecar);
      expect((await sidecar.ended).code).to.equal(status.INVALID_ARGUMENT);
      await until(() => replica.server.streams().length === 0);
    });
  }

  it('a kind of exchange that only a newer sidecar knows fails by itself', async () => {
    await using replica = await startReplica();
    await using sidecar = await greeted(replica);
    sidecar.sayBytes(Buffer.from([0x0a, 0x06, 0x0a, 0x04, 0x08, 0x01, 0x10, 0x09]));
    sidecar.say(open(2));
    const { failure } = await sidecar.heard((frame) => frame.failure !== null);
    expect(failure).to.include({ exchange: 1, reason: 'invalid_request' });
    await sidecar.heard((frame) => frame.head?.exchange === 2);
  });

  it('sending beyond the window ends the stream', async () => {
    await using replica = await startReplica();
    await using sidecar = await greeted(replica);
    const body = Buffer.alloc(300 * 1024);
    sidecar.say({ open: { exchange: 1, body, more: true } });
    expect((await sidecar.ended).code).to.equal(status.RESOURCE_EXHAUSTED);
  });

  it('frames for exchanges that are over, or never were, are counted and dropped', async () => {
    await using replica = await startReplica();
    await using sidecar = await greeted(replica);
    sidecar.say(open(1));
    await sidecar.heard((frame) => frame.head !== null);
    sidecar.say(
      { data: { exchange: 1, body: Buffer.from('late') } },
      { cancel: { exchange: 1 } },
      { credit: { exchange: 7, bytes: 5 } },
    );
    await until(() => replica.server.streams()[0]!.counters.late === 3);
    expect(replica.departures).to.deep.equal([]);
  });

  it('a sidecar that says nothing is let go after the time for Hello', async () => {
    await using replica = await startReplica({ limits: { greetingMs: 100 } });
    await using sidecar = rawSidecar(replica.address);
    expect((await sidecar.ended).code).to.equal(status.DEADLINE_EXCEEDED);
  });

  it('one that half-closes gets its answers first', async () => {
    await using replica = await startReplica({
      handle: ({ reply }) => void setTimeout(() => reply.json([Buffer.from('late')]), 100),
    });
    await using sidecar = await greeted(replica);
    sidecar.say(open(1));
    sidecar.halfClose();
    expect((await sidecar.ended).code).to.equal(status.OK);
    expect(sidecar.frames.some(({ head }) => head !== null)).to.equal(true);
  });
});

describe('a replica that must protect itself', () => {
  it(verifies('G15')('keeps 8 streams of one node and refuses the others; other nodes come in'), async () => {
    await using replica = await startReplica();
    const sidecars = Array.from({ length: 100 }, () => rawSidecar(replica.address));
    for (const sidecar of sidecars) sidecar.say(HELLO);
    let refused = 0;
    for (const sidecar of sidecars) {
      void sidecar.ended.then(({ code, metadata }) => {
        if (code !== status.RESOURCE_EXHAUSTED) return;
        refused += 1;
        expect(retryAfter(metadata)).to.equal(1_000);
      });
    }
    await until(() => refused === 92);
    expect(replica.server.streams()).to.have.length(8);
    await using bystander = startClient([replica.address], { node: 'bystander' });
    // The burst may have used up this second's new streams: the sidecar comes back by itself.
    await connected(bystander);
    await Promise.all(sidecars.map((sidecar) => sidecar[Symbol.asyncDispose]()));
  });

  it(
    verifies('G15')(
      'takes 2,000 open exchanges of a stream; 10,000 more are told to come later, others are served',
    ),
    async () => {
      await using replica = await startReplica({
        handle: ({ body, reply }) => void (body.length > 1 && reply.json([body])),
      });
      await using client = startClient([replica.address]);
      await connected(client);
      const sent = Array.from({ length: 10_000 }, () => send(client, 'x'));
      const refused = await Promise.all(sent.slice(2_000).map(({ answered }) => answered));
      expect(refused.every(({ error }) => error?.reason === 'rate_limited')).to.equal(true);
      expect(refused[0]?.error?.retryAfterMs).to.equal(1_000);
      expect(replica.arrived).to.have.length(2_000);
      await using bystander = startClient([replica.address], { node: 'bystander' });
      expect((await send(bystander, 'hello').answered).text).to.equal('hello');
      for (const each of sent) each.cancel('cancelled');
      await until(() => replica.server.streams().every(({ counters }) => counters.exchanges === 0));
    },
  );

  it('spreads a stampede: beyond its rate new streams are refused with a time to come back', async () => {
    await using replica = await startReplica({ limits: { newStreamsBurst: 2, newStreamsPerSecond: 0.01 } });
    const codes: number[] = [];
    for (let index = 0; index < 4; index += 1) {
      await using sidecar = rawSidecar(replica.address);
      sidecar.say({ hello: { node: `node-${index}` } });
      const ended = await Promise.race([
        sidecar.ended,
        sidecar.heard(({ welcome }) => welcome !== null).then(() => undefined),
      ]);
      codes.push(ended?.code ?? status.OK);
    }
    expect(codes).to.deep.equal([status.OK, status.OK, status.UNAVAILABLE, status.UNAVAILABLE]);
  });

  it('refuses streams while it is not ready, and is found when it is', async () => {
    let ready = false;
    await using replica = await startReplica({ ready: () => ready });
    await using sidecar = rawSidecar(replica.address);
    sidecar.say(HELLO);
    const { code, metadata } = await sidecar.ended;
    expect(code).to.equal(status.UNAVAILABLE);
    expect(retryAfter(metadata)).to.be.greaterThan(0);
    await using client = startClient([replica.address]);
    expect((await send(client, 'x').answered).error?.reason).to.equal('unavailable');
    ready = true;
    await connected(client);
  });
});

describe('the standard health service', () => {
  const service = loadService('grpc/health/v1/health.proto', 'grpc.health.v1.Health');

  async function check(address: string, name: string): Promise<string> {
    const client = new Client(address, credentials.createInsecure());
    const { path, requestSerialize, responseDeserialize } = service['Check']!;
    try {
      return await new Promise<string>((resolve) => {
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          { service: name },
          new Metadata(),
          (error, answer) =>
            resolve(error === null ? (answer as { status: string }).status : status[error.code]!),
        );
      });
    } finally {
      client.close();
    }
  }

  it('says whether the server and the mesh stream are served', async () => {
    let ready = false;
    await using replica = await startReplica({ ready: () => ready });
    expect(await check(replica.address, '')).to.equal('NOT_SERVING');
    ready = true;
    expect(await check(replica.address, '')).to.equal('SERVING');
    expect(await check(replica.address, 'outrigger.mesh.v1.Mesh')).to.equal('SERVING');
    expect(await check(replica.address, 'nobody.v1.Nothing')).to.equal('NOT_FOUND');
  });

  it('tells its watchers when that changes, and lets them go at the end', async () => {
    await using replica = await startReplica();
    const client = new Client(replica.address, credentials.createInsecure());
    const { path, requestSerialize, responseDeserialize } = service['Watch']!;
    const watch = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {
      service: '',
    });
    const seen: string[] = [];
    watch.on('data', (answer: { status: string }) => seen.push(answer.status));
    watch.on('error', () => {});
    const ended = new Promise((resolve) => watch.on('status', resolve));
    await until(() => seen.length === 1);
    await replica.server.drain(100);
    await ended;
    expect(seen).to.deep.equal(['SERVING', 'NOT_SERVING']);
    client.close();
  });
});
