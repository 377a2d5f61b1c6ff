import type { ListKind } from '../virtual-server/catalogue.ts';
import type { LiveSession } from './live-session.ts';

/** Whoever lets sidecars answer lists by themselves hears here when they may not any more. */
export interface ListWatcher {
  /** These lists may have changed. */
  stale(session: LiveSession, kinds: readonly ListKind[]): void;
  /** They were read again, and the client is about to be told what changed. */
  read(session: LiveSession): void;
  /** The session left this replica. */
  ended(session: LiveSession): void;
  /** Whether a sidecar answers for this session, so that its end elsewhere must be noticed at once. */
  granted(session: LiveSession): boolean;
}
