import { expect } from 'chai';
import fc from 'fast-check';
import type { Caller } from '../../control-plane/identity/caller.ts';
import { formatEventId, parseEventId } from '../../control-plane/session/event-log.ts';
import { RecordNames } from '../../control-plane/session/record-names.ts';
import { newSessionId, parseSessionId } from '../../control-plane/session/session-id.ts';
import { checkKey, checkToken } from '../../control-plane/store/limits.ts';
import { makeCast } from '../interleavings/cast.ts';
import { verifies } from '../requirements.ts';

const CURRENT = new Uint8Array(32).fill(1);
const PREVIOUS = new Uint8Array(32).fill(2);

describe('session ids', () => {
  it(verifies('HTTP-7')('are fresh, long and visible ASCII, and come back whole'), () => {
    const made = Array.from({ length: 100 }, newSessionId);
    expect(new Set(made.map(({ text }) => text)).size).to.equal(100);
    for (const id of made) {
      expect(id.text).to.match(/^[\x21-\x7e]{64}$/);
      expect([id.name.length, id.secret.length]).to.deep.equal([16, 32]);
      expect(parseSessionId(id.text)).to.deep.equal(id);
    }
  });

  it(verifies('S2')('anything else is none'), () => {
    const { text } = newSessionId();
    for (const other of [
      '',
      text.slice(1),
      `${text}A`,
      `${text.slice(1)}=`,
      `${text.slice(1)}\n`,
      ' '.repeat(64),
    ]) {
      expect(parseSessionId(other), other).to.equal(undefined);
    }
  });
});

describe('record names', () => {
  const names = new RecordNames({ current: CURRENT });
  const id = newSessionId();
  let owner: Caller;
  let refreshed: Caller;
  let narrow: Caller;
  let thief: Caller;
  let anonymous: Caller;

  before(async () => {
    ({ owner, refreshed, narrow, thief, anonymous } = await makeCast());
  });

  it(verifies('RST-3', 'S3')('two principals never name the same record, whatever ids they hold'), () => {
    expect(names.key(thief, id)).to.not.deep.equal(names.key(owner, id));
    expect(names.key(thief, id).name).to.not.equal(names.key(owner, id).name);
    expect(names.key(thief, id).principal).to.not.equal(names.key(owner, id).principal);
    expect(names.key(anonymous, id).name).to.not.equal(names.key(owner, id).name);
  });

  it(verifies('S4', 'RST-10')('a refreshed token and other scopes name the same one'), () => {
    expect(names.key(refreshed, id)).to.deep.equal(names.key(owner, id));
    expect(names.key(narrow, id)).to.deep.equal(names.key(owner, id));
  });

  it('the unlocking half of an id is no part of its name', () => {
    const other = parseSessionId(Buffer.concat([id.name, Buffer.alloc(32)]).toString('base64url'));
    if (other === undefined) throw new Error('it is an id');
    expect(names.key(owner, other)).to.deep.equal(names.key(owner, id));
    expect(names.witness(owner, other).id).to.not.equal(names.witness(owner, id).id);
  });

  it('tell nothing of principal or id, and please every store', () => {
    const key = names.key(owner, id);
    const witness = names.witness(owner, id);
    checkKey(key);
    checkToken(witness.id);
    checkToken(witness.binding);
    expect(JSON.stringify([key, witness])).to.not.include('alice');
    expect(new Set([key.name, key.principal, witness.id, witness.binding]).size).to.equal(4);
  });

  it('a witness names the session alike for everybody, and the binding apart', () => {
    expect(names.witness(thief, id).id).to.equal(names.witness(owner, id).id);
    expect(names.witness(thief, id).binding).to.not.equal(names.witness(owner, id).binding);
  });

  it(verifies('C6')('after a rotation of the index key the old names are found, and new ones made'), () => {
    const rotated = new RecordNames({ current: PREVIOUS, previous: CURRENT });
    expect(rotated.candidates(owner, id)).to.deep.equal([rotated.key(owner, id), names.key(owner, id)]);
    expect(rotated.witnesses(owner, id)).to.deep.equal([
      rotated.witness(owner, id),
      names.witness(owner, id),
    ]);
    expect(rotated.key(owner, id)).to.not.deep.equal(names.key(owner, id));
    expect(names.candidates(owner, id)).to.deep.equal([names.key(owner, id)]);
  });

  it('anonymous sessions are spread over the store', () => {
    const principals = Array.from({ length: 200 }, () => names.key(anonymous, newSessionId()).principal);
    expect(new Set(principals).size).to.be.greaterThan(50);
  });
});

describe('event ids', () => {
  const part = fc.nat({ max: 999_999_999 });

  it(verifies('HTTP-17')('name their stream, its epoch and their place in it'), () => {
    fc.assert(
      fc.property(fc.constantFrom('c', 'g'), part, part, part, (kind, first, epoch, seq) => {
        const id = { stream: `${kind}${first}-${epoch}`, epoch, seq };
        expect(parseEventId(formatEventId(id))).to.deep.equal(id);
      }),
    );
  });

  it(verifies('H29')('anything else is none'), () => {
    const others = [
      '',
      'c1-1',
      'c1-1.1',
      'c1-1.1.',
      'c1-1.1.-1',
      'c1-1.1.1 ',
      'c1.1.1',
      'C1-1.1.1',
      'c1-1.1.1.1',
    ];
    for (const text of [...others, `c1-1.1.${'9'.repeat(10)}`, 'x'.repeat(100_000), '../c1-1.1.1']) {
      expect(parseEventId(text), text.slice(0, 30)).to.equal(undefined);
    }
  });
});
