import { expect } from 'chai';
import type { Exchange } from '../../control-plane/rpc/exchange.ts';
import { verifies } from '../requirements.ts';
import { type RawReplica, rawReplica } from '../support/mesh-raw.ts';
import {
  byHome,
  connected,
  echo,
  request,
  type Sent,
  send,
  startClient,
  startReplica,
  type TestReplica,
  until,
} from '../support/mesh-stream.ts';
import { startProxy } from '../support/tcp-proxy.ts';

const QUICK = { beatMs: 50, silenceMs: 300 };

/** Holds what the first replica that gets work is asked; every other one says the body back. */
function holdFirst(): (exchange: Exchange, name: string) => void {
  let first: string | undefined;
  return (exchange, name) => {
    first ??= name;
    if (name !== first) echo(exchange);
  };
}

async function startTwo(options: Parameters<typeof startReplica>[0] = {}) {
  const handle = options.handle ?? holdFirst();
  const replicas = await Promise.all(['a', 'b'].map((name) => startReplica({ ...options, name, handle })));
  return {
    replicas,
    addresses: replicas.map(({ address }) => address),
    async [Symbol.asyncDispose]() {
      await Promise.all(replicas.map(({ server }) => server.stop()));
    },
  };
}

async function arrivals(replica: TestReplica | undefined, count: number): Promise<void> {
  await until(() => (replica?.arrived.length ?? 0) >= count);
}

const reasonOf = async ({ answered }: Sent) => {
  const { kind, error } = await answered;
  return error?.reason ?? kind;
};

