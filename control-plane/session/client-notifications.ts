import { forward } from '../../shared/json-rpc/envelope.ts';
import { type Message, slice } from '../../shared/json-rpc/message.ts';
import type { Caller } from '../identity/caller.ts';
import type { BackendLink } from './backend-link.ts';
import { clientTaskHolder } from './client-tasks.ts';
import type { LiveSession } from './live-session.ts';
import { withoutReserved } from './reserved-meta.ts';
import type { ServerRequests } from './server-requests.ts';
import type { SessionObserver } from './session-observer.ts';
import { withCancelled } from './session-record.ts';

const CREDENTIAL_TIMEOUT_MS = 10_000;

/** Notifications of a client. None of them is answered, and none can fail for the client. */
export class ClientNotifications {
  readonly #serverRequests: ServerRequests;
  readonly #observer: SessionObserver;

  constructor(serverRequests: ServerRequests, observer: SessionObserver) {
    this.#serverRequests = serverRequests;
    this.#observer = observer;
  }

  take(session: LiveSession, caller: Caller, message: Message): void {
    switch (message.scanned.method) {
      case 'notifications/initialized':
        return;
      case 'notifications/cancelled':
        this.#cancel(session, message);
        return;
      case 'notifications/progress':
        if (!this.#serverRequests.progress(session, caller, message)) this.#observer.dropped('message');
        return;
      case 'notifications/tasks/status':
        this.#taskStatus(session, caller, message);
        return;
      default:
        this.#announce(session, caller, message);
    }
  }

  /** Only what still runs can be cancelled; anything else is ignored (MCP, Cancellation). */
  #cancel(session: LiveSession, { bytes, scanned }: Message): void {
    const { requestId, params } = scanned;
    if (requestId === undefined || params === undefined) {
      this.#observer.dropped('message');
      return;
    }
    const id = slice(bytes, requestId).toString('utf8');
    const call = session.calls.get(id);
    const { reason: given } = JSON.parse(slice(bytes, params).toString('utf8')) as { reason?: unknown };
    const reason = typeof given === 'string' ? given : undefined;
    if (call !== undefined) call.cancel(reason);
    // An earlier owner may be finishing it, and looks at what changes in the record.
    else if (session.epoch > 1) {
      const more = { id, epoch: session.epoch, ...(reason === undefined ? {} : { reason }) };
      session.update({ cancelled: withCancelled(session.body.cancelled, more) });
    } else this.#observer.dropped('message');
  }

  /** Of a task that the client holds: to the backend that asked for it. */
  #taskStatus(session: LiveSession, caller: Caller, message: Message): void {
    const { taskId: span } = message.scanned;
    const told = span === undefined ? undefined : clientTaskHolder(session, message);
    if (span === undefined || told === undefined) {
      this.#observer.dropped('message');
      return;
    }
    const splices = [{ span, bytes: told.name }, ...withoutReserved(message)];
    void tell(told.link, caller, forward(message, { splices })).catch(() =>
      this.#observer.dropped('message'),
    );
  }

  /** What concerns all backends (roots have changed), or the only one there is. */
  #announce(session: LiveSession, caller: Caller, message: Message): void {
    const known = message.scanned.method === 'notifications/roots/list_changed';
    if (!known && session.links.size !== 1) return;
    const pieces = forward(message, { splices: withoutReserved(message) });
    for (const link of session.links.values()) {
      void tell(link, caller, pieces).catch(() => this.#observer.dropped('message'));
    }
  }
}

/** A backend without a session has nothing to be told; it asks when it is there. */
async function tell(link: BackendLink, caller: Caller, pieces: readonly Uint8Array[]): Promise<void> {
  const backend = link.session;
  if (backend === undefined) return;
  const signal = AbortSignal.timeout(CREDENTIAL_TIMEOUT_MS);
  await link.under(caller, signal, (credential) => backend.notify(pieces, credential));
}
