/**
 * The life of a session in one replica.
 *
 *   starting ──published──▶ live ──fenced───▶ fenced    another replica has it
 *      │                     ├──evicted──▶ evicted   only its memory is freed
 *      └──────closed────────▶└──closed───▶ closed    gone for good
 *
 * The three on the right are final. Only `closed` deletes anything at a backend.
 */
export type SessionState = 'starting' | 'live' | 'fenced' | 'evicted' | 'closed';
export type SessionEvent = 'published' | 'fenced' | 'evicted' | 'closed';

const NEXT: Readonly<Record<SessionState, Partial<Record<SessionEvent, SessionState>>>> = {
  starting: { published: 'live', closed: 'closed' },
  live: { fenced: 'fenced', evicted: 'evicted', closed: 'closed' },
  fenced: {},
  evicted: {},
  closed: {},
};

/** The next state, or undefined where the event means nothing: a final state stays. */
export function transition(state: SessionState, event: SessionEvent): SessionState | undefined {
  return NEXT[state][event];
}
