import type { Logger } from '../../shared/log.ts';

/** What every store is given from outside. */

export type StoreAlarmKind =
  /** Redis may evict sessions: `maxmemory-policy` is not `noeviction`, or cannot be read. */
  | 'eviction_policy'
  /** NOAUTH, WRONGPASS or NOPERM. */
  | 'credentials_refused'
  /** A record was set aside. */
  | 'record_quarantined'
  /** A record vanished before its time: evicted, or lost with a server. */
  | 'session_lost'
  /** The store refuses writes for lack of memory or disk. */
  | 'store_full'
  /** This process's clock and the store's differ by more than two seconds. */
  | 'clock_skew'
  /** The store was emptied under its users. */
  | 'store_flushed';

/** Something that an operator must hear of. `detail` holds no secret and no session id. */
export interface StoreAlarm {
  readonly kind: StoreAlarmKind;
  readonly detail: string;
}

export interface StoreHooks {
  readonly log: Logger;
  readonly onAlarm?: (alarm: StoreAlarm) => void;
  /** Called after every operation with its name, its duration in milliseconds, and whether it failed. */
  readonly onLatency?: (operation: string, ms: number, failed: boolean) => void;
}
