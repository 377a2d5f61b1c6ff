import { createHmac } from 'node:crypto';
import type { Caller } from '../identity/caller.ts';
import type { RecordKey } from '../store/session-store.ts';
import type { SessionId } from './session-id.ts';

/** Keys under which records are named. Reads try both, writes use the current one. */
export interface IndexKeys {
  readonly current: Uint8Array;
  readonly previous?: Uint8Array | undefined;
}

/** What of a caller names its sessions. */
export type Bound = Pick<Caller, 'kind' | 'bindingKey'>;

export interface Witness {
  readonly id: string;
  readonly binding: string;
}

/** What admins call a session: the beginning of its record's name, which says nothing about its id. */
export function adminName({ name }: Pick<RecordKey, 'name'>): string {
  return name.slice(0, 26);
}

/**
 * Derives the names of a session's record from the verified principal and the
 * session id. As the principal is part of the name, another principal cannot even
 * name the record: no read, no touch, no restore, no difference between "unknown"
 * and "not yours".
 */
export class RecordNames {
  readonly #current: Uint8Array;
  readonly #previous: Uint8Array | undefined;

  constructor(keys: IndexKeys) {
    this.#current = keys.current;
    this.#previous = keys.previous;
  }

  /** Where a new session of this caller is written. */
  key(caller: Caller, id: SessionId): RecordKey {
    return recordKey(this.#current, caller, id);
  }

  /** Where this caller's session may lie, the newest key first. */
  candidates(caller: Bound, id: SessionId): readonly RecordKey[] {
    const newest = recordKey(this.#current, caller, id);
    return this.#previous === undefined ? [newest] : [newest, recordKey(this.#previous, caller, id)];
  }

  /** The witness written beside a new record. */
  witness(caller: Caller, id: SessionId): Witness {
    return witness(this.#current, caller, id);
  }

  /** The witnesses to look for when a caller names a session that it does not have. */
  witnesses(caller: Caller, id: SessionId): readonly Witness[] {
    const newest = witness(this.#current, caller, id);
    return this.#previous === undefined ? [newest] : [newest, witness(this.#previous, caller, id)];
  }
}

function recordKey(key: Uint8Array, caller: Bound, id: SessionId): RecordKey {
  // Anonymous sessions have no principal; a shard keeps them from sharing one slot and one index.
  const shard = caller.kind === 'anonymous' ? id.name.toString('hex', 0, 1) : '';
  return {
    principal: keyed(key, 'principal', caller.bindingKey, shard),
    name: keyed(key, 'record', caller.bindingKey, id.name),
  };
}

function witness(key: Uint8Array, caller: Caller, id: SessionId): Witness {
  return { id: keyed(key, 'witness', '', id.text), binding: keyed(key, 'binding', caller.bindingKey, '') };
}

function keyed(key: Uint8Array, purpose: string, binding: string, rest: string | Buffer): string {
  const lengths = `${purpose}\0${Buffer.byteLength(binding)}\0`;
  return base32(createHmac('sha256', key).update(lengths).update(binding).update(rest).digest());
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

/** RFC 4648 §6, lower case, without padding. */
function base32(bytes: Buffer): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(value >>> bits) & 31];
    }
    value &= (1 << bits) - 1;
  }
  return bits > 0 ? text + ALPHABET[(value << (5 - bits)) & 31] : text;
}
