import { randomBytes } from 'node:crypto';
import { type EmbeddedDatabase, END } from './embedded-database.ts';
import { partOf } from './embedded-write.ts';
import type { InvalidationListener } from './session-store.ts';

const POLL_MS = 100;
/** How long a change is kept for the others to see. */
export const CHANGES_KEPT_MS = 60_000;

/**
 * Tells the processes on one folder of each other's writes: every process numbers
 * its changes and looks for the others' ten times a second, while somebody
 * listens. One that looked away for long (stopped, swapped out) tells its
 * listeners that everything may have changed.
 */
export class EmbeddedChanges {
  readonly #database: EmbeddedDatabase;
  readonly #origin = randomBytes(9).toString('base64url');
  readonly #listeners = new Set<InvalidationListener>();
  /** The newest change seen of each origin. */
  readonly #seen = new Map<string, number>();
  #written = 0;
  #polledAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(database: EmbeddedDatabase) {
    this.#database = database;
  }

  watch(listener: InvalidationListener): () => void {
    this.#listeners.add(listener);
    if (this.#timer === undefined) {
      // What changed before is not news.
      this.#news();
      this.#timer = setInterval(() => this.#poll(), POLL_MS);
      this.#timer.unref();
    }
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.stop();
    };
  }

  /** Adds a change to the write at hand. */
  note(name: string): void {
    this.#written += 1;
    partOf(this.#database.changes.put([this.#origin, this.#written], { name, at: Date.now() }));
  }

  stop(): void {
    this.#listeners.clear();
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #poll(): void {
    const away = Date.now() - this.#polledAt;
    const names = this.#news();
    const told = away > CHANGES_KEPT_MS / 2 ? [null] : names;
    for (const name of told) {
      for (const listener of this.#listeners) listener(name);
    }
  }

  #news(): string[] {
    const { root, changes } = this.#database;
    this.#polledAt = Date.now();
    root.resetReadTxn();
    const names: string[] = [];
    const present = new Set<string>();
    // One step an origin: strings sort after numbers, so this skips the rest of an origin's changes.
    let start: [string, number | string] = ['', 0];
    for (;;) {
      const [next] = changes.getKeys({ start, limit: 1 });
      if (next === undefined) break;
      const [origin] = next;
      present.add(origin);
      if (origin !== this.#origin) names.push(...this.#newsOf(origin));
      start = [origin, END];
    }
    for (const origin of this.#seen.keys()) {
      if (!present.has(origin)) this.#seen.delete(origin);
    }
    return names;
  }

  #newsOf(origin: string): string[] {
    const start = (this.#seen.get(origin) ?? 0) + 1;
    const names: string[] = [];
    for (const { key, value } of this.#database.changes.getRange({
      start: [origin, start],
      end: [origin, END],
    })) {
      this.#seen.set(origin, key[1]);
      names.push(value.name);
    }
    return names;
  }
}