describe('a mesh stream that is lost', () => {
  it(
    verifies('RST-11', 'C1')('each open exchange is sent again or has an unknown outcome, never both'),
    async () => {
      await using two = await startTwo({ facts: { replaySafeTools: ['search'] } });
      await using client = startClient(two.addresses);
      await connected(client, 2);
      const [home, next] = byHome(client, two.replicas);
      const again = [
        send(client, request('tools/list')),
        send(client, request('ping')),
        send(client, request('resources/read', { uri: 'file:///x' })),
        send(client, request('tools/call', { name: 'search' })),
        send(client, { jsonrpc: '2.0', method: 'notifications/initialized' }),
        send(client, undefined, { kind: 'terminate' }),
      ];
      const unknown = [
        send(client, request('tools/call', { name: 'transfer' })),
        send(client, request('initialize')),
        send(client, request('logging/setLevel', { level: 'info' })),
        send(client, { jsonrpc: '2.0', id: 7, result: {} }),
      ];
      await arrivals(home, 10);
      await home!.server.stop();
      expect(await Promise.all(again.map(reasonOf))).to.deep.equal(again.map(() => 'json'));
      expect(await Promise.all(unknown.map(reasonOf))).to.deep.equal(unknown.map(() => 'outcome_unknown'));
      expect(next!.arrived).to.have.length(again.length);
      expect(home!.departures).to.deep.equal(home!.arrived.map(() => 'lost'));
      for (const { sink } of [...again, ...unknown]) expect(sink.finishes).to.equal(1);
    },
  );

  it(verifies('RST-11')('what was not written whole is sent again, whatever it is'), async () => {
    await using two = await startTwo();
    await using client = startClient(two.addresses);
    await connected(client, 2);
    const [home] = byHome(client, two.replicas);
    const large = send(
      client,
      request('tools/call', { name: 'upload', arguments: { text: 'x'.repeat(2_000_000) } }),
    );
    const small = send(client, request('tools/call', { name: 'send' }));
    await arrivals(home, 1);
    await home!.server.stop();
    expect(await reasonOf(small)).to.equal('outcome_unknown');
    expect((await large.answered).text).to.have.length.above(2_000_000);
  });

  it(
    verifies('RST-11', 'C1')('silence of the replica is a lost stream, though no connection was reset'),
    async () => {
      await using two = await startTwo();
      const wires = await Promise.all(two.replicas.map(({ port }) => startProxy({ port })));
      await using client = startClient(
        wires.map(({ port }) => `127.0.0.1:${port}`),
        { pulse: QUICK },
      );
      await connected(client, 2);
      const list = send(client, request('tools/list'));
      const call = send(client, request('tools/call', { name: 'transfer' }));
      await until(() => two.replicas.some(({ arrived }) => arrived.length === 2));
      const frozen = two.replicas.findIndex(({ arrived }) => arrived.length === 2);
      const since = performance.now();
      wires[frozen]!.set({ swallow: true });
      expect(await reasonOf(call)).to.equal('outcome_unknown');
      expect(await reasonOf(list)).to.equal('json');
      expect(performance.now() - since).to.be.below(3_000);
      await Promise.all(wires.map((wire) => wire[Symbol.asyncDispose]()));
    },
  );

  it('silence of the sidecar ends its exchanges at the replica as lost', async () => {
    await using replica = await startReplica({ handle: () => {}, pulse: QUICK });
    await using wire = await startProxy(replica);
    const patient = { beatMs: 50, silenceMs: 10_000 };
    await using client = startClient([`127.0.0.1:${wire.port}`], { pulse: patient });
    send(client, request('ping'));
    await arrivals(replica, 1);
    wire.set({ swallow: true });
    await until(() => replica.departures.length === 1);
    expect(replica.departures).to.deep.equal(['lost']);
    expect(replica.server.streams()).to.have.length(0);
  });

  it('a long quiet call is kept alive by heartbeats from both ends', async () => {
    const held: Exchange[] = [];
    await using replica = await startReplica({
      handle: (exchange) => void held.push(exchange),
      pulse: QUICK,
    });
    await using client = startClient([replica.address], { pulse: QUICK });
    const call = send(client, request('tools/call', { name: 'long' }));
    await until(() => held.length === 1);
    await new Promise((resolve) => setTimeout(resolve, QUICK.silenceMs * 3));
    held[0]!.reply.json([Buffer.from('done')]);
    expect((await call.answered).text).to.equal('done');
    const { messagesIn, framesIn } = client.streams()[0]!.counters;
    expect(messagesIn).to.be.greaterThan(framesIn);
  });

  it('a reset connection is found at once', async () => {
    await using replica = await startReplica({ handle: () => {} });
    await using wire = await startProxy(replica);
    await using client = startClient([`127.0.0.1:${wire.port}`]);
    const call = send(client, request('tools/call', { name: 'transfer' }));
    await arrivals(replica, 1);
    wire.reset();
    expect(await reasonOf(call)).to.equal('outcome_unknown');
    await until(() => replica.departures.length === 1);
    await connected(client);
  });

  it('a GET goes on at the next replica after the last event that its client has', async () => {
    await using two = await startTwo({
      handle: ({ reply, lastEventId }, name) => {
        reply.stream();
        reply.event([Buffer.from(`from ${name} after ${lastEventId}`)], `${name}-1`);
      },
    });
    await using client = startClient(two.addresses);
    await connected(client, 2);
    const [home, next] = byHome(client, two.replicas);
    const listening = send(client, undefined, { kind: 'listen', lastEventId: '0' });
    await until(() => listening.sink.events.length === 1);
    await home!.server.stop();
    await until(() => listening.sink.events.length === 2);
    expect(listening.sink.events.map(({ text }) => text)).to.deep.equal([
      `from ${home!.name} after 0`,
      `from ${next!.name} after ${home!.name}-1`,
    ]);
    expect(listening.sink).to.include({ streams: 1, finishes: 0 });
  });

  it('an answer that had begun as a stream and comes again as JSON is one answer', async () => {
    let first = true;
    await using two = await startTwo({
      handle: (exchange) => {
        if (!first) return echo(exchange);
        first = false;
        exchange.reply.stream();
        exchange.reply.event([Buffer.from('progress')]);
      },
    });
    await using client = startClient(two.addresses);
    await connected(client, 2);
    const [home] = byHome(client, two.replicas);
    const list = send(client, request('tools/list'));
    await until(() => list.sink.events.length === 1);
    await home!.server.stop();
    const answer = await list.answered;
    expect(answer).to.include({ kind: 'end', streams: 1, finishes: 1 });
    expect(answer.events.at(-1)?.text).to.contain('tools/list');
  });
});

