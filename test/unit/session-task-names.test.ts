import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import type { BackendHint, BackendSession } from '../../control-plane/backend/backend.ts';
import { namesForBackend, namesForClient } from '../../control-plane/session/related-tasks.ts';
import {
  type Keyed,
  type NameKind,
  nameFor,
  openName,
  type Party,
} from '../../control-plane/session/task-names.ts';
import { verifies } from '../requirements.ts';

/** Only what tells one backend session from another. */
function backendSession(fingerprint: string, hint?: BackendHint): BackendSession {
  const never = () => Promise.reject(new Error('nobody calls it'));
  return {
    fingerprint,
    facts: { protocolVersion: '2025-11-25', capabilities: {}, instructions: undefined },
    hint,
    call: never,
    notify: never,
    respond: never,
    cancel: () => {},
    listen: never,
    close: () => Promise.resolve(),
  };
}

/** Only the keys of a session. */
const keyed = (...keys: Uint8Array[]): Keyed => ({ sessionKeys: () => keys });

const KIND: NameKind = 'task of a backend';
const raw = (text: string) => Buffer.from(JSON.stringify(text));

describe('the name of a task', () => {
  const key = randomBytes(32);
  const session = keyed(key);
  const at = backendSession('0123456789abcdef-of-one');
  const party: Party = { session, backend: 'notes', at };
  const name = nameFor(KIND, party, raw('task-1'));

  it(verifies('AGG-15')('is the same each time, and on every replica'), () => {
    const elsewhere = { session: keyed(key), backend: 'notes', at: backendSession('0123456789abcdef-again') };
    expect(nameFor(KIND, elsewhere, raw('task-1'))).to.equal(name);
    expect(nameFor(KIND, party, raw('task-2'))).not.to.equal(name);
    expect(nameFor(KIND, { ...party, backend: 'files' }, raw('task-1'))).not.to.equal(name);
    expect(nameFor('task of the client', party, raw('task-1'))).not.to.equal(name);
  });

  it(verifies('AGG-15')('leads to its backend and the task there, whatever it is called'), () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (taskId) => {
        const opened = openName(KIND, session, nameFor(KIND, party, raw(taskId)));
        return (
          opened?.backend === 'notes' && JSON.parse(opened.value.toString()) === taskId && opened.isOf(at)
        );
      }),
    );
    expect(openName(KIND, session, name)?.isOf(backendSession('fedcba9876543210-of-other'))).to.equal(false);
  });

  it(verifies('AGG-15')('outlives any session of a backend that has none'), () => {
    const hint = { sessionId: undefined, protocolVersion: '2025-11-25', initializeResult: '{}' };
    const stateless = { ...party, at: backendSession('a'.repeat(20), hint) };
    const opened = openName(KIND, session, nameFor(KIND, stateless, raw('t')));
    expect(opened?.isOf(backendSession('b'.repeat(20), hint))).to.equal(true);
    expect(opened?.isOf(at)).to.equal(false);
  });

  it(verifies('AGG-15')('means nothing in another session, as another kind, or in another spelling'), () => {
    expect(openName(KIND, keyed(randomBytes(32)), name)).to.equal(undefined);
    expect(openName(KIND, keyed(), name)).to.equal(undefined);
    expect(openName('task of the client', session, name)).to.equal(undefined);
    for (const other of [`${name}=`, `${name} `, ` ${name}`, `${name}\n`, name.slice(1), '', 'task-1']) {
      expect(openName(KIND, session, other), other).to.equal(undefined);
    }
    fc.assert(fc.property(fc.string(), (text) => openName(KIND, session, text) === undefined));
  });

  it('outlives a rotation of keys', () => {
    expect(openName(KIND, keyed(randomBytes(32), key), name)?.backend).to.equal('notes');
  });

  it(verifies('AGG-15')('is told to each side as the one that it knows'), () => {
    const toClient = namesForClient(party);
    const toBackend = namesForBackend(party);
    const text = (bytes: Uint8Array | undefined) =>
      bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString()) as string);
    const seen = text(toClient('task-1')) ?? '';
    expect(seen).to.equal(name);
    expect(text(toBackend(seen))).to.equal('task-1');
    const held = text(toBackend('of-the-client')) ?? '';
    expect(text(toClient(held))).to.equal('of-the-client');
    // Another backend knows neither.
    const stranger = { ...party, backend: 'files' };
    expect(namesForBackend(stranger)(seen)).to.equal(undefined);
    expect(text(namesForClient(stranger)(held))).not.to.equal('of-the-client');
  });
});
