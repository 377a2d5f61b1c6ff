import type { Message } from '../../shared/json-rpc/message.ts';
import type { Caller, IdentityBinding } from '../identity/caller.ts';

/** Decisions that somebody may be asked about later. */
export type AuditAction =
  | 'session.create'
  | 'session.restore'
  | 'session.use'
  | 'session.terminate'
  | 'session.expire'
  | 'credential.obtain'
  | 'login.make'
  | 'login.end'
  | 'call'
  | 'tool.change'
  | 'configuration.change'
  | 'admin.call';

/** One decision, before it takes effect. */
export interface AuditEvent {
  readonly action: AuditAction;
  /** `failed`: neither could be had, for a reason that is no decision. */
  readonly outcome: 'allowed' | 'denied' | 'failed';
  /** Absent where no request asked for it. */
  readonly caller?: Caller | undefined;
  /** Who sat before a browser, or is an admin, where no request of a client asked. */
  readonly principal?: IdentityBinding | undefined;
  /** The name that admins use for a session. */
  readonly session?: string | undefined;
  readonly backend?: string | undefined;
  readonly method?: string | undefined;
  /** The item's kind, and its name at its backend. */
  readonly kind?: string | undefined;
  readonly item?: string | undefined;
  /** How the client knows the item. */
  readonly visible?: string | undefined;
  readonly strategy?: string | undefined;
  /** From a closed set of words. */
  readonly reason?: string | undefined;
  /** A sentence of ours, or the difference of two definitions. */
  readonly detail?: string | undefined;
  /** Scopes that were needed or obtained. */
  readonly scopes?: readonly string[] | undefined;
  /** W3C Trace Context, of the request that asked. */
  readonly traceparent?: string | undefined;
  /** By which logs know the request. */
  readonly requestId?: string | undefined;
  /** The request that asked: its arguments are kept only where configuration asks for them. */
  readonly message?: Message | undefined;
}

/** Keeps what was decided, for whom. */
export interface Audit {
  /** Never throws and never waits. */
  record(event: AuditEvent): void;
}

export const NO_AUDIT: Audit = { record: () => {} };
