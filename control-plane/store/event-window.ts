import { MAX_STREAM_BYTES, MAX_STREAM_EVENTS, STREAM_TTL_MS } from './limits.ts';
import type { StoredEvent } from './session-store.ts';

/** What is kept of one resumable stream: pure, for the stores that have no Lua. */
export interface EventWindow {
  /** The newest `seq`; 0 before the first. */
  readonly last: number;
  /** When the last event came, on the store's clock. */
  readonly at: number;
  /** Ascending. */
  readonly kept: readonly KeptEvent[];
}

export interface KeptEvent {
  readonly seq: number;
  readonly size: number;
  readonly answer: boolean;
}

export const EMPTY_WINDOW: EventWindow = { last: 0, at: 0, kept: [] };

export function isStale(window: EventWindow, now: number): boolean {
  return now >= window.at + STREAM_TTL_MS;
}

/** The window after an append: which events are new, and which old ones the caps drop. Answers are never dropped. */
export function admit(
  window: EventWindow,
  events: readonly StoredEvent[],
  now: number,
): {
  readonly window: EventWindow;
  readonly added: readonly StoredEvent[];
  readonly dropped: readonly number[];
} {
  let last = window.last;
  const added: StoredEvent[] = [];
  for (const event of events) {
    if (event.seq <= last) continue;
    last = event.seq;
    added.push(event);
  }
  const all = [
    ...window.kept,
    ...added.map(({ seq, data, answer }) => ({ seq, size: data.byteLength, answer })),
  ];
  const plain = all.filter((event) => !event.answer);
  let count = plain.length;
  let bytes = plain.reduce((sum, event) => sum + event.size, 0);
  const dropped = new Set<number>();
  for (const event of plain) {
    if (count <= MAX_STREAM_EVENTS && bytes <= MAX_STREAM_BYTES) break;
    dropped.add(event.seq);
    count -= 1;
    bytes -= event.size;
  }
  const kept = all.filter((event) => !dropped.has(event.seq));
  return {
    window: { last, at: now, kept },
    added: added.filter((event) => !dropped.has(event.seq)),
    dropped: [...dropped],
  };
}
