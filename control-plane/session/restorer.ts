import { MeshError } from '../../shared/errors.ts';
import type { Caller } from '../identity/caller.ts';
import type { RecordKey, SessionRecord, UpdateOutcome } from '../store/session-store.ts';
import { LiveSession, retrying, type SessionEnvironment } from './live-session.ts';
import { adminName, type RecordNames } from './record-names.ts';
import type { SessionId } from './session-id.ts';
import type { SessionObserver } from './session-observer.ts';
import { parseBody, type SessionBody, type SessionSummary } from './session-record.ts';

const CLAIM_ATTEMPTS = 3;

interface Opened {
  readonly key: RecordKey;
  readonly record: SessionRecord;
  readonly body: SessionBody;
  readonly summary: SessionSummary;
}

export interface RestorerOptions {
  readonly env: SessionEnvironment;
  readonly names: RecordNames;
  readonly observer: SessionObserver;
}

/**
 * Rebuilds a live session from its record, for a verified caller. The order is
 * the safety: the record's name is derived from the caller, so nothing of another
 * principal's session is read; the secret that only the client holds opens the
 * body; then the session is claimed under a new epoch, which fences its old owner,
 * before any backend hears of it. Backends are reached by the calls that need
 * them, each under its own caller's credential.
 */
export class Restorer {
  readonly #env: SessionEnvironment;
  readonly #names: RecordNames;
  readonly #observer: SessionObserver;

  constructor({ env, names, observer }: RestorerOptions) {
    this.#env = env;
    this.#names = names;
    this.#observer = observer;
  }

  /** The session, owned by this replica; undefined where this caller has none of that id. Rejects with `session_busy` or `store_unavailable`. */
  async restore(caller: Caller, id: SessionId): Promise<LiveSession | undefined> {
    for (let attempt = 0; attempt < CLAIM_ATTEMPTS; attempt += 1) {
      const opened = await this.#open(caller, id);
      if (opened === undefined) return undefined;
      const asked = this.#env.clock.elapsed();
      const outcome = await this.#claim(id, opened);
      if (outcome.kind === 'ok') {
        const session = this.#build(caller, id, {
          ...opened,
          record: { ...opened.record, header: outcome.header },
        });
        session.claimed(outcome.header, asked);
        return session;
      }
      if (outcome.kind === 'gone') return undefined;
      if (outcome.kind === 'too_soon') throw busy();
    }
    throw busy();
  }

  /** The session as its record has it, without taking it over: enough to end it. */
  async peek(caller: Caller, id: SessionId): Promise<LiveSession | undefined> {
    const opened = await this.#open(caller, id);
    return opened === undefined ? undefined : this.#build(caller, id, opened);
  }

  async #open(caller: Caller, id: SessionId): Promise<Opened | undefined> {
    const { store, crypto } = this.#env;
    for (const key of this.#names.candidates(caller, id)) {
      const record = await store.load(key);
      if (record === null) continue;
      if (!crypto.keyIds.includes(record.header.keyId)) {
        // Whoever has the key can still open it: the record stays.
        this.#observer.unreadable(adminName(key), record.header.keyId);
        continue;
      }
      const summary = crypto.openSummary(key.name, record.summary);
      const text = crypto.openBody(key.name, id.secret, record.body);
      const body = text === undefined ? undefined : parseBody(text);
      if (summary !== undefined && body !== undefined) {
        return { key, record, body, summary: JSON.parse(summary) as SessionSummary };
      }
      await this.#judge(caller, id, key);
    }
    return undefined;
  }

  /** A record that does not open is corrupt, unless the caller merely has a wrong id: then the record is left alone. */
  async #judge(caller: Caller, id: SessionId, key: RecordKey): Promise<void> {
    for (const witness of this.#names.witnesses(caller, id)) {
      const binding = await this.#env.store.witness(witness.id);
      if (binding === witness.binding) return this.#env.store.quarantine(key, 'unsealable');
    }
  }

  #claim(id: SessionId, { key, record, body, summary }: Opened): Promise<UpdateOutcome> {
    const { store, crypto, replica } = this.#env;
    const { version, epoch, keyId } = record.header;
    const rewrap =
      keyId === crypto.keyId
        ? {}
        : {
            keyId: crypto.keyId,
            summary: crypto.sealSummary(key.name, JSON.stringify(summary)),
            body: crypto.sealBody(key.name, id.secret, JSON.stringify(body)),
          };
    return retrying((writeId) =>
      store.update({ key, version, epoch, writeId, takeover: { owner: replica }, ...rewrap }),
    );
  }

  #build(caller: Caller, id: SessionId, { key, record, body, summary }: Opened): LiveSession {
    return new LiveSession(this.#env, {
      id,
      key,
      bindingKey: caller.bindingKey,
      body,
      summary,
      header: record.header,
    });
  }
}

function busy(): MeshError {
  return new MeshError('session_busy', 'Another replica has just taken this session over.', {
    retryAfterMs: 1_000,
  });
}
