import type { Reason } from '../../shared/errors.ts';
import type { AuditEvent } from './audit.ts';

/** What sessions tell the people who run them. Names are an admin's names for sessions; nothing here identifies a client's id or a token. */
export interface SessionObserver {
  created(session: string): void;
  restored(result: 'ok' | 'not_found' | 'busy' | 'unavailable' | 'corrupt', durationMs: number): void;
  /** A record is sealed under a key that this replica was not given. */
  unreadable(session: string, keyId: string): void;
  /** A caller named a session that is bound to another principal. */
  mismatched(caller: 'identified' | 'anonymous'): void;
  ended(session: string, why: 'closed' | 'expired' | 'fenced' | 'evicted'): void;
  /** A response, a reply or a notification that belongs to nothing open. */
  dropped(what: 'response' | 'message' | 'reply'): void;
  /** A request named a protocol version that is supported, and not the one negotiated. */
  otherVersion(): void;
  /** Whether anybody keeps decisions: what a call would cost for nobody is not put together. */
  readonly audited: boolean;
  /** Something was allowed to a caller, or denied. */
  decided(event: AuditEvent): void;
  /** A request was answered with an error of the mesh's own. */
  refused(reason: Reason): void;
  backendCall(backend: string, outcome: string, durationMs: number): void;
}
