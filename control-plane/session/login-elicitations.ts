import { randomUUID } from 'node:crypto';
import { MeshError } from '../../shared/errors.ts';
import { errorResponse, meshErrorResponse, notification } from '../../shared/json-rpc/envelope.ts';
import type { Caller, CallerIdentity } from '../identity/caller.ts';
import { KINDS } from '../virtual-server/item.ts';
import { elicitsUrls } from './client-abilities.ts';
import type { ListChanges } from './list-changes.ts';
import type { Listening } from './listening.ts';
import type { LiveSession } from './live-session.ts';

/** Whom a login is for, and where it was missed. */
export interface LoginInvitation {
  readonly caller: CallerIdentity;
  readonly backend: string;
  /** The name that admins use for the session. */
  readonly session: string;
  /** Space separated: what is to be granted, where that is more than at first. */
  readonly scope: string | undefined;
}

/** Makes a link for a browser, which serves this caller alone, once, for a while; undefined where no one can log in. */
export type InviteToLogin = (invitation: LoginInvitation) => string | undefined;

/** Whose login has just been made, for which backends. */
export interface LoggedIn {
  readonly bindingKey: string;
  readonly backends: readonly string[];
}

export interface LoginElicitationOptions {
  readonly invite: InviteToLogin;
  readonly listening: Pick<Listening, 'reader'>;
  readonly listChanges: Pick<ListChanges, 'mark'>;
}

/** MCP 2025-11-25, Elicitation: URL Elicitation Required Error. */
const URL_ELICITATION_REQUIRED = -32042;
/** What fails for want of a login fails with a plain error where the client cannot open URLs. */
const LOGIN_REQUIRED = -32000;
const MOST_ASKED = 20;

/** A request that failed. */
interface Unanswered {
  readonly session: LiveSession;
  readonly caller: Caller;
  /** Its raw JSON-RPC id. */
  readonly id: Buffer;
  /** By which logs know it. */
  readonly requestId?: string;
}

/** A link that the client of a session was given. */
interface Asked {
  readonly id: string;
  readonly backend: string;
}

/**
 * Asks the person behind a caller to log in where a backend needs that: with the error
 * that MCP has for it, to the client that asked and to no other. The link is made for
 * this one answer; it is in no log and no record.
 */
export class LoginElicitations {
  readonly #options: LoginElicitationOptions;
  readonly #asked = new WeakMap<LiveSession, Asked[]>();

  constructor(options: LoginElicitationOptions) {
    this.#options = options;
  }

  /** The answer to a request that failed. */
  answer(error: MeshError, { session, caller, id, requestId }: Unanswered): readonly Uint8Array[] {
    const { reason, retryable, backend, scope } = missedLogin(error) ?? error;
    if (reason !== 'login_required' || backend === undefined || caller.kind !== 'identified')
      return meshErrorResponse(id, error, { requestId });
    const url = this.#options.invite({ caller, backend, scope, session: session.adminName });
    if (url === undefined) return meshErrorResponse(id, error, { requestId });
    const more = scope === undefined ? 'log in' : 'grant more to it';
    const message = `The backend "${backend}" needs you to ${more}.`;
    const data = { reason, retryable, backend, requestId };
    if (!elicitsUrls(session))
      return errorResponse(id, { code: LOGIN_REQUIRED, message: `${message} Open ${url}`, data });
    const elicitation = { mode: 'url', elicitationId: this.#note(session, backend), url, message };
    return errorResponse(id, {
      code: URL_ELICITATION_REQUIRED,
      message,
      data: { ...data, elicitations: [elicitation] },
    });
  }

  /** The person has logged in: the backends join, and the client hears that its link has done its work. */
  loggedIn(sessions: Iterable<LiveSession>, { bindingKey, backends }: LoggedIn): void {
    for (const session of sessions) {
      if (session.bindingKey !== bindingKey) continue;
      for (const backend of backends) {
        if (!session.links.has(backend)) continue;
        this.#complete(session, backend);
        this.#options.listChanges.mark(session, backend, KINDS);
      }
    }
  }

  #note(session: LiveSession, backend: string): string {
    const id = randomUUID();
    const asked = [...(this.#asked.get(session) ?? []), { id, backend }];
    this.#asked.set(session, asked.slice(-MOST_ASKED));
    return id;
  }

  #complete(session: LiveSession, backend: string): void {
    const asked = this.#asked.get(session) ?? [];
    const stream = this.#options.listening.reader(session)?.stream;
    for (const { id } of asked.filter((each) => each.backend === backend)) {
      const params = Buffer.from(JSON.stringify({ elicitationId: id }));
      stream?.message(notification('notifications/elicitation/complete', [params]));
    }
    this.#asked.set(
      session,
      asked.filter((each) => each.backend !== backend),
    );
  }
}

/** A backend that may own what was named is silent for want of a login: that is what can be helped. */
function missedLogin({ cause }: MeshError): MeshError | undefined {
  return cause instanceof MeshError && cause.reason === 'login_required' ? cause : undefined;
}
