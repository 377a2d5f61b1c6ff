import { createHmac, randomUUID } from 'node:crypto';
import type { IndexKeys } from '../session/record-names.ts';
import type { SessionStore } from '../store/session-store.ts';
import type { Sealer } from './login-vault.ts';

export interface SealedNotesOptions {
  readonly store: Pick<SessionStore, 'readVault' | 'writeVault' | 'clearVault'>;
  readonly sealer: Sealer;
  /** As of session records: reads try both keys, writes use the current one. */
  readonly keys: IndexKeys;
}

/** A note as it lies in the store. */
export interface KeptNote<Note> {
  readonly note: Note;
  readonly id: string;
  readonly version: string;
}

export interface NoteWrite<Note> {
  readonly note: Note;
  /** What the writer last read under this name. */
  readonly expected: KeptNote<Note> | undefined;
  readonly ttlMs: number;
}

const ATTEMPTS = 5;
const MARK = '';

/**
 * What replicas have learned together and no peer may read: sealed, under names that
 * say nothing, and changed by compare-and-swap. A note is plain JSON. Everything
 * rejects as the store does.
 */
export class SealedNotes {
  readonly #options: SealedNotesOptions;

  constructor(options: SealedNotesOptions) {
    this.#options = options;
  }

  /** Undefined where there is none, or none that the present keys open. */
  async read<Note>(name: string): Promise<KeptNote<Note> | undefined> {
    const { keys, sealer, store } = this.#options;
    for (const key of [keys.current, ...(keys.previous === undefined ? [] : [keys.previous])]) {
      const id = idUnder(key, 'note', name);
      const entry = await store.readVault(id);
      const plain = entry === null ? undefined : sealer.open(id, entry.sealed);
      if (entry !== null && plain !== undefined)
        return { note: JSON.parse(plain) as Note, id, version: entry.version };
    }
    return undefined;
  }

  /** False, and nothing is written, where another was written meanwhile. */
  async write<Note>(name: string, { note, expected, ttlMs }: NoteWrite<Note>): Promise<boolean> {
    const { keys, sealer, store } = this.#options;
    const id = idUnder(keys.current, 'note', name);
    // One that lies under the former key is not in the way.
    const version = expected?.id === id ? expected.version : null;
    const sealed = sealer.seal(id, JSON.stringify(note));
    return store.writeVault({ id, expected: version, version: randomUUID(), sealed, ttlMs });
  }

  /** Takes the place of whatever there is. */
  async put<Note>(name: string, note: Note, ttlMs: number): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (await this.write(name, { note, expected: await this.read<Note>(name), ttlMs })) return;
    }
    throw new Error('this note is being replaced again and again');
  }

  /** Ends this very note; one that has taken its place stays. */
  clear({ id, version }: KeptNote<unknown>): Promise<void> {
    return this.#options.store.clearVault(id, version);
  }

  /** The right to do what a note is the result of, for so long at most. Undefined while another has it. */
  async claim(name: string, ttlMs: number): Promise<(() => Promise<void>) | undefined> {
    const { keys, store } = this.#options;
    const id = idUnder(keys.current, 'claim', name);
    const version = randomUUID();
    const claimed = await store.writeVault({ id, expected: null, version, sealed: MARK, ttlMs });
    return claimed ? () => store.clearVault(id, version) : undefined;
  }
}

function idUnder(key: Uint8Array, purpose: string, name: string): string {
  return createHmac('sha256', key)
    .update(JSON.stringify(['notes', purpose, name]))
    .digest('base64url');
}
