import type { Clock } from '../../shared/clock.ts';
import { notification } from '../../shared/json-rpc/envelope.ts';
import type { Caller } from '../identity/caller.ts';
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
  readonly kinds: Set<ListKind>;
  /** Who said so to clients of this one's context; see `#lastSaid`. */
  readonly voices: Set<string>;
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
  /**
   * When a backend last told any session of an authorization context. It tells one
   * after the other: until it is through nobody reads, so that one read does for all.
   */
  readonly #lastSaid = new Map<string, number>();
  /** The latest announcement of each list. */
  readonly #turns = new WeakMap<LiveSession, Map<string, Promise<void>>>();

  constructor(options: ListChangeOptions) {
    this.#options = options;
  }

  /** This backend says that these lists have changed, to every session that hears it. */
  said(session: LiveSession, backend: string, kinds: readonly ListKind[]): void {
    this.#options.catalogues.stale(session, backend, { kinds, said: true });
    const context = this.#options.listening.reader(session)?.caller.contextDigest;
    if (context === undefined) return;
    const voice = `${backend} ${context}`;
    this.#lastSaid.set(voice, this.#options.clock.now());
    this.#burst(session, kinds).voices.add(voice);
  }

  /** Lists of this backend may have changed, in this session alone as far as anybody knows. */
  mark(session: LiveSession, backend: string, kinds: readonly ListKind[]): void {
    this.#options.catalogues.stale(session, backend, { kinds, said: false });
    this.look(session, kinds);
  }

  /** What is known of these lists may be other than what the client was given. */
  look(session: LiveSession, kinds: readonly ListKind[]): void {
    this.#burst(session, kinds);
  }

  /** In the name of this caller, whose request is being answered, beside whoever listens. */
  compare(session: LiveSession, caller: Caller, kinds: readonly ListKind[]): void {
    if (this.#options.listening.reader(session) !== undefined)
      this.#announce(session, new Set(kinds), caller);
  }

  /** The session left this replica. */
  forget(session: LiveSession): void {
    this.#bursts.get(session)?.cancel();
    this.#over(session);
  }

  #burst(session: LiveSession, kinds: readonly ListKind[]): Burst {
    const { clock } = this.#options;
    const burst = this.#bursts.get(session) ?? {
      kinds: new Set(),
      voices: new Set(),
      since: clock.now(),
      cancel: () => {},
    };
    for (const kind of kinds) burst.kinds.add(kind);
    this.#bursts.set(session, burst);
    this.#wait(session, burst, QUIET_MS);
    return burst;
  }

  /** Until it has been quiet for so long, here and where its backends still tell others. */
  #wait(session: LiveSession, burst: Burst, quietMs: number): void {
    const { clock } = this.#options;
    burst.cancel();
    const atMost = burst.since + AT_MOST_MS - clock.now();
    burst.cancel = clock.after(Math.max(0, Math.min(quietMs, atMost)), () => {
      const now = clock.now();
      const noise = [...burst.voices].map((voice) => (this.#lastSaid.get(voice) ?? 0) + QUIET_MS - now);
      const more = Math.max(0, ...noise);
      if (more > 0 && now < burst.since + AT_MOST_MS) return this.#wait(session, burst, more);
      this.#over(session);
      this.#announce(session, burst.kinds);
    });
  }

  #over(session: LiveSession): void {
    this.#bursts.delete(session);
    if (this.#bursts.size === 0) this.#lastSaid.clear();
  }

  /** Each list by itself, and one announcement of it after the other: two at once would not know what the other tells. */
  #announce(
    session: LiveSession,
    kinds: ReadonlySet<ListKind>,
    caller = this.#options.listening.reader(session)?.caller,
  ): void {
    if (caller === undefined) return;
    const turns = this.#turns.get(session) ?? new Map<string, Promise<void>>();
    this.#turns.set(session, turns);
    for (const method of new Set([...kinds].map((kind) => METHODS[kind]))) {
      const its = [...kinds].filter((kind) => METHODS[kind] === method);
      const before = turns.get(method) ?? Promise.resolve();
      turns.set(
        method,
        before.then(() => this.#tell(session, caller, { method, kinds: its })),
      );
    }
  }

  async #tell(
    session: LiveSession,
    caller: Caller,
    { method, kinds }: { readonly method: string; readonly kinds: readonly ListKind[] },
  ): Promise<void> {
    const { catalogues, listening } = this.#options;
    const versions = new Map<ListKind, string>();
    await Promise.all(
      kinds.map(async (kind) => {
        const version = await catalogues.changed(session, caller, kind);
        if (version !== undefined) versions.set(kind, version);
      }),
    );
    // What the client reads after the announcement is at least as new.
    this.#options.onRead(session);
    const stream = listening.reader(session)?.stream;
    // Whoever listens next is told instead.
    if (stream === undefined || versions.size === 0) return;
    stream.message(notification(method));
    catalogues.told(session, caller, versions);
  }
}