describe('a replica that leaves', () => {
  it(verifies('RST-12')('lets open exchanges finish, takes no more, and loses none'), async () => {
    const held: Exchange[] = [];
    let first: string | undefined;
    await using two = await startTwo({
      handle: (exchange, name) => {
        first ??= name;
        if (name === first) held.push(exchange);
        else echo(exchange);
      },
    });
    await using client = startClient(two.addresses);
    await connected(client, 2);
    const [home, next] = byHome(client, two.replicas);
    const open = send(client, request('tools/call', { name: 'transfer' }));
    await arrivals(home, 1);
    const drained = home!.server.drain(5_000);
    await until(() => client.streams()[0]?.address === next!.address);
    expect((await send(client, 'after').answered).text).to.equal('after');
    held[0]!.reply.json([Buffer.from('finished')]);
    expect((await open.answered).text).to.equal('finished');
    await drained;
    expect(home!.departures).to.deep.equal([]);
    expect(next!.arrived).to.have.length(1);
  });

  it(verifies('RST-12')('what it did not take runs once, elsewhere'), async () => {
    await using two = await startTwo({ handle: echo });
    await using client = startClient(two.addresses);
    await connected(client, 2);
    const [home] = byHome(client, two.replicas);
    const before = Array.from({ length: 20 }, (_, index) =>
      send(client, request('tools/call', { name: 'transfer', arguments: { index } })),
    );
    const drained = home!.server.drain(5_000);
    const kinds = await Promise.all(before.map(reasonOf));
    expect(kinds).to.deep.equal(before.map(() => 'json'));
    await drained;
    const ran = two.replicas.flatMap(({ arrived }) => arrived.map(({ body }) => body.toString()));
    expect(ran).to.have.length(before.length);
    expect(new Set(ran).size).to.equal(before.length);
  });

  it('is left by its GETs at once', async () => {
    await using two = await startTwo({
      handle: ({ reply }, name) => {
        reply.stream();
        reply.event([Buffer.from(name)], `${name}-1`);
      },
    });
    await using client = startClient(two.addresses);
    await connected(client, 2);
    const [home, next] = byHome(client, two.replicas);
    const listening = send(client, undefined, { kind: 'listen' });
    await until(() => listening.sink.events.length === 1);
    await home!.server.drain(5_000);
    await until(() => listening.sink.events.length === 2);
    expect(next!.arrived[0]?.lastEventId).to.equal(`${home!.name}-1`);
    expect(home!.departures).to.deep.equal(['detached']);
  });

  it('is left once by what it refused, GETs among it', async () => {
    const replicas = await Promise.all([rawReplica(), rawReplica()]);
    await using client = startClient(replicas.map(({ address }) => address));
    for (const replica of replicas) {
      await replica.heard(({ hello }) => hello !== null);
      replica.say({ welcome: { replica: replica.address } });
    }
    await connected(client, 2);
    const home = client.streams()[0]?.address;
    const [from, to] = [...replicas].sort((x) => (x.address === home ? -1 : 1)) as [RawReplica, RawReplica];
    send(client, undefined, { kind: 'listen' });
    send(client, request('tools/call', { name: 'transfer' }));
    await from.heard(({ open }) => open?.exchange === 2);
    from.say({ goAway: { lastExchange: 0 } });
    await to.heard(({ open }) => open?.exchange === 2);
    const after = send(client, 'after');
    await to.heard(({ open }) => open?.exchange === 3);
    to.say({ head: { exchange: 3, body: Buffer.from('yes') } });
    expect((await after.answered).text).to.equal('yes');
    expect(to.frames.filter(({ open }) => open !== null)).to.have.length(3);
    await Promise.all(replicas.map((replica) => replica[Symbol.asyncDispose]()));
  });

  it(
    verifies(
      'RPC-5',
      'RPC-7',
    )('still gets the cancellations, replies and progress that belong to its exchanges'),
    async () => {
      const held: Exchange[] = [];
      let first: string | undefined;
      await using two = await startTwo({
        handle: (exchange, name) => {
          first ??= name;
          const method = JSON.parse(exchange.body.toString()).method;
          if (name !== first || method !== 'tools/call') return exchange.reply.accepted();
          held.push(exchange);
          exchange.reply.stream();
          exchange.reply.event([Buffer.from('please answer')], 'c1-1.1.1');
        },
      });
      await using client = startClient(two.addresses);
      await connected(client, 2);
      const [home, next] = byHome(client, two.replicas);
      const open = send(client, request('tools/call', { name: 'ask' }));
      const several = send(client, JSON.stringify(request('tools/call', { name: 'one of two' })), {
        ids: ['7', '"8"'],
      });
      await until(() => open.sink.events.length + several.sink.events.length === 2);
      const drained = home!.server.drain(5_000);
      await until(() => client.streams().some(({ address, home: is }) => is && address === next!.address));

      const cancelled = (requestId: number) => ({
        jsonrpc: '2.0',
        method: 'notifications/cancelled',
        params: { requestId },
      });
      const progress = (progressToken: string) => ({
        jsonrpc: '2.0',
        method: 'notifications/progress',
        params: { progressToken, progress: 1 },
      });
      await send(client, cancelled(1)).answered;
      await send(client, cancelled(7)).answered;
      await send(client, { jsonrpc: '2.0', id: 'c1-1.asked', result: {} }).answered;
      await send(client, progress('c1-1.told')).answered;
      expect([home!.arrived.length, next!.arrived.length]).to.deep.equal([6, 0]);
      // Nothing of theirs: another request, what the next replica asked, another session.
      await send(client, cancelled(2)).answered;
      await send(client, { jsonrpc: '2.0', id: 'c2-1.asked', result: {} }).answered;
      await send(client, progress('c1-10.told')).answered;
      await send(client, cancelled(1), { sessionId: 'session-2' }).answered;
      expect([home!.arrived.length, next!.arrived.length]).to.deep.equal([6, 4]);
      for (const each of held) each.reply.end();
      await drained;
    },
  );
});

