import { hkdfSync, randomBytes } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { compactDecrypt } from 'jose';
import { openBytes, RecordCrypto, sealBytes, sealName } from '../../control-plane/session/record-crypto.ts';
import { verifies } from '../requirements.ts';

const OLD = { id: 'old', key: new Uint8Array(32).fill(1) };
const NEW = { id: 'new', key: new Uint8Array(32).fill(2) };
const SECRET = randomBytes(32);
const NAME = 'a-record';
const BODY = '{"protocolVersion":"2025-11-25","näme":"ü"}';

describe('a sealed session record', () => {
  const crypto = new RecordCrypto([NEW, OLD]);

  it(verifies('RST-2')('is a JWE that any JOSE library opens with the derived key'), async () => {
    const key = new Uint8Array(hkdfSync('sha256', NEW.key, SECRET, 'outrigger body', 32));
    const { plaintext, protectedHeader } = await compactDecrypt(crypto.sealBody(NAME, SECRET, BODY), key);
    expect(new TextDecoder().decode(plaintext)).to.equal(BODY);
    expect(protectedHeader).to.deep.equal({ alg: 'dir', enc: 'A256GCM', kid: 'new', name: NAME });
  });

  it('opens again, each part for itself', () => {
    expect(crypto.openBody(NAME, SECRET, crypto.sealBody(NAME, SECRET, BODY))).to.equal(BODY);
    expect(crypto.openSummary(NAME, crypto.sealSummary(NAME, BODY))).to.equal(BODY);
    expect(crypto.openTable(NAME, crypto.sealTable(NAME, BODY))).to.equal(BODY);
    expect(crypto.openSummary(NAME, crypto.sealTable(NAME, BODY))).to.equal(undefined);
    expect(crypto.openSummary(NAME, crypto.sealBody(NAME, SECRET, BODY))).to.equal(undefined);
  });

  it(verifies('S2')('stays shut to a wrong secret, the server’s key notwithstanding'), () => {
    const sealed = crypto.sealBody(NAME, SECRET, BODY);
    expect(crypto.openBody(NAME, randomBytes(32), sealed)).to.equal(undefined);
    expect(crypto.openBody(NAME, new Uint8Array(0), sealed)).to.equal(undefined);
  });

  it(verifies('R12')('cannot be moved to another record, nor given another’s name'), () => {
    const sealed = crypto.sealBody(NAME, SECRET, BODY);
    expect(crypto.openBody('another', SECRET, sealed)).to.equal(undefined);
    const [, ...rest] = sealed.split('.');
    const header = { alg: 'dir', enc: 'A256GCM', kid: 'new', name: 'another' };
    const renamed = [Buffer.from(JSON.stringify(header)).toString('base64url'), ...rest].join('.');
    expect(crypto.openBody('another', SECRET, renamed)).to.equal(undefined);
  });

  it(verifies('C6')('opens under every listed key, and is written under the newest'), () => {
    const before = new RecordCrypto([OLD]);
    const sealed = before.sealBody(NAME, SECRET, BODY);
    expect(crypto.openBody(NAME, SECRET, sealed)).to.equal(BODY);
    expect(crypto.keyId).to.equal('new');
    const after = new RecordCrypto([NEW]);
    expect(after.openBody(NAME, SECRET, sealed)).to.equal(undefined);
    expect(after.openBody(NAME, SECRET, crypto.sealBody(NAME, SECRET, BODY))).to.equal(BODY);
    expect(after.sessionKey(SECRET, 'events', 'old')).to.equal(undefined);
    expect(before.openBody(NAME, SECRET, crypto.sealBody(NAME, SECRET, BODY))).to.equal(undefined);
  });

  it(verifies('R12')('does not survive a flipped bit, a lost byte or garbage, and never throws'), () => {
    const sealed = crypto.sealBody(NAME, SECRET, BODY);
    const parts = sealed.split('.');
    const flipped = fc.tuple(fc.constantFrom(0, 2, 3, 4), fc.nat(), fc.nat({ max: 7 }));
    fc.assert(
      fc.property(flipped, ([part, at, bit]) => {
        const bytes = Buffer.from(parts[part] ?? '', 'base64url');
        const place = at % bytes.length;
        bytes.writeUInt8(bytes.readUInt8(place) ^ (1 << bit), place);
        const broken = parts.with(part, bytes.toString('base64url')).join('.');
        expect(crypto.openBody(NAME, SECRET, broken)).to.equal(undefined);
      }),
    );
    fc.assert(
      fc.property(fc.oneof(fc.nat({ max: sealed.length - 1 }), fc.string()), (cut) => {
        const broken = typeof cut === 'number' ? sealed.slice(0, cut) : cut;
        expect(crypto.openBody(NAME, SECRET, broken)).to.equal(undefined);
      }),
    );
  });

  it('no two seals are alike', () => {
    expect(crypto.sealBody(NAME, SECRET, BODY)).to.not.equal(crypto.sealBody(NAME, SECRET, BODY));
  });
});

describe('a sealed small value', () => {
  const key = randomBytes(32);

  it('opens under its key and its context alone', () => {
    const sealed = sealBytes(key, Buffer.from('an event'), 'c1-1.1');
    expect(openBytes(key, sealed, 'c1-1.1')?.toString()).to.equal('an event');
    expect(openBytes(key, sealed, 'c1-1.2')).to.equal(undefined);
    expect(openBytes(randomBytes(32), sealed, 'c1-1.1')).to.equal(undefined);
    for (let length = 0; length < sealed.length; length += 1) {
      expect(openBytes(key, sealed.subarray(0, length), 'c1-1.1')).to.equal(undefined);
    }
  });

  it('seals a name so that it is the same each time, and no other value’s', () => {
    const key = randomBytes(32);
    const sealed = sealName(key, Buffer.from('a task'), 'task');
    expect(sealName(key, Buffer.from('a task'), 'task').equals(sealed)).to.equal(true);
    expect(openBytes(key, sealed, 'task')?.toString()).to.equal('a task');
    expect(openBytes(key, sealed, 'progress')).to.equal(undefined);
    const nonce = (text: string, context: string) =>
      sealName(key, Buffer.from(text), context).subarray(0, 12).toString('hex');
    const nonces = [nonce('a task', 'task'), nonce('b task', 'task'), nonce('a task', 'progress')];
    expect(new Set(nonces).size).to.equal(3);
    expect(sealName(randomBytes(32), Buffer.from('a task'), 'task').equals(sealed)).to.equal(false);
  });
});
