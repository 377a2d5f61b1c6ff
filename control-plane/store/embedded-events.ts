import type { EmbeddedAccess } from './embedded-access.ts';
import { pathOf, type StreamPath } from './embedded-database.ts';
import type { EmbeddedRecords } from './embedded-records.ts';
import type { EmbeddedRows } from './embedded-rows.ts';
import { NO_EVENTS, pageOf } from './event-page.ts';
import { admit, EMPTY_WINDOW, isStale } from './event-window.ts';
import type { RecordState } from './rules.ts';
import type { EventAppend, EventPage, EventRead, StoredEvent } from './session-store.ts';
import type { EventPart } from './store-parts.ts';

export interface EmbeddedEventsOptions {
  readonly access: EmbeddedAccess;
  readonly rows: EmbeddedRows;
  readonly records: EmbeddedRecords;
}

/** The events of resumable streams in the folder. */
export class EmbeddedEvents implements EventPart {
  readonly #access: EmbeddedAccess;
  readonly #rows: EmbeddedRows;
  readonly #records: EmbeddedRecords;

  constructor({ access, rows, records }: EmbeddedEventsOptions) {
    this.#access = access;
    this.#rows = rows;
    this.#records = records;
  }

  async appendEvents(append: EventAppend): Promise<'ok' | 'fenced' | 'gone'> {
    const { key, epoch } = append;
    return this.#records.mutate<'ok' | 'fenced' | 'gone'>('appendEvents', key, ({ state, revision }) => {
      if (state === undefined) return { outcome: 'gone' };
      if (state.header.epoch !== epoch) return { outcome: 'fenced' };
      return { outcome: 'ok', write: this.#appending(append, state, revision) };
    });
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

  #appending(append: EventAppend, state: RecordState, revision: number | undefined): () => void {
    const { streams, events } = this.#access.database;
    const path: StreamPath = [...pathOf(append.key), append.stream];
    const now = Date.now();
    const before = streams.get(path);
    const known = before !== undefined && !isStale(before, now);
    const { window, added, dropped } = admit(known ? before : EMPTY_WINDOW, append.events, now);
    return () => {
      this.#rows.putState(append.key, state, revision);
      if (!known) this.#rows.dropStream(path);
      if (before === undefined) this.#rows.dropOldestStream(append.key);
      void streams.put(path, window);
      for (const { seq, answer, data } of added) void events.put([...path, seq], { answer, data });
      for (const seq of dropped) void events.remove([...path, seq]);
    };
  }
}
