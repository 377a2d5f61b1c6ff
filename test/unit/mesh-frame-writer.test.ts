import { expect } from 'chai';
import fc from 'fast-check';
import { FrameWriter } from '../../shared/rpc/frame-writer.ts';
import { outrigger } from '../../shared/rpc/gen/mesh.js';
import { CONNECT, HeadKind, OpenKind } from '../../shared/rpc/mesh-protocol.ts';

const { Grant, Head, Open, Welcome } = outrigger.mesh.v1;

/** What protobufjs writes of it, read again. */
function reread<M>(type: {
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): M;
}) {
  return (message: object) => type.decode(type.encode(message).finish());
}

describe('the frame writer', () => {
  it('writes what the writer of protobufjs writes, whatever the fields hold, again and again', () => {
    const writer = new FrameWriter();
    const text = fc.oneof(fc.string({ maxLength: 200 }), fc.string({ unit: 'binary', maxLength: 200 }));
    const opens = fc.record({
      exchange: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      kind: fc.constantFrom(OpenKind.MESSAGE, OpenKind.LISTEN, OpenKind.TERMINATE),
      sessionId: text,
      deadlineMs: fc.option(fc.nat()),
      body: fc.uint8Array({ maxLength: 300 }),
      more: fc.boolean(),
      proof: fc.option(fc.record({ jwt: text, urls: fc.array(text, { maxLength: 3 }), request: text })),
    });
    fc.assert(
      fc.property(opens, (open) => {
        Open.encode(open, writer);
        expect(Open.decode(writer.finish())).to.deep.equal(reread(Open)(open));
      }),
      { numRuns: 300 },
    );
  });

  it('keeps nothing of a message that could not be written', () => {
    const broken = { frames: [{ open: { exchange: 1, requestId: 'one', sessionId: Symbol('none') } }] };
    expect(() =>
      CONNECT.responseSerialize({ frames: [{ head: { exchange: 1, sessionId: Symbol('none') } }] } as never),
    ).to.throw();
    expect(() => CONNECT.requestSerialize(broken as never)).to.throw();
    const { frames } = CONNECT.requestDeserialize(
      CONNECT.requestSerialize({ frames: [{ cancel: { exchange: 7 } }] }),
    );
    expect(frames.map(({ cancel }) => cancel?.exchange)).to.deep.equal([7]);
  });

  it('writes lists and maps', () => {
    const writer = new FrameWriter();
    const welcome = { features: ['a', '', 'ü'], anonymous: true, maxMessageBytes: 4_194_304 };
    Welcome.encode(welcome, writer);
    expect(Welcome.decode(writer.finish())).to.deep.equal(reread(Welcome)(welcome));
    const grant = {
      sessionId: 's',
      sets: { 'tools/list': Buffer.from('id'), 'prompts/list': Buffer.alloc(0) },
    };
    Grant.encode(grant, writer);
    expect(Grant.decode(writer.finish())).to.deep.equal(reread(Grant)(grant));
  });

  it('joins a body where it leaves, and takes what is larger than its memory', () => {
    const bodies = [10, 70_000, 3_000_000, 20].map((length, index) => Buffer.alloc(length, index + 1));
    for (const body of bodies) {
      const cut = Math.floor(body.length / 3);
      const pieces = [body.subarray(0, cut), Buffer.alloc(0), body.subarray(cut)];
      const frame = { head: { exchange: 7, kind: HeadKind.JSON, body: pieces } };
      const { frames } = CONNECT.responseDeserialize(CONNECT.responseSerialize({ frames: [frame, frame] }));
      expect(frames).to.have.length(2);
      for (const { head } of frames) expect(head !== null && body.equals(head.body)).to.equal(true);
    }
    const empty = Head.decode(CONNECT.responseSerialize({ frames: [] }));
    expect(empty.exchange).to.equal(0);
  });

  it('leaves a message of the sidecar as it is while the next one is written', () => {
    const first = CONNECT.requestSerialize({ frames: [{ forget: { id: 1 } }] });
    CONNECT.requestSerialize({ frames: [{ forget: { id: 2 } }] });
    expect(CONNECT.requestDeserialize(first).frames[0]?.forget?.id).to.equal(1);
  });
});
