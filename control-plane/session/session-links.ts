import type { BackendHint, BackendSession } from '../backend/backend.ts';
import type { Caller } from '../identity/caller.ts';
import type { BackendLink, LinkEnd, ReachableBackend } from './backend-link.ts';

/** What a link is made for; `before` is the one that it replaces. */
export interface LinkPlan {
  readonly reachable: ReachableBackend;
  readonly hint: BackendHint | undefined;
  readonly before: BackendLink | undefined;
}

/** Which links of a session came and which left; a backend that is reached otherwise now is in both. */
export interface Arrangement {
  readonly left: readonly BackendLink[];
  readonly joined: readonly BackendLink[];
}

/**
 * The links of one session to its backends, as configuration has them. One that is
 * out of the configuration takes nothing new and ends when its calls are answered.
 */
export class SessionLinks {
  readonly #backends: ReadonlyMap<string, ReachableBackend>;
  readonly #make: (plan: LinkPlan) => BackendLink;
  readonly #present = new Map<string, BackendLink>();
  /** What each link uses, until it has ended. */
  readonly #held = new Map<BackendLink, ReachableBackend>();

  constructor(backends: ReadonlyMap<string, ReachableBackend>, make: (plan: LinkPlan) => BackendLink) {
    this.#backends = backends;
    this.#make = make;
  }

  /** By name, in the order of the desired backends. One that is desired, but not configured, comes back with its configuration. */
  get present(): ReadonlyMap<string, BackendLink> {
    return this.#present;
  }

  /** The first links, with the backend sessions that the record knows. */
  open(desired: readonly string[], hints: Readonly<Record<string, BackendHint>>): void {
    for (const name of desired) this.#add(name, hints[name], undefined);
  }

  /** The link through which this very backend session is had; that of a backend that leaves still has its own. */
  find(name: string, isTheOne: (backend: BackendSession) => boolean): BackendLink | undefined {
    return [...this.#held.keys()].find(
      (link) => link.name === name && link.session !== undefined && isTheOne(link.session),
    );
  }

  /**
   * One link for each desired backend that is configured. `caller` is one who listens
   * now: in whose name a backend that leaves for good may be told.
   */
  arrange(desired: readonly string[], caller: Caller | undefined): Arrangement {
    const before = new Map(this.#present);
    this.#present.clear();
    for (const name of desired) {
      const link = before.get(name);
      if (link !== undefined && this.#backends.get(name)?.backend === link.backend)
        this.#present.set(name, link);
      else this.#add(name, link && this.#sessionOf(link), link);
    }
    const left = [...before.values()].filter((link) => this.#present.get(link.name) !== link);
    for (const link of left) this.#leave(link, caller);
    return {
      left,
      joined: [...this.#present.values()].filter((link) => before.get(link.name) !== link),
    };
  }

  /** Ends them all, those that leave included. */
  end(how: LinkEnd): void {
    for (const link of [...this.#held.keys()]) this.#end(link, how);
  }

  #add(name: string, hint: BackendHint | undefined, before: BackendLink | undefined): void {
    const reachable = this.#backends.get(name);
    if (reachable === undefined) return;
    const link = this.#make({ reachable, hint, before });
    reachable.hold?.();
    this.#held.set(link, reachable);
    this.#present.set(name, link);
  }

  #leave(link: BackendLink, caller: Caller | undefined): void {
    // Whoever replaces it goes on with the backend session.
    const handedOn = this.#sessionOf(link) !== undefined;
    void link.idle().then(() => {
      if (this.#held.has(link))
        this.#end(link, handedOn ? { kind: 'disconnect' } : { kind: 'terminate', caller });
    });
  }

  #end(link: BackendLink, how: LinkEnd): void {
    const reachable = this.#held.get(link);
    if (reachable === undefined) return;
    this.#held.delete(link);
    void link.end(how).finally(() => reachable.release?.());
  }

  /** The backend session of a link that is replaced, where it can be taken up again. */
  #sessionOf({ name, place, session }: BackendLink): BackendHint | undefined {
    return place !== undefined && this.#backends.get(name)?.place === place ? session?.hint : undefined;
  }
}
