import { Metadata, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { EDGE_REASONS, RPC_REASONS } from '../../shared/errors.ts';
import { Pulse } from '../../shared/rpc/pulse.ts';
import { refusal, retryAfter } from '../../shared/rpc/retry-info.ts';
import { reasonOf, statusOf } from '../../shared/rpc/status.ts';
import { Backoff } from '../../sidecar/mesh/backoff.ts';
import { rendezvousOrder } from '../../sidecar/mesh/rendezvous.ts';
import { until } from '../support/mesh-stream.ts';

describe('the order of replicas', () => {
  const addresses = Array.from({ length: 6 }, (_, index) => `10.0.0.${index}:4290`);

  it('is the same whatever order they are told in, and another one for another node', () => {
    const order = rendezvousOrder('node-1', addresses);
    expect(rendezvousOrder('node-1', [...addresses].reverse())).to.deep.equal(order);
    const firsts = new Set(
      Array.from({ length: 50 }, (_, node) => rendezvousOrder(`node-${node}`, addresses)[0]),
    );
    expect(firsts.size).to.be.greaterThan(3);
  });

  it('keeps everybody else in place when one goes', () => {
    const order = rendezvousOrder('node-1', addresses);
    const without = rendezvousOrder(
      'node-1',
      addresses.filter((address) => address !== order[2]),
    );
    expect(without).to.deep.equal(order.filter((_, index) => index !== 2));
  });

  it('counts an address that is told twice once', () => {
    expect(rendezvousOrder('n', ['a:1', 'a:1', 'b:1'])).to.have.length(2);
  });
});

describe('back-off', () => {
  it('doubles its bound from 100 ms to 30 s, or to 4 s without a home, and starts anew after an answer', () => {
    const backoff = new Backoff(() => 1);
    const bounds = Array.from({ length: 11 }, () => backoff.next({ homeless: false }));
    expect(bounds).to.deep.equal([100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
    expect(backoff.again()).to.equal(4_000);
    expect(backoff.next({ homeless: true })).to.equal(4_000);
    backoff.reset();
    expect(backoff.next({ homeless: true })).to.equal(100);
  });

  it('draws from the whole range below its bound', () => {
    expect(new Backoff(() => 0).next({ homeless: false })).to.equal(0);
  });
});

describe('the pulse', () => {
  const quiet = { beat() {}, silent() {}, tick() {}, busy: () => true };

  it('beats when nothing was sent, and says when the peer fell silent', async () => {
    let beats = 0;
    let silent = 0;
    const pulse = new Pulse({
      ...quiet,
      beatMs: 20,
      silenceMs: 150,
      beat: () => {
        beats += 1;
      },
      silent: () => {
        silent += 1;
      },
    });
    pulse.start();
    await until(() => silent > 0);
    pulse.stop();
    expect(beats).to.be.greaterThan(2);
  });

  it('does not take its own pause for the silence of the peer', async () => {
    let silent = 0;
    const pulse = new Pulse({
      ...quiet,
      beatMs: 40,
      silenceMs: 200,
      silent: () => {
        silent += 1;
      },
    });
    pulse.start();
    const frozenUntil = performance.now() + 400;
    while (performance.now() < frozenUntil);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(silent).to.equal(0);
    pulse.stop();
  });

  it('rests while nothing is open', async () => {
    let ticks = 0;
    const pulse = new Pulse({
      ...quiet,
      beatMs: 20,
      silenceMs: 60,
      busy: () => false,
      tick: () => {
        ticks += 1;
      },
    });
    pulse.start();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(ticks).to.equal(0);
  });
});

describe('gRPC status', () => {
  it('has one for every reason; NOT_FOUND is said of a session alone', () => {
    const reasons = [...EDGE_REASONS, ...RPC_REASONS];
    for (const reason of reasons) expect(statusOf(reason)).to.be.greaterThan(0);
    expect(reasons.filter((reason) => statusOf(reason) === status.NOT_FOUND)).to.deep.equal([
      'session_not_found',
    ]);
    expect(reasonOf(status.NOT_FOUND)).to.equal('session_not_found');
  });

  it('reads what it cannot tell as unavailable or internal, never as a lost session', () => {
    for (const code of [status.UNAVAILABLE, status.DEADLINE_EXCEEDED])
      expect(reasonOf(code)).to.equal('unavailable');
    for (const code of [status.UNKNOWN, status.DATA_LOSS, status.INTERNAL])
      expect(reasonOf(code)).to.equal('internal');
  });

  it('carries the time to come back, and reads none from garbage', () => {
    const { metadata } = refusal({ code: status.UNAVAILABLE, details: 'später', retryAfterMs: 12_345 });
    expect(retryAfter(metadata)).to.equal(12_345);
    expect(retryAfter(refusal({ code: status.UNAVAILABLE, details: '' }).metadata)).to.equal(undefined);
    const garbage = new Metadata();
    garbage.set('grpc-status-details-bin', Buffer.from([0x1a, 0xff, 0x01]));
    expect(retryAfter(garbage)).to.equal(undefined);
  });
});
