/** What may be answered to one session under one credential. */
export interface Granted {
  /** The keys of sets by the method of the list. */
  readonly sets: ReadonlyMap<string, string>;
  /** On the monotonic clock, in milliseconds. */
  until: number;
  /** The stream that granted it. */
  readonly source: object;
  /** The credential's id on the stream that granted it; 0: none. */
  readonly credential: number;
  /** Lists were answered since that was last reported. */
  used: boolean;
}

/** To whom something is granted: exactly this session id, and exactly these bytes of Authorization. */
export interface Holder {
  readonly sessionId: string;
  /** Undefined: requests without one. */
  readonly authorization: string | undefined;
}

/** Beyond this many the oldest goes. */
const MAX_GRANTS = 10_000;
const ANONYMOUS = '';

/** The grants of one sidecar. Finding one takes the session and the credential, both to the byte. */
export class GrantTable {
  readonly #sessions = new Map<string, Map<string, Granted>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  find({ sessionId, authorization }: Holder): Granted | undefined {
    return this.#sessions.get(sessionId)?.get(authorization ?? ANONYMOUS);
  }

  set({ sessionId, authorization }: Holder, granted: Granted): void {
    this.#delete(sessionId, authorization ?? ANONYMOUS);
    const grants = this.#sessions.get(sessionId) ?? new Map<string, Granted>();
    this.#sessions.set(sessionId, grants.set(authorization ?? ANONYMOUS, granted));
    this.#size += 1;
    if (this.#size > MAX_GRANTS) this.#dropOldest();
  }

  delete({ sessionId, authorization }: Holder): void {
    this.#delete(sessionId, authorization ?? ANONYMOUS);
  }

  endSession(sessionId: string): void {
    this.#size -= this.#sessions.get(sessionId)?.size ?? 0;
    this.#sessions.delete(sessionId);
  }

  endCredential(authorization: string): void {
    for (const sessionId of [...this.#sessions.keys()]) this.#delete(sessionId, authorization);
  }

  /** Ends what other streams granted of this session. */
  endForeign(sessionId: string, source: object): void {
    for (const [authorization, granted] of this.#sessions.get(sessionId) ?? []) {
      if (granted.source !== source) this.#delete(sessionId, authorization);
    }
  }

  *all(): Generator<Granted> {
    for (const grants of this.#sessions.values()) yield* grants.values();
  }

  clear(): void {
    this.#sessions.clear();
    this.#size = 0;
  }

  /** Drops what has run out. */
  sweep(now: number): void {
    for (const [sessionId, grants] of [...this.#sessions]) {
      for (const [authorization, { until }] of [...grants]) {
        if (until <= now) this.#delete(sessionId, authorization);
      }
    }
  }

  /** What was used since this was last asked, and the credentials of this stream among it. */
  takeUsed(source: object | undefined): { readonly sessions: string[]; readonly credentials: Set<number> } {
    const sessions: string[] = [];
    const credentials = new Set<number>();
    for (const [sessionId, grants] of this.#sessions) {
      const used = [...grants.values()].filter((granted) => granted.used);
      if (used.length > 0) sessions.push(sessionId);
      for (const granted of used) {
        granted.used = false;
        if (granted.source === source) credentials.add(granted.credential);
      }
    }
    return { sessions, credentials };
  }

  #delete(sessionId: string, authorization: string): void {
    const grants = this.#sessions.get(sessionId);
    if (grants?.delete(authorization) !== true) return;
    this.#size -= 1;
    if (grants.size === 0) this.#sessions.delete(sessionId);
  }

  #dropOldest(): void {
    for (const sessionId of this.#sessions.keys()) {
      this.endSession(sessionId);
      return;
    }
  }
}
