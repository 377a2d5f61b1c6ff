import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { keyOf, type PreparedSet } from '../../control-plane/capabilities/prepared-set.ts';
import { SetSender } from '../../control-plane/capabilities/set-sender.ts';
import type { Clock } from '../../shared/clock.ts';
import { verifies } from '../requirements.ts';

function setOf(name: string): PreparedSet {
  const item = Buffer.from(JSON.stringify({ name }));
  const id = createHash('sha256').update(name).digest();
  const hashes = createHash('sha256').update(item).digest();
  return { id, key: keyOf(id), head: Buffer.from('{"tools":['), content: { hashes, items: () => [[item]] } };
}

function start(wanted: PreparedSet[]) {
  let now = 0;
  const clock: Clock = { now: () => now, elapsed: () => now, after: () => () => {} };
  const sent: string[] = [];
  const sender: SetSender = new SetSender({
    clock,
    send: ({ capabilitySet }) => sent.push(keyOf(capabilitySet?.set ?? Buffer.alloc(0))),
    next: () => wanted.find((set) => sender.needs(set)),
    sent: () => {},
    lost: () => {},
  });
  return { sender, sent, forward: (ms: number) => (now += ms) };
}

const [A, B] = [setOf('a'), setOf('b')];

describe('the sets on their way to a sidecar', () => {
  it(verifies('CAP-1')('go one at a time, the next with the answer, and say how far they are'), () => {
    const { sender, sent } = start([A, B]);
    sender.pump();
    sender.pump();
    expect(sent).to.deep.equal([A.key]);
    expect([sender.state(A), sender.state(B)]).to.deep.equal(['STALE', 'NOT_SENT']);
    sender.ack(B.id);
    expect(sender.state(B)).to.equal('NOT_SENT');
    sender.ack(A.id);
    expect(sent).to.deep.equal([A.key, B.key]);
    sender.nack({ set: B.id, reason: 'invalid' });
    expect([sender.state(A), sender.state(B)]).to.deep.equal(['SYNCED', 'NACKED']);
    sender.pump();
    expect(sent).to.have.length(2);
  });

  it('are not granted while an answer is overdue, and again when it comes', () => {
    const { sender, forward } = start([A]);
    sender.pump();
    expect(sender.usable(A)).to.equal(true);
    forward(15_001);
    expect(sender.usable(A)).to.equal(false);
    sender.ack(A.id);
    expect(sender.usable(A)).to.equal(true);
  });

  it('need not go where they are held', () => {
    const { sender, sent } = start([A, B]);
    sender.held({ sets: [A.id], items: [] });
    sender.pump();
    expect(sent).to.deep.equal([B.key]);
    expect(sender.usable(A)).to.equal(true);
  });
});
