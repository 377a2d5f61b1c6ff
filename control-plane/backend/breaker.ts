/**
 * Keeps live calls away from a backend that cannot be reached, and lets one of
 * them find out whether it can be again:
 *
 *   closed     --failed, for the last time allowed--> open
 *   open       --asked, after a while--> half_open, with this call as its probe
 *   half_open  --its probe answered--> closed
 *   half_open  --its probe failed--> open
 *   half_open  --its probe told nothing--> open, and due at once
 *   half_open  --asked, when its probe takes too long--> half_open, with another
 *
 * Everything else changes nothing but the count of failures. Calls that were under
 * way together when one failed fall together: one broken connection, or one
 * restart, is one failure however many calls it took.
 */
export type BreakerState =
  | { readonly kind: 'closed'; readonly failures: number; readonly failedAt: number }
  | { readonly kind: 'open'; readonly until: number }
  | { readonly kind: 'half_open'; readonly probe: object; readonly until: number };

/** What a call did; times are monotonic, in milliseconds. */
export interface BreakerEvent {
  /** `untold`: it ended without telling anything of the backend, given up for example. */
  readonly kind: 'asked' | 'answered' | 'failed' | 'untold';
  /** The call itself, the same object from its `asked` to its end. */
  readonly call: object;
  /** When it was begun. */
  readonly startedAt: number;
  readonly now: number;
}

export interface BreakerRules {
  /** Failures without an answer between them that open it. */
  readonly failures: number;
  /** How long it stays open, and how long a probe has for itself. */
  readonly openMs: number;
}

export const CLOSED: BreakerState = { kind: 'closed', failures: 0, failedAt: Number.NEGATIVE_INFINITY };

/** The state after an event. A call may go to the backend when, having asked, it finds it closed or itself the probe. */
export function transition(state: BreakerState, event: BreakerEvent, rules: BreakerRules): BreakerState {
  switch (state.kind) {
    case 'closed':
      return whenClosed(state, event, rules);
    case 'open':
      return event.kind === 'asked' && event.now >= state.until ? probing(event, rules) : state;
    case 'half_open':
      if (event.kind === 'asked') return event.now >= state.until ? probing(event, rules) : state;
      return event.call === state.probe ? afterProbe(event, rules) : state;
  }
}

type Closed = Extract<BreakerState, { kind: 'closed' }>;

function whenClosed(state: Closed, event: BreakerEvent, rules: BreakerRules): BreakerState {
  if (event.kind === 'answered') return state.failures === 0 ? state : CLOSED;
  if (event.kind !== 'failed' || event.startedAt < state.failedAt) return state;
  const failures = state.failures + 1;
  return failures < rules.failures
    ? { kind: 'closed', failures, failedAt: event.now }
    : { kind: 'open', until: event.now + rules.openMs };
}

function probing({ call, now }: BreakerEvent, { openMs }: BreakerRules): BreakerState {
  return { kind: 'half_open', probe: call, until: now + openMs };
}

function afterProbe({ kind, now }: BreakerEvent, { openMs }: BreakerRules): BreakerState {
  if (kind === 'answered') return CLOSED;
  return { kind: 'open', until: kind === 'failed' ? now + openMs : now };
}
