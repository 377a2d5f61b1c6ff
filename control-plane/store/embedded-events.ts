import type { EmbeddedAccess } from './embedded-access.ts';
import { pathOf, type StreamPath } from './embedded-database.ts';
import type { EmbeddedRecords } from './embedded-records.ts';
import type { EmbeddedRows } from './embedded-rows.ts';
import { partOf } from './embedded-write.ts';
import { NO_EVENTS, pageOf } from './event-page.ts';
import { admit, EMPTY_WINDOW, isStale } from './event-window.ts';
import type { EventAppend, EventPage, EventRead, StoredEvent } from './session-store.ts';
import type { EventPart } from './store-parts.ts';

export interface EmbeddedEventsOptions {
  readonly access: EmbeddedAccess;
  readonly rows: EmbeddedRows;
  readonly records: EmbeddedRecords;
}

/**
 * The events of resumable streams in the folder. An append holds for as long as the
 * record is unchanged, and does not change it: streams of one session are written
 * side by side, in one transaction. Those of one stream come one after the other;
 * another process writes to it only under another epoch, which is a change.
 */
export class EmbeddedEvents implements EventPart {
  readonly #access: EmbeddedAccess;
  readonly #rows: EmbeddedRows;
  readonly #records: EmbeddedRecords;
  /** The last append to each stream that is being written. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor({ access, rows, records }: EmbeddedEventsOptions) {
    this.#access = access;
    this.#rows = rows;
    this.#records = records;
  }

  async appendEvents(append: EventAppend): Promise<'ok' | 'fenced' | 'gone'> {
    const { key, epoch, stream } = append;
    return this.#inTurn([...pathOf(key), stream].join(' '), () =>
      this.#records.mutate<'ok' | 'fenced' | 'gone'>('appendEvents', key, ({ state }) => {
        if (state === undefined) return { outcome: 'gone' };
        if (state.header.epoch !== epoch) return { outcome: 'fenced' };
        return { outcome: 'ok', write: this.#appending(append) };
      }),
    );
  }

  async readEvents(read: EventRead): Promise<EventPage> {
    return this.#access.reading('readEvents', async () => {
      const { streams, events } = this.#access.database;
      const path: StreamPath = [...pathOf(read.key), read.stream];
      const { state } = await this.#records.find(read.key);
      const window = streams.get(path);
      if (state === undefined || window === undefined || isStale(window, Date.now())) return NO_EVENTS;
      const kept: StoredEvent[] = [];
      for (const { seq } of window.kept) {
        const event = seq > read.after ? events.get([...path, seq]) : undefined;
        if (event !== undefined) kept.push({ seq, data: Buffer.from(event.data), answer: event.answer });
      }
      return pageOf(read, { events: kept, last: window.last });
    });
  }

  async #inTurn<T>(stream: string, run: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(stream);
    const own = before === undefined ? run() : before.then(run, run);
    this.#turns.set(stream, own);
    try {
      return await own;
    } finally {
      if (this.#turns.get(stream) === own) this.#turns.delete(stream);
    }
  }

  #appending(append: EventAppend): () => void {
    const { streams, events } = this.#access.database;
    const path: StreamPath = [...pathOf(append.key), append.stream];
    const now = Date.now();
    const before = streams.get(path);
    const known = before !== undefined && !isStale(before, now);
    const { window, added, dropped } = admit(known ? before : EMPTY_WINDOW, append.events, now);
    return () => {
      if (!known) this.#rows.dropStream(path);
      if (before === undefined) this.#rows.makeRoom(append.key);
      partOf(streams.put(path, window));
      for (const { seq, answer, data } of added) partOf(events.put([...path, seq], { answer, data }));
      for (const seq of dropped) partOf(events.remove([...path, seq]));
    };
  }
}
