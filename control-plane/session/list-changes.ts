import type { Clock } from '../../shared/clock.ts';
import { notification } from '../../shared/json-rpc/envelope.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';
import type { Catalogues } from './catalogues.ts';
import type { Listening } from './listening.ts';
import type { LiveSession } from './live-session.ts';

/** A burst of changes is one change, once it has been quiet for this long, or after this long at most. */
const QUIET_MS = 75;
const AT_MOST_MS = 1_000;

const METHODS: Readonly<Record<ListKind, string>> = {
  tools: 'notifications/tools/list_changed',
  prompts: 'notifications/prompts/list_changed',
  resources: 'notifications/resources/list_changed',
  resourceTemplates: 'notifications/resources/list_changed',
};

interface Burst {
  /** Whether a backend said that they changed, or they only may have. */
  readonly kinds: Map<ListKind, boolean>;
  readonly since: number;
  cancel: () => void;
}

export interface ListChangeOptions {
  readonly clock: Clock;
  readonly catalogues: Catalogues;
  readonly listening: Listening;
  /** Lists were read again, and what changed is about to be announced. */
  readonly onRead: (session: LiveSession) => void;
}

/**
 * Turns what may have changed at backends into list_changed for the clients whose
 * visible list really did. The lists are read anew first, in the name of the
 * client that listens, so that what it reads afterwards is at least as new. A
 * client that does not listen reads anew by itself, with its next list request.
 */
export class ListChanges {
  readonly #options: ListChangeOptions;
  readonly #bursts = new Map<LiveSession, Burst>();

  constructor(options: ListChangeOptions) {
    this.#options = options;
  }

  /** This backend says that these lists have changed. */
  said(session: LiveSession, backend: string, kinds: readonly ListKind[]): void {
    this.#options.catalogues.stale(session, backend, kinds);
    this.#look(session, kinds, true);
  }

  /** Lists of this backend may have changed. */
  mark(session: LiveSession, backend: string, kinds: readonly ListKind[]): void {
    this.#options.catalogues.stale(session, backend, kinds);
    this.look(session, kinds);
  }

  /** What is known of these lists may be other than what the client was given. */
  look(session: LiveSession, kinds: readonly ListKind[]): void {
    this.#look(session, kinds, false);
  }

  #look(session: LiveSession, kinds: readonly ListKind[], said: boolean): void {
    const { clock } = this.#options;
    const now = clock.now();
    const burst = this.#bursts.get(session) ?? { kinds: new Map(), since: now, cancel: () => {} };
    for (const kind of kinds) burst.kinds.set(kind, said || burst.kinds.get(kind) === true);
    burst.cancel();
    const wait = Math.max(0, Math.min(QUIET_MS, burst.since + AT_MOST_MS - now));
    burst.cancel = clock.after(wait, () => {
      this.#bursts.delete(session);
      void this.#announce(session, burst.kinds);
    });
    this.#bursts.set(session, burst);
  }

  /** The session left this replica. */
  forget(session: LiveSession): void {
    this.#bursts.get(session)?.cancel();
    this.#bursts.delete(session);
  }

  async #announce(session: LiveSession, kinds: ReadonlyMap<ListKind, boolean>): Promise<void> {
    const { catalogues, listening } = this.#options;
    const caller = listening.reader(session)?.caller;
    if (caller === undefined) return;
    const changed = await Promise.all(
      [...kinds].map(async ([kind, said]) =>
        (await catalogues.changed(session, caller, { kind, said })) ? [METHODS[kind]] : [],
      ),
    );
    // What the client reads after the announcement is at least as new.
    this.#options.onRead(session);
    const stream = listening.reader(session)?.stream;
    for (const method of new Set(changed.flat())) stream?.message(notification(method));
  }
}
