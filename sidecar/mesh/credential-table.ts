import { createHash } from 'node:crypto';
import { MeshError } from '../../shared/errors.ts';
import type { SidecarFrame } from '../../shared/rpc/mesh-protocol.ts';

/**
 * The bearers that one stream's replica knows, by the exact bytes of the
 * Authorization header. Nothing else finds them: not the session, not the
 * connection. They are in memory only.
 */

/** A credential registered on a stream. */
export interface Registered {
  readonly id: number;
  readonly authorization: string;
  /** Exchanges open under it. */
  open: number;
  /** The sweep during which it was last used. */
  used: number;
}

/** Sweeps (one a minute) that an unused credential outlives. */
const KEPT_SWEEPS = 5;
export const SWEEP_MS = 60_000;

export class CredentialTable {
  readonly #byAuthorization = new Map<string, Registered>();
  readonly #byId = new Map<number, Registered>();
  /** The one found last: one agent sends the same header again and again, and comparing its bytes costs less than hashing them. */
  #last: Registered | undefined;
  readonly #send: (frame: SidecarFrame, bytes: number) => void;
  readonly #max: number;
  readonly #forgotten: (authorization: string) => void;
  #lastId = 0;
  #sweep = 0;

  /** `forgotten`: the replica does not know this bearer any more. */
  constructor(options: {
    readonly max: number;
    readonly send: (frame: SidecarFrame, bytes: number) => void;
    readonly forgotten: (authorization: string) => void;
  }) {
    this.#max = options.max;
    this.#send = options.send;
    this.#forgotten = options.forgotten;
  }

  get size(): number {
    return this.#byId.size;
  }

  find(authorization: string): Registered | undefined {
    if (this.#last?.authorization === authorization) return this.#last;
    this.#last = this.#byAuthorization.get(authorization);
    return this.#last;
  }

  /** The bearer of an id that is known. */
  authorizationOf(id: number): string | undefined {
    return this.#byId.get(id)?.authorization;
  }

  /** It was used, though no exchange was. */
  keep(id: number): void {
    const registered = this.#byId.get(id);
    if (registered !== undefined) registered.used = this.#sweep;
  }

  /** Registers the bearer; undefined when all of the stream's credentials are in use. */
  register(authorization: string): Registered | undefined {
    if (this.#byId.size >= this.#max && !this.#forgetOldest()) return undefined;
    this.#lastId += 1;
    const registered: Registered = { id: this.#lastId, authorization, open: 0, used: this.#sweep };
    this.#byAuthorization.set(authorization, registered);
    this.#byId.set(registered.id, registered);
    this.#send({ credential: { id: registered.id, authorization } }, authorization.length);
    return registered;
  }

  /** An exchange under it was opened. */
  use(registered: Registered): void {
    registered.open += 1;
  }

  /** An exchange under it is over. */
  release(registered: Registered): void {
    registered.open -= 1;
    registered.used = this.#sweep;
  }

  /** The replica refused or revoked it: forgets it on both sides. Returns what it was. */
  drop(id: number): Registered | undefined {
    const registered = this.#byId.get(id);
    if (registered !== undefined) this.#forget(registered);
    return registered;
  }

  /** Forgets what was not used for five sweeps. */
  sweep(): void {
    this.#sweep += 1;
    for (const registered of this.#byId.values()) {
      if (registered.open === 0 && this.#sweep - registered.used > KEPT_SWEEPS) this.#forget(registered);
    }
  }

  #forgetOldest(): boolean {
    let oldest: Registered | undefined;
    for (const registered of this.#byId.values()) {
      if (registered.open === 0 && registered.used < (oldest?.used ?? Number.POSITIVE_INFINITY))
        oldest = registered;
    }
    if (oldest !== undefined) this.#forget(oldest);
    return oldest !== undefined;
  }

  #forget(registered: Registered): void {
    this.#byId.delete(registered.id);
    if (this.#last === registered) this.#last = undefined;
    if (this.#byAuthorization.get(registered.authorization) === registered) {
      this.#byAuthorization.delete(registered.authorization);
    }
    this.#send({ forget: { id: registered.id } }, 0);
    this.#forgotten(registered.authorization);
  }
}

/** How long a refused bearer is refused here, in milliseconds, and how many are remembered. */
const REMEMBERED_MS = 10_000;
const MAX_REMEMBERED = 1_000;

/** Bearers that were refused a moment ago, by hash, so that a client that insists costs the replicas nothing. */
export class RefusedBearers {
  readonly #refused = new Map<string, { readonly error: MeshError; readonly until: number }>();

  add(authorization: string, detail: string): void {
    if (this.#refused.size >= MAX_REMEMBERED) this.#dropOldest();
    const error = new MeshError('unauthenticated', detail);
    this.#refused.set(digest(authorization), { error, until: performance.now() + REMEMBERED_MS });
  }

  find(authorization: string): MeshError | undefined {
    if (this.#refused.size === 0) return undefined;
    const key = digest(authorization);
    const refused = this.#refused.get(key);
    if (refused === undefined || refused.until > performance.now()) return refused?.error;
    this.#refused.delete(key);
    return undefined;
  }

  #dropOldest(): void {
    for (const key of this.#refused.keys()) {
      this.#refused.delete(key);
      return;
    }
  }
}

function digest(authorization: string): string {
  return createHash('sha256').update(authorization).digest('base64');
}
