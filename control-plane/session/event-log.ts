import type { RecordKey, SessionStore } from '../store/session-store.ts';
import { openBytes, sealBytes } from './record-crypto.ts';

/** One message of a stream, numbered from 1 within it. */
export interface LoggedEvent {
  readonly seq: number;
  readonly data: Buffer;
  /** A call's answer: it outlives the caps on the other events. */
  readonly answer: boolean;
}

export interface EventLogOptions {
  readonly store: SessionStore;
  readonly key: RecordKey;
  /** The session's event keys, the one that seals first. */
  readonly keys: readonly Uint8Array[];
  /** The epoch under which this replica serves. */
  readonly epoch: () => number;
  /** A refused write tells that another replica has the session. */
  readonly onFenced: () => void;
}

/** The resumable events of one session, sealed under its own key, in the store before any client gets their ids. */
export class EventLog {
  readonly #options: EventLogOptions;

  constructor(options: EventLogOptions) {
    this.#options = options;
  }

  /** True once the events are stored; false when they are not, and must go out without ids. */
  async append(stream: string, events: readonly LoggedEvent[]): Promise<boolean> {
    const { store, key, keys, epoch, onFenced } = this.#options;
    const sealing = keys[0];
    if (sealing === undefined) return false;
    const sealed = events.map(({ seq, data, answer }) => ({
      seq,
      answer,
      data: sealBytes(sealing, data, `${stream}.${seq}`),
    }));
    try {
      const outcome = await store.appendEvents({ key, stream, epoch: epoch(), events: sealed });
      if (outcome === 'fenced') onFenced();
      return outcome === 'ok';
    } catch {
      // The store is counted and logged where it fails; here it only costs the ids.
      return false;
    }
  }

  /** The whole stream as it is stored, in order. Rejects with `store_unavailable`. */
  async read(stream: string): Promise<readonly LoggedEvent[]> {
    const { store, key, keys } = this.#options;
    const page = await store.readEvents({ key, stream, after: 0 });
    const events: LoggedEvent[] = [];
    for (const { seq, data, answer } of page.events) {
      const plain = unseal(keys, data, `${stream}.${seq}`);
      if (plain !== undefined) events.push({ seq, data: plain, answer });
    }
    return events;
  }
}

function unseal(keys: readonly Uint8Array[], data: Uint8Array, context: string): Buffer | undefined {
  for (const key of keys) {
    const plain = openBytes(key, Buffer.from(data.buffer, data.byteOffset, data.byteLength), context);
    if (plain !== undefined) return plain;
  }
  return undefined;
}

/** `stream.epoch.seq`. The epoch tells apart what two owners of a session may have numbered alike. */
export interface EventId {
  readonly stream: string;
  readonly epoch: number;
  readonly seq: number;
}

const SHAPE = /^([a-z][0-9]{1,9}-[0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})$/;

/** Undefined for anything that could not be an id of ours. */
export function parseEventId(text: string): EventId | undefined {
  const match = SHAPE.exec(text);
  if (match === null) return undefined;
  return { stream: match[1] ?? '', epoch: Number(match[2]), seq: Number(match[3]) };
}

export function formatEventId({ stream, epoch, seq }: EventId): string {
  return `${stream}.${epoch}.${seq}`;
}
