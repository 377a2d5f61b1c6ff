import { KINDS } from '../virtual-server/item.ts';
import type { Catalogues } from './catalogues.ts';
import type { ListChanges } from './list-changes.ts';
import type { Listening } from './listening.ts';
import type { LiveSession } from './live-session.ts';

/** What is another one in the configuration, as far as sessions see it. */
export interface Change {
  /** Backends whose credential comes from elsewhere now. */
  readonly credentials: ReadonlySet<string>;
  /** Whether the lists of a session may look otherwise although its backends stay. */
  readonly shown: (session: LiveSession) => boolean;
}

export interface ReconfigurationOptions {
  readonly catalogues: Catalogues;
  readonly listening: Listening;
  readonly listChanges: ListChanges;
}

const NOTHING: Change = { credentials: new Set(), shown: () => false };

/**
 * Lets live sessions follow the configuration. What the sidecars may answer for a
 * session that it concerns is taken back in the same turn; its client is told when
 * its lists have been read anew and really are others.
 */
export class Reconfiguration {
  readonly #options: ReconfigurationOptions;
  /** Their clients did not listen when their lists changed. */
  readonly #untold = new WeakSet<LiveSession>();

  constructor(options: ReconfigurationOptions) {
    this.#options = options;
  }

  /** A session that came to live while the configuration changed, or knew another one when it was last written. */
  enter(session: LiveSession): void {
    if (session.rearranged) this.#untold.add(session);
    this.apply(session, NOTHING);
  }

  /** A client begins to listen. */
  listens(session: LiveSession): void {
    if (this.#untold.delete(session)) this.#options.listChanges.look(session, KINDS);
  }

  /** True: the change concerns this session's lists. */
  apply(session: LiveSession, { credentials, shown }: Change): boolean {
    if (session.state !== 'live') return false;
    const { catalogues, listening } = this.#options;
    const reader = listening.reader(session);
    const { left, joined } = session.reconfigure(reader?.caller);
    const gone = new Set(left.map(({ name }) => name));
    for (const link of left) listening.left(session, link);
    const concerned = left.length > 0 || joined.length > 0 || shown(session);
    if (concerned) {
      catalogues.reconfigured(session, gone);
      this.look(session);
    }
    for (const link of joined) listening.opened(session, link);
    for (const link of session.links.values()) {
      if (!credentials.has(link.name) || joined.includes(link)) continue;
      // Another credential may see other things, and be let in where the former was not.
      catalogues.stale(session, link.name, { kinds: KINDS, said: false });
      listening.opened(session, link);
      this.look(session);
    }
    return concerned;
  }

  /** Lists of a session may look otherwise by what configuration says: its client is told now, or as soon as it listens. */
  look(session: LiveSession): void {
    const { listening, listChanges } = this.#options;
    if (listening.reader(session) === undefined) this.#untold.add(session);
    else listChanges.look(session, KINDS);
  }
}
