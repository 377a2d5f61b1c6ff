import type { EmbeddedChanges } from './embedded-changes.ts';
import { type EmbeddedDatabase, END, pathOf, readParts, type StreamPath } from './embedded-database.ts';
import { partOf } from './embedded-write.ts';
import { MAX_STREAMS } from './limits.ts';
import type { RecordState } from './rules.ts';
import type { RecordKey, RecordUpdate } from './session-store.ts';

/** The rows of a session, changed within the write at hand: these belong inside a transaction. */
export class EmbeddedRows {
  readonly #database: EmbeddedDatabase;
  readonly #changes: EmbeddedChanges;

  constructor(database: EmbeddedDatabase, changes: EmbeddedChanges) {
    this.#database = database;
    this.#changes = changes;
  }

  /** `revision` is the one that the write met; undefined where there was no record. */
  putState(key: RecordKey, state: RecordState, revision: number | undefined): void {
    partOf(this.#database.records.put(pathOf(key), state, (revision ?? 0) + 1));
  }

  putParts(key: RecordKey, { summary, body }: Pick<RecordUpdate, 'summary' | 'body'>): void {
    if (summary === undefined && body === undefined) return;
    const { parts } = this.#database;
    const stored = readParts(parts.get(pathOf(key)));
    const before = typeof stored === 'object' ? stored : { summary: '', body: '' };
    partOf(parts.put(pathOf(key), { summary: summary ?? before.summary, body: body ?? before.body }));
  }

  /** Everything of a session. */
  remove(key: RecordKey, witness: string | undefined): void {
    const { records, parts, streams, witnesses } = this.#database;
    const path = pathOf(key);
    partOf(records.remove(path));
    partOf(parts.remove(path));
    if (witness !== undefined) partOf(witnesses.remove(witness));
    for (const stream of [...streams.getKeys({ start: [...path, ''], end: [...path, END] })])
      this.dropStream(stream);
    this.#changes.note(key.name);
  }

  dropStream(path: StreamPath): void {
    const { streams, events } = this.#database;
    partOf(streams.remove(path));
    for (const event of [...events.getKeys({ start: [...path, 0], end: [...path, END] })])
      partOf(events.remove(event));
  }

  /** Makes room for one more stream; streams that began side by side may have left none for several. */
  makeRoom(key: RecordKey): void {
    const path = pathOf(key);
    const range = { start: [...path, ''], end: [...path, END] };
    const all = [...this.#database.streams.getRange(range)];
    const excess = all.length - MAX_STREAMS + 1;
    if (excess <= 0) return;
    all.sort((a, b) => a.value.at - b.value.at);
    for (const { key: oldest } of all.slice(0, excess)) this.dropStream(oldest);
  }
}
