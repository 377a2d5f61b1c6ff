import { expect } from 'chai';
import type { Exchange } from '../../control-plane/rpc/exchange.ts';
import { MeshError } from '../../shared/errors.ts';
import { WINDOW_BYTES } from '../../shared/rpc/mesh-protocol.ts';
import { verifies } from '../requirements.ts';
import { connected, send, startClient, startReplica, until } from '../support/mesh-stream.ts';

const KIB = 1024;

/** Answers with a stream: a priming event, two messages, the end. */
function tell(exchange: Exchange): void {
  const { reply } = exchange;
  reply.stream();
  reply.event([], 'e-0', 1500);
  reply.event([Buffer.from('one '), Buffer.from('and two')], 'e-1');
  reply.event([Buffer.from('three')]);
  reply.end(200);
}

describe('the mesh stream', () => {
  it('tells the sidecar what it needs for its edge', async () => {
    const facts = { resource: 'https://mesh.example', issuers: ['https://issuer.example'], scopes: ['mcp'] };
    await using replica = await startReplica({ name: 'replica-a', facts });
    await using client = startClient([replica.address]);
    expect(client.facts).to.equal(undefined);
    await connected(client);
    expect(client.facts).to.deep.include({ replica: 'replica-a', ...facts, anonymous: true });
    expect(client.facts?.maxMessageBytes).to.equal(4 * KIB * KIB);
    const [stream] = replica.server.streams();
    expect(stream).to.include({ node: 'node-1', virtualServer: 'default' });
  });

  it('carries one request with all its headers, and its JSON answer', async () => {
    await using replica = await startReplica({
      handle: ({ reply, body }) => reply.json([Buffer.from('you said '), body], 'new-session'),
    });
    await using client = startClient([replica.address]);
    const sent = send(client, 'hello', {
      lastEventId: '7.1.3',
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      tracestate: 'a=b',
    });
    const answer = await sent.answered;
    expect(answer).to.include({
      kind: 'json',
      text: 'you said hello',
      sessionId: 'new-session',
      finishes: 1,
    });
    const [exchange] = replica.arrived;
    expect(exchange).to.include({
      kind: 'message',
      sessionId: 'session-1',
      protocolVersion: '2025-11-25',
      lastEventId: '7.1.3',
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      tracestate: 'a=b',
    });
    expect(exchange?.caller).to.include({ kind: 'anonymous', node: 'node-1' });
  });

  it('a trace that no backend could be told of is none', async () => {
    await using replica = await startReplica({ handle: ({ reply }) => reply.accepted() });
    await using client = startClient([replica.address]);
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    await send(client, 'x', { traceparent: '00-x\r\nx-evil: 1', tracestate: 'a=b' }).answered;
    await send(client, 'x', { traceparent, tracestate: 'a=b\r\nx-evil: 1' }).answered;
    const traces = replica.arrived.map((exchange) => [exchange.traceparent, exchange.tracestate]);
    expect(traces).to.deep.equal([
      ['', ''],
      [traceparent, ''],
    ]);
  });

  it('carries a stream of events in order, with ids, priming and retry', async () => {
    await using replica = await startReplica({ handle: tell });
    await using client = startClient([replica.address]);
    const answer = await send(client, 'x').answered;
    expect(answer).to.include({ kind: 'end', streams: 1, finishes: 1 });
    expect(answer.events).to.deep.equal([
      { text: '', id: 'e-0', retryMs: 1500 },
      { text: 'one and two', id: 'e-1', retryMs: undefined },
      { text: 'three', id: undefined, retryMs: undefined },
      { text: '', id: undefined, retryMs: 200 },
    ]);
  });

  it('carries listen and terminate', async () => {
    await using replica = await startReplica({
      handle: ({ kind, reply }) => {
        if (kind === 'terminate') return reply.accepted();
        reply.stream();
        reply.end();
      },
    });
    await using client = startClient([replica.address]);
    const listening = await send(client, undefined, { kind: 'listen' }).answered;
    const terminated = await send(client, undefined, { kind: 'terminate' }).answered;
    expect([listening.kind, terminated.kind]).to.deep.equal(['end', 'accepted']);
    expect(replica.arrived.map(({ kind }) => kind)).to.deep.equal(['listen', 'terminate']);
  });

  it('carries a failure with everything that the edge needs to answer', async () => {
    const error = new MeshError('insufficient_scope', 'More is needed.', {
      scope: 'a b',
      retryAfterMs: 2500,
      backend: 'github',
    });
    await using replica = await startReplica({ handle: ({ reply }) => reply.fail(error) });
    await using client = startClient([replica.address]);
    const answer = await send(client, 'x').answered;
    expect(answer.error).to.deep.include({
      reason: 'insufficient_scope',
      message: 'More is needed.',
      scope: 'a b',
      retryAfterMs: 2500,
      backend: 'github',
    });
  });

  it('ignores a late answer, and one after the answer', async () => {
    const held: Exchange[] = [];
    await using replica = await startReplica({ handle: (exchange) => void held.push(exchange) });
    await using client = startClient([replica.address]);
    const sent = send(client, 'x');
    await until(() => held.length === 1);
    const { reply } = held[0]!;
    reply.json([Buffer.from('first')]);
    reply.json([Buffer.from('second')]);
    reply.fail(new MeshError('internal', 'too late'));
    expect(reply.closed).to.equal(true);
    expect(await sent.answered).to.include({ text: 'first', finishes: 1 });
  });

  it('sends the frames of one turn as one message, both ways', async () => {
    await using replica = await startReplica();
    await using client = startClient([replica.address]);
    await connected(client);
    const before = client.streams()[0]!.counters.out.messages;
    const sent = Array.from({ length: 64 }, (_, index) => send(client, `call ${index}`));
    const answers = await Promise.all(sent.map(({ answered }) => answered));
    expect(answers.map(({ text }) => text)).to.deep.equal(sent.map((_, index) => `call ${index}`));
    const { out, messagesIn, framesIn } = client.streams()[0]!.counters;
    expect(out.messages - before).to.be.at.most(2);
    expect(out.frames).to.equal(65);
    expect(messagesIn).to.be.at.most(4);
    expect(framesIn).to.equal(65);
  });

  it('carries 1 MiB both ways in pieces, whole', async () => {
    await using replica = await startReplica();
    await using client = startClient([replica.address]);
    const text = 'outrigger'.repeat(Math.ceil((KIB * KIB) / 9));
    const answers = await Promise.all([1, 2, 3].map(() => send(client, text).answered));
    for (const answer of answers) expect(answer.text === text).to.equal(true);
    const { out, heldBytes } = client.streams()[0]!.counters;
    expect(out.frames).to.be.at.least((3 * text.length) / (32 * KIB));
    expect({ waiting: out.waitingBytes, heldBytes, uncredited: out.uncreditedBytes }).to.deep.equal({
      waiting: 0,
      heldBytes: 0,
      uncredited: 0,
    });
  });

  it('refuses a message longer than the mesh carries, and an answer likewise', async () => {
    await using replica = await startReplica({
      limits: { maxMessageBytes: 100 * KIB },
      handle: ({ reply }) => reply.json([Buffer.alloc(300 * KIB)]),
    });
    await using client = startClient([replica.address]);
    expect((await send(client, 'x'.repeat(101 * KIB)).answered).error?.reason).to.equal('message_too_large');
    expect((await send(client, 'x').answered).error?.reason).to.equal('backend_protocol_error');
    await until(() => replica.departures.length === 1 || client.streams()[0]!.counters.exchanges === 0);
    expect(replica.arrived).to.have.length(1);
  });

  it(verifies('RPC-15')('a reader that stops holds its own exchange only, within its window'), async () => {
    const drained: string[] = [];
    const held = new Map<string, Exchange>();
    await using replica = await startReplica({
      handle: (exchange) => {
        const name = exchange.body.toString();
        if (name !== 'slow') return exchange.reply.json([Buffer.alloc(600 * KIB, 'f')]);
        held.set(name, exchange);
        exchange.onDrain = () => drained.push(name);
        exchange.reply.stream();
        while (exchange.reply.event([Buffer.alloc(10 * KIB, 's')]));
      },
    });
    await using client = startClient([replica.address]);
    const slow = send(client, 'slow');
    slow.sink.hold = true;
    await until(() => slow.sink.bytes > 0);
    const fast = await Promise.all(Array.from({ length: 8 }, () => send(client, 'fast').answered));
    for (const answer of fast) expect(answer.text).to.have.length(600 * KIB);

    const [stream] = replica.server.streams();
    expect(slow.sink.bytes).to.be.at.most(WINDOW_BYTES);
    expect(stream!.counters.out.uncreditedBytes).to.be.at.most(WINDOW_BYTES);
    expect(stream!.counters.out.waitingBytes).to.be.at.most(10 * KIB);
    expect(drained).to.deep.equal([]);

    slow.sink.hold = false;
    slow.resume();
    await until(() => drained.length > 0);
    held.get('slow')!.reply.end();
    const answer = await slow.answered;
    expect(answer).to.include({ kind: 'end', finishes: 1 });
    expect(slow.sink.bytes % (10 * KIB)).to.equal(0);
  });

  it('cuts a writer that ignores a full lane after 1 MiB; its work goes on as detached', async () => {
    await using replica = await startReplica({
      handle: ({ reply }) => {
        reply.stream();
        for (let sent = 0; sent < 3000; sent += 1) reply.event([Buffer.alloc(KIB)]);
      },
    });
    await using client = startClient([replica.address]);
    const sent = send(client, 'x');
    sent.sink.hold = true;
    expect((await sent.answered).error?.reason).to.equal('overloaded');
    expect(replica.departures).to.deep.equal(['detached']);
  });

  it('serves many exchanges fairly: a small answer does not wait for a large one', async () => {
    await using replica = await startReplica({
      handle: ({ body, reply }) =>
        reply.json([Buffer.alloc(body.toString() === 'large' ? 3 * KIB * KIB : 10)]),
    });
    await using client = startClient([replica.address]);
    await connected(client);
    const order: string[] = [];
    const large = send(client, 'large').answered.then(() => order.push('large'));
    const small = send(client, 'small').answered.then(() => order.push('small'));
    await Promise.all([large, small]);
    expect(order).to.deep.equal(['small', 'large']);
  });

  it('a cancelled exchange ends at both ends, once, and a late answer is dropped', async () => {
    await using replica = await startReplica({ handle: () => {} });
    await using client = startClient([replica.address]);
    const sent = send(client, 'x');
    await until(() => replica.arrived.length === 1);
    sent.cancel('cancelled');
    sent.cancel('shutdown');
    await until(() => replica.departures.length === 1);
    expect(replica.departures).to.deep.equal(['cancelled']);
    const { reply } = replica.arrived[0]!;
    expect(reply.closed).to.equal(true);
    reply.json([Buffer.from('late')]);
    expect((await echoThrough(client, replica.arrived)).finishes).to.equal(1);
    expect(sent.sink.finishes).to.equal(0);
    expect(client.streams()[0]!.counters.exchanges).to.equal(0);
  });

  it('one cancelled before it was sent never leaves', async () => {
    await using replica = await startReplica();
    await using client = startClient([replica.address]);
    await connected(client);
    send(client, 'never').cancel('cancelled');
    await send(client, 'after').answered;
    expect(replica.arrived.map(({ body }) => body.toString())).to.deep.equal(['after']);
  });

  it(
    verifies('HTTP-19', 'H24')('a client that is gone detaches: the call goes on, its answer has no reader'),
    async () => {
      await using replica = await startReplica({ handle: () => {} });
      await using client = startClient([replica.address]);
      const early = send(client, 'x'.repeat(100 * KIB));
      early.detach();
      const late = send(client, 'late');
      await until(() => replica.arrived.length === 2);
      late.detach();
      await until(() => replica.departures.length === 2);
      expect(replica.departures).to.deep.equal(['detached', 'detached']);
      const whole = replica.arrived.find(({ body }) => body.length > 1000);
      expect(whole?.body).to.have.length(100 * KIB);
      expect(whole?.reply.closed).to.equal(true);
      expect([early.sink.finishes, late.sink.finishes]).to.deep.equal([0, 0]);
      expect(client.streams()[0]!.counters.exchanges).to.equal(0);
    },
  );

  it('an exchange ends at its deadline, at both ends', async () => {
    await using replica = await startReplica({ handle: () => {}, pulse: { beatMs: 100, silenceMs: 3000 } });
    await using client = startClient([replica.address], {
      deadlineMs: 150,
      pulse: { beatMs: 100, silenceMs: 3000 },
    });
    const answer = await send(client, 'x').answered;
    expect(answer.error?.reason).to.equal('backend_timeout');
    await until(() => replica.departures.length === 1);
    expect(replica.departures).to.deep.equal(['deadline']);
  });

  it('a handler that throws or rejects fails its own exchange, and says nothing of why', async () => {
    await using replica = await startReplica({
      handle: ({ body }) => {
        if (body.toString() === 'throw') throw new Error('secret inside');
        return Promise.reject(new Error('secret inside'));
      },
    });
    await using client = startClient([replica.address]);
    for (const how of ['throw', 'reject']) {
      const { error } = await send(client, how).answered;
      expect(error?.reason).to.equal('internal');
      expect(error?.message).not.to.contain('secret');
    }
  });

  it('goes over to a fresh stream of the same replica before its ids run out', async () => {
    const held: Exchange[] = [];
    await using replica = await startReplica({
      handle: (exchange) => {
        if (exchange.body.toString() === 'long') held.push(exchange);
        else exchange.reply.json([exchange.body]);
      },
    });
    await using client = startClient([replica.address], { maxExchangeId: 10 });
    const long = send(client, 'long');
    for (let call = 0; call < 40; call += 1) {
      expect((await send(client, `call ${call}`).answered).text).to.equal(`call ${call}`);
    }
    expect(new Set(replica.arrived.map(({ peer }) => peer.stream)).size).to.be.at.least(3);
    held[0]!.reply.json([Buffer.from('at last')]);
    expect((await long.answered).text).to.equal('at last');
    await until(() => client.streams().length === 1);
    await until(() => replica.server.streams().length === 1);
  });

  it('SessionEnded goes to every sidecar and disturbs nobody', async () => {
    await using replica = await startReplica();
    await using one = startClient([replica.address]);
    await using two = startClient([replica.address], { node: 'node-2' });
    await Promise.all([connected(one), connected(two)]);
    replica.server.endSession('session-1');
    expect((await send(one, 'x').answered).text).to.equal('x');
    expect((await send(two, 'y').answered).text).to.equal('y');
    expect(one.streams()[0]!.counters.framesIn).to.equal(3);
  });

  it('close lets open exchanges finish, and cancels what does not within its grace', async () => {
    await using replica = await startReplica({
      handle: ({ body, reply }) => {
        if (body.toString() === 'quick') setTimeout(() => reply.json([body]), 100);
      },
    });
    const client = startClient([replica.address]);
    await connected(client);
    const quick = send(client, 'quick');
    const endless = send(client, 'endless');
    await client.close(300);
    expect((await quick.answered).kind).to.equal('json');
    expect((await endless.answered).error?.reason).to.equal('draining');
    await until(() => replica.departures.length === 1);
    expect(replica.departures).to.deep.equal(['shutdown']);
    expect((await send(client, 'after').answered).error?.reason).to.equal('draining');
    await until(() => replica.server.streams().length === 0);
  });
});

/** Sends one more and answers it by hand, so that everything before it has been read. */
async function echoThrough(client: Parameters<typeof send>[0], arrived: readonly Exchange[]) {
  const before = arrived.length;
  const sent = send(client, 'one more');
  await until(() => arrived.length > before);
  arrived.at(-1)!.reply.json([Buffer.from('done')]);
  return sent.answered;
}
