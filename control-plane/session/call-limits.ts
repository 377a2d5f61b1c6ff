import type { Caller } from '../identity/caller.ts';

/** A request of a client that leads to one backend. */
export interface LimitedCall {
  readonly caller: Caller;
  readonly backend: string;
  /** A tool's name at its backend; undefined for what is no tool call. */
  readonly tool: string | undefined;
}

/** How often, and how many at once: for callers, backends and tools. */
export interface CallLimits {
  /**
   * Undefined where no rule is about the call. Otherwise resolves, when it may run, to what has to be
   * called once it is over; rejects with `rate_limited`, or with `store_unavailable` where nobody can
   * say and configuration wants it refused then.
   */
  admit(call: LimitedCall): Promise<() => void> | undefined;
}
