import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import type { BackendSession } from '../../control-plane/backend/backend.ts';
import { openRequestId, sealRequestId } from '../../control-plane/session/request-ids.ts';
import { verifies } from '../requirements.ts';

const KEY = randomBytes(32);

/** Only what tells one backend session from another. */
function backendSession(fingerprint: string): BackendSession {
  const never = () => Promise.reject(new Error('nobody calls it'));
  return {
    fingerprint,
    facts: { protocolVersion: '2025-11-25', capabilities: {}, instructions: undefined },
    hint: undefined,
    call: never,
    notify: never,
    respond: never,
    cancel: () => {},
    listen: never,
    close: () => Promise.resolve(),
  };
}

describe('the id under which a client sees a backend’s request', () => {
  const asking = backendSession('0123456789abcdef-of-one');
  const seal = (id: string, key = KEY) =>
    sealRequestId(key, asking, { stream: 'c3-1', backend: 'notes', epoch: 3, id: Buffer.from(id) }) ?? '';

  it(verifies('RPC-1', 'RPC-7')('gives the backend’s own id back, with value and type'), () => {
    for (const id of ['0', '""', '"0"', '-7', '9007199254740991', '"a b \\" c"', '"ü"']) {
      const opened = openRequestId([KEY], seal(id));
      expect([opened?.backend, opened?.epoch, opened?.id.toString()]).to.deep.equal(['notes', 3, id]);
      expect(opened?.isFrom(asking)).to.equal(true);
    }
  });

  it(verifies('RPC-7')('knows the very backend session that asked'), () => {
    expect(openRequestId([KEY], seal('1'))?.isFrom(backendSession('fedcba9876543210-of-other'))).to.equal(
      false,
    );
  });

  it(verifies('J14')('means nothing under another session’s key'), () => {
    expect(openRequestId([randomBytes(32)], seal('1'))).to.equal(undefined);
    expect(openRequestId([], seal('1'))).to.equal(undefined);
  });

  it('outlives a rotation of keys', () => {
    expect(openRequestId([randomBytes(32), KEY], seal('1'))?.backend).to.equal('notes');
  });

  it(verifies('RPC-3')('means nothing when it was tampered with, or was never ours'), () => {
    const text = seal('1');
    const [stream, name = ''] = text.split('.');
    const sealed = Buffer.from(name, 'base64url');
    fc.assert(
      fc.property(fc.nat({ max: sealed.length - 1 }), fc.nat({ max: 7 }), (at, bit) => {
        const broken = Buffer.from(sealed);
        broken.writeUInt8(broken.readUInt8(at) ^ (1 << bit), at);
        expect(openRequestId([KEY], `${stream}.${broken.toString('base64url')}`)).to.equal(undefined);
      }),
    );
    for (const other of [`c3-2.${name}`, name, `${text}=`, ` ${text}`, `${text}.`]) {
      expect(openRequestId([KEY], other), other).to.equal(undefined);
    }
    fc.assert(fc.property(fc.string(), (text) => openRequestId([KEY], text) === undefined));
  });

  it(verifies('RPC-4')('is no progress token, nor the reverse'), () => {
    const origin = { stream: 'c3-1', backend: 'notes', epoch: 3, id: Buffer.from('"mine"') };
    const token = sealRequestId(KEY, asking, origin, 'progress token') ?? '';
    expect(openRequestId([KEY], token)).to.equal(undefined);
    expect(openRequestId([KEY], seal('1'), 'progress token')).to.equal(undefined);
    expect(openRequestId([KEY], token, 'progress token')?.id.toString()).to.equal('"mine"');
  });

  it('has room for ordinary ids only', () => {
    const id = Buffer.from(JSON.stringify('x'.repeat(200)));
    expect(sealRequestId(KEY, asking, { stream: 'c1-1', backend: 'notes', epoch: 1, id })).to.equal(
      undefined,
    );
  });
});