describe('a sidecar without a replica', () => {
  it(verifies('X1')('lets a request wait for the first connection'), async () => {
    await using replica = await startReplica();
    await using client = startClient([replica.address]);
    expect(client.connected).to.equal(false);
    expect((await send(client, 'early').answered).text).to.equal('early');
  });

  it(
    verifies('X1')('fails a request at once when all are known to be down, and comes back by itself'),
    async () => {
      const gone = await startReplica();
      await gone.server.stop();
      await using client = startClient([gone.address]);
      expect(await reasonOf(send(client, 'first'))).to.equal('unavailable');
      const { error } = await send(client, 'second').answered;
      expect(error?.reason).to.equal('unavailable');
      expect(error?.retryAfterMs).to.be.at.least(1_000);
      await using back = await startReplica({ address: gone.address });
      await connected(client);
      expect((await send(client, 'third').answered).text).to.equal('third');
      expect(back.arrived).to.have.length(1);
    },
  );

  it('does not wait for ever for one that never says Welcome', async () => {
    await using replica = await startReplica();
    await using wire = await startProxy(replica);
    wire.set({ swallow: true });
    await using client = startClient([`127.0.0.1:${wire.port}`], { patienceMs: 200 });
    expect(await reasonOf(send(client, 'x'))).to.equal('unavailable');
  });

  it('keeps to a home that stands, and to its order when it starts anew', async () => {
    await using two = await startTwo({ handle: echo });
    const homes = new Set<string | undefined>();
    for (let start = 0; start < 3; start += 1) {
      await using client = startClient(two.addresses);
      await connected(client, 2);
      homes.add(byHome(client, two.replicas)[0]?.name);
    }
    expect(homes.size).to.equal(1);
  });

  it('finds its replicas by a name', async () => {
    await using replica = await startReplica();
    await using client = startClient({ dns: 'localhost', port: replica.port });
    expect((await send(client, 'x').answered).text).to.equal('x');
  });
});
