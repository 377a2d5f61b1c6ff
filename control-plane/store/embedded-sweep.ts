import { setImmediate } from 'node:timers/promises';
import type { Database, Key } from 'lmdb';
import { CHANGES_KEPT_MS } from './embedded-changes.ts';
import { type EmbeddedDatabase, readState, type SessionPath } from './embedded-database.ts';
import { isStale } from './event-window.ts';
import { isExpired } from './rules.ts';

const PAGE = 200;

export interface Sweep {
  readonly database: EmbeddedDatabase;
  readonly now: number;
  /** Removes an expired record with all that belongs to it, if it is still at this revision. */
  readonly expire: (path: SessionPath, revision: number) => Promise<unknown>;
  readonly dropStream: (path: [string, string, string]) => Promise<unknown>;
  readonly stopped: () => boolean;
}

/** Removes what has expired, a page at a time, so that no call waits for it. */
export async function sweep({ database, now, expire, dropStream, stopped }: Sweep): Promise<void> {
  const { root, records, streams, tables, changes, quarantine } = database;
  root.readerCheck();
  await each(records, stopped, async (path, value, version) => {
    const state = readState(value);
    if (typeof state === 'object' && isExpired(state, now)) await expire(path, version);
  });
  await each(streams, stopped, async (path, window) => {
    if (isStale(window, now)) await dropStream(path);
  });
  await each(tables, stopped, async (path, { until }) => {
    if (now >= until) await tables.remove(path);
  });
  await each(quarantine, stopped, async (path, { until }) => {
    if (now >= until) await quarantine.remove(path);
  });
  await each(changes, stopped, async (path, { at }) => {
    if (now >= at + CHANGES_KEPT_MS) await changes.remove(path);
  });
}

async function each<V, K extends Key>(
  table: Database<V, K>,
  stopped: () => boolean,
  visit: (key: K, value: V, version: number) => Promise<void>,
): Promise<void> {
  let start: K | undefined;
  for (;;) {
    if (stopped()) return;
    const from = start === undefined ? {} : { start, exclusiveStart: true };
    const page = [...table.getRange({ ...from, limit: PAGE, versions: true })];
    await Promise.all(page.map(({ key, value, version }) => visit(key, value, version ?? 0)));
    start = page.at(-1)?.key;
    if (page.length < PAGE) return;
    await setImmediate();
  }
}
