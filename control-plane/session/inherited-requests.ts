import { MeshError } from '../../shared/errors.ts';
import { meshErrorResponse } from '../../shared/json-rpc/envelope.ts';
import type { BackendSession } from '../backend/backend.ts';
import type { Caller } from '../identity/caller.ts';
import type { BackendLink } from './backend-link.ts';
import type { LiveSession } from './live-session.ts';
import { type OpenedRequestId, openRequestId } from './request-ids.ts';
import type { SessionObserver } from './session-observer.ts';

const CREDENTIAL_TIMEOUT_MS = 10_000;

export interface InheritedOptions {
  readonly observer: SessionObserver;
  /** Who is there in whose name a backend can be told something. */
  readonly liveCaller: (session: LiveSession) => Caller | undefined;
  /** Whether the client listens on a GET stream. */
  readonly listens: (session: LiveSession) => boolean;
  /** The list is another. */
  readonly onChange: () => void;
  /** A reply to it comes too late now. */
  readonly onClosed: (visible: string) => void;
}

/**
 * Requests of backends that an earlier owner of a session passed on to the client,
 * and that were not answered when this replica took the session over. A reply still
 * reaches the backend session that asked. What was asked on the stream of a call
 * that is lost gets an error: nobody waits for that call any more. What was asked
 * on the listening stream goes on with it. An earlier owner that still finishes a
 * call keeps what that call asked.
 */
export class InheritedRequests {
  readonly #session: LiveSession;
  readonly #options: InheritedOptions;
  /** By the ids that the client sees. */
  readonly #open = new Map<string, OpenedRequestId>();
  /** Epochs whose owner may still take care of its own. */
  readonly #unasked: Set<number>;
  #settling = false;
  /** It is time, and nobody was there in whose name it could be done. */
  #overdue = false;

  constructor(session: LiveSession, options: InheritedOptions) {
    this.#session = session;
    this.#options = options;
    const keys = session.sessionKeys('requests');
    for (const visible of session.body.asked ?? []) {
      const opened = openRequestId(keys, visible);
      if (opened !== undefined && opened.epoch < session.epoch) this.#open.set(visible, opened);
    }
    this.#unasked = new Set([...this.#open.values()].map(({ epoch }) => epoch));
  }

  get overdue(): boolean {
    return this.#overdue;
  }

  get ids(): readonly string[] {
    return [...this.#open.keys()];
  }

  /** It is answered, or withdrawn. */
  take(visible: string): void {
    if (!this.#open.delete(visible)) return;
    this.#options.onClosed(visible);
    this.#options.onChange();
  }

  /** How the client sees a request of this backend session. */
  find(backend: BackendSession, name: string, rawId: Buffer): string | undefined {
    for (const [visible, opened] of this.#open) {
      if (opened.backend === name && opened.isFrom(backend) && opened.id.equals(rawId)) return visible;
    }
    return undefined;
  }

  /** Tells the backends what will not be answered: all of it, or what was asked on one stream. Never rejects. */
  async settle(stream?: string): Promise<void> {
    if (this.#settling || this.#open.size === 0 || this.#session.state !== 'live') return;
    this.#settling = true;
    this.#overdue = false;
    try {
      await this.#leaveKept();
      for (const [visible, opened] of [...this.#open]) {
        if (stream === undefined || opened.stream === stream) this.#fail(visible, opened);
      }
    } catch {
      // The store cannot say who takes care of them: later, then.
      this.#overdue = true;
    } finally {
      this.#settling = false;
    }
  }

  async #leaveKept(): Promise<void> {
    for (const epoch of [...this.#unasked]) {
      const kept = await this.#session.requestsKept(epoch);
      this.#unasked.delete(epoch);
      const left = kept.filter((visible) => this.#open.delete(visible));
      if (left.length > 0) this.#options.onChange();
    }
  }

  #fail(visible: string, { backend: name, stream, id, isFrom }: OpenedRequestId): void {
    // Answered while the store was asked, or still to be answered: that stream goes on.
    if (!this.#open.has(visible) || (stream.startsWith('g') && this.#options.listens(this.#session))) return;
    const { observer } = this.#options;
    const link = this.#session.links.get(name);
    const backend = link?.session;
    if (link === undefined || backend === undefined || !isFrom(backend)) {
      observer.dropped('reply');
      this.take(visible);
      return;
    }
    const caller = this.#options.liveCaller(this.#session);
    if (caller === undefined && !link.sharesCredential) {
      this.#overdue = true;
      return;
    }
    this.take(visible);
    void refuse(id, { link, backend, caller }).catch(() => observer.dropped('reply'));
  }
}

/** Under the credential of whoever is there, or one that is nobody's own. */
async function refuse(
  id: Buffer,
  { link, backend, caller }: { link: BackendLink; backend: BackendSession; caller: Caller | undefined },
): Promise<void> {
  const credential =
    caller === undefined
      ? await link.unattended()
      : await link.credential(caller, AbortSignal.timeout(CREDENTIAL_TIMEOUT_MS));
  if (credential === undefined) return;
  const error = new MeshError('cancelled', 'The call that asked was lost with its replica.');
  await backend.respond(meshErrorResponse(id, error), credential);
}
