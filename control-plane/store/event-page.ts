import type { EventPage, EventRead, StoredEvent } from './session-store.ts';

/** Of a stream that the store knows nothing of. */
export const NO_EVENTS: EventPage = { events: [], dropped: 0, last: 0 };

/** The answer to a read: what is kept after `after`, of a stream whose newest event is `last`. */
export function pageOf(
  { after }: EventRead,
  { events, last }: { readonly events: readonly StoredEvent[]; readonly last: number },
): EventPage {
  return { events, dropped: Math.max(0, last - after - events.length), last };
}
