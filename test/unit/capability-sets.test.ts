import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { framesOf, keyOf, type PreparedSet } from '../../control-plane/capabilities/prepared-set.ts';
import type { CapabilitySet } from '../../shared/rpc/mesh-protocol.ts';
import { SetStore } from '../../sidecar/capabilities/set-store.ts';
import { verifies } from '../requirements.ts';

/** A set of these items, as a replica prepares it. */
function setOf(items: readonly string[], head = '{"tools":['): PreparedSet {
  const hashes = Buffer.concat(items.map((item) => createHash('sha256').update(item).digest()));
  const id = createHash('sha256').update(head).update(hashes).digest();
  const pieces = items.map((item) => [Buffer.from(item)]);
  return { id, key: keyOf(id), head: Buffer.from(head), content: { hashes, items: () => pieces } };
}

/** The pieces as they arrive, and how many bytes of items are in them. */
function sent(set: PreparedSet, holds: (item: string) => boolean) {
  const pieces = [...framesOf(set, holds)].map(({ frame }) => frame.capabilitySet as CapabilitySet);
  const bodies = pieces.flatMap((piece) => piece.bodies).reduce((sum, body) => sum + body.length, 0);
  return { pieces: pieces.map((piece) => ({ ...piece, head: piece.head ?? Buffer.alloc(0) })), bodies };
}

function apply(store: SetStore, { pieces }: { pieces: readonly object[] }) {
  return pieces.map((piece) => store.take(piece as CapabilitySet, 0)).at(-1);
}

function heldItems(store: SetStore): ReadonlySet<string> {
  return new Set(store.held().items.map(keyOf));
}

const item = fc.string({ maxLength: 40 }).map((text) => JSON.stringify({ name: text }));
const list = fc.uniqueArray(item, { maxLength: 30 });

describe('capability sets', () => {
  it(verifies('CAP-1')('are, after any run of differences, the lists to the byte'), () => {
    fc.assert(
      fc.property(fc.array(list, { minLength: 1, maxLength: 12 }), (lists) => {
        const store = new SetStore(1 << 20);
        for (const items of lists) {
          const held = heldItems(store);
          const set = setOf(items);
          const push = sent(set, (key) => held.has(key));
          expect(apply(store, push)).to.equal(undefined);
          expect(store.get(set.key)?.result.toString()).to.equal(`{"tools":[${items.join()}]}`);
          expect(sent(set, (key) => heldItems(store).has(key)).bodies).to.equal(0);
        }
      }),
    );
  });

  it('travel in pieces, and are there with the last one, or not at all', () => {
    const items = Array.from({ length: 300 }, (_, n) =>
      JSON.stringify({ name: `t${n}`, pad: 'x'.repeat(500) }),
    );
    const store = new SetStore(1 << 20);
    const set = setOf(items);
    const { pieces } = sent(set, () => false);
    expect(pieces.length).to.be.greaterThan(4);
    for (const piece of pieces.slice(0, -1)) {
      expect(store.take(piece, 0)).to.equal('unfinished');
      expect(store.get(set.key)).to.equal(undefined);
    }
    expect(store.take(pieces.at(-1)!, 0)).to.equal(undefined);
    expect(JSON.parse(store.get(set.key)!.result.toString()).tools).to.have.length(300);
  });

  it(verifies('CAP-1')('that lack an item, or have it wrong, change nothing that is held'), () => {
    const store = new SetStore(1 << 20);
    const first = setOf(['{"name":"a"}']);
    apply(
      store,
      sent(first, () => false),
    );
    const second = setOf(['{"name":"a"}', '{"name":"b"}']);
    expect(
      apply(
        store,
        sent(second, () => true),
      ),
    ).to.equal('missing');
    const forged = sent(second, () => false).pieces.map((piece) => ({
      ...piece,
      bodies: [Buffer.from('{"name":"a"}'), Buffer.from('{"name":"other"}')],
    }));
    expect(apply(store, { pieces: forged })).to.equal('missing');
    expect(store.get(second.key)).to.equal(undefined);
    expect(store.get(first.key)?.result.toString()).to.equal('{"tools":[{"name":"a"}]}');
    expect(
      apply(
        store,
        sent({ ...first, head: Buffer.alloc(0) }, () => false),
      ),
    ).to.equal('invalid');
  });

  it('are bounded together, the longest unused goes first', () => {
    const store = new SetStore(10_000);
    const sets = Array.from({ length: 8 }, (_, n) =>
      setOf([JSON.stringify({ name: `t${n}`, pad: 'x'.repeat(2_000) })]),
    );
    for (const [at, set] of sets.entries()) {
      for (const piece of sent(set, () => false).pieces) store.take(piece, at);
      const first = store.get(sets[0]!.key);
      if (first !== undefined) first.usedAt = at + 1;
      expect(store.bytes).to.be.at.most(10_000);
    }
    expect(sets.map(({ key }) => store.get(key) !== undefined)).to.deep.equal([
      true,
      false,
      false,
      false,
      false,
      true,
      true,
      true,
    ]);
    store.sweep(100);
    expect(store.size).to.equal(0);
    expect(store.bytes).to.equal(0);
  });
});
