import {
  ACTIVE_MS,
  type CapabilitySet,
  type Grant,
  type SidecarFrame,
} from '../../shared/rpc/mesh-protocol.ts';
import { GrantTable, type Holder } from './grants.ts';
import { bytesOf, keyOf, SetStore } from './set-store.ts';

/** The home stream, as far as local lists need it. */
export interface CapabilitySource {
  /** Whether its replica lets sidecars answer lists. */
  readonly grants: boolean;
  send(frame: SidecarFrame): void;
  /** The bytes of Authorization registered under this id; undefined for one that is not known. */
  authorizationOf(credential: number): string | undefined;
  /** Lists were answered under this credential: it is not idle. */
  keep(credential: number): void;
}

/** A list request as the edge has checked it. */
export interface ListRequest extends Holder {
  readonly method: string;
}

export interface LocalListsOptions {
  /** How long lists are answered without a word from the replica, in milliseconds. */
  readonly maxStalenessMs?: number;
  /** All sets together, in bytes. */
  readonly maxBytes?: number;
}

const MAX_STALENESS_MS = 300_000;
const MAX_BYTES = 8 * 1024 * 1024;

/**
 * The lists that this sidecar answers by itself: exactly what its home replica
 * granted, to exactly the session and credential that it named, until the grant
 * ends. It counts durations and decides nothing else. Without a home it goes on
 * for as long as the grants and `maxStaleness` last. Under a new home what another
 * one granted rests, and ends for good with the first answer for its session: it
 * counts again only if that home, too, is lost before it has said anything.
 */
export class LocalLists {
  readonly #maxStalenessMs: number;
  readonly #sets: SetStore;
  readonly #grants = new GrantTable();
  /** The home, or the last one. */
  #source: CapabilitySource | undefined;
  #homeless = true;
  /** There may be grants of other homes. */
  #resting = false;
  /** When the replica last said that what it granted holds. */
  #provenAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #answered = 0;

  constructor({ maxStalenessMs = MAX_STALENESS_MS, maxBytes = MAX_BYTES }: LocalListsOptions = {}) {
    this.#maxStalenessMs = maxStalenessMs;
    this.#sets = new SetStore(maxBytes);
  }

  /** What metrics say. */
  get counters(): {
    readonly answered: number;
    readonly grants: number;
    readonly sets: number;
    readonly bytes: number;
  } {
    return {
      answered: this.#answered,
      grants: this.#grants.size,
      sets: this.#sets.size,
      bytes: this.#sets.bytes,
    };
  }

  /** The raw JSON result for a list request without a cursor; undefined where the replica must answer. */
  find(request: ListRequest): Buffer | undefined {
    const granted = this.#grants.find(request);
    if (granted === undefined) return undefined;
    const now = performance.now();
    if (granted.source !== this.#source ? !this.#homeless : now > this.#provenAt + this.#maxStalenessMs)
      return undefined;
    if (now >= granted.until) return undefined;
    const set = this.#sets.get(granted.sets.get(request.method) ?? '');
    if (set === undefined) return undefined;
    set.usedAt = now;
    granted.used = true;
    this.#answered += 1;
    return set.result;
  }

  /** There is a home, which knows nothing yet of what another one granted. */
  adopt(home: CapabilitySource): void {
    for (const granted of this.#grants.all()) {
      if (granted.source === this.#source)
        granted.until = Math.min(granted.until, this.#provenAt + this.#maxStalenessMs);
    }
    this.#source = home;
    this.#homeless = false;
    this.#resting = this.#grants.size > 0;
    this.#sets.forgetUnfinished();
    if (home.grants) home.send({ held: this.#sets.held() });
  }

  /** There is no home. */
  bereft(): void {
    this.#homeless = true;
  }

  /** The stream answered something of this session: what others said of it is over. */
  answeredBy(source: CapabilitySource, sessionId: string | undefined): void {
    if (this.#resting && source === this.#source && sessionId !== undefined)
      this.#grants.endForeign(sessionId, source);
  }

  set(source: CapabilitySource, piece: CapabilitySet): void {
    if (source !== this.#source) return;
    const objection = this.#sets.take(piece, performance.now());
    if (objection === 'unfinished') return;
    this.#start();
    if (objection === undefined) source.send({ ack: { set: piece.set } });
    else source.send({ nack: { set: piece.set, reason: objection } });
  }

  grant(source: CapabilitySource, { sessionId, credential, sets, validForMs }: Grant): void {
    const authorization = credential === 0 ? undefined : source.authorizationOf(credential);
    if (credential !== 0 && authorization === undefined) return;
    const holder = { sessionId, authorization };
    const before = this.#grants.find(holder);
    if (source !== this.#source && before?.source !== source) return;
    // What a former home says of its own grants can only narrow them.
    if (validForMs === 0 || source !== this.#source) return this.#grants.delete(holder);
    const now = performance.now();
    this.#provenAt = now;
    const named = new Map(Object.entries(sets).map(([method, set]) => [method, keyOf(set)]));
    const used = before?.used ?? false;
    this.#grants.set(holder, { sets: named, until: now + validForMs, source, credential, used });
    this.#start();
    for (const key of named.values()) {
      const set = this.#sets.get(key);
      if (set !== undefined) set.usedAt = now;
      else source.send({ nack: { set: bytesOf(key), reason: 'gone' } });
    }
  }

  bookmark(source: CapabilitySource): void {
    if (source === this.#source) this.#provenAt = performance.now();
  }

  /** Whoever says so: what has ended has ended. */
  sessionEnded(sessionId: string): void {
    this.#grants.endSession(sessionId);
  }

  /** The bearer was refused, revoked or forgotten. */
  credentialEnded(authorization: string): void {
    this.#grants.endCredential(authorization);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#grants.clear();
  }

  #start(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#tick(), ACTIVE_MS);
    this.#timer.unref();
  }

  /** Reports what was used, and lets go of what nobody can use. */
  #tick(): void {
    const { sessions, credentials } = this.#grants.takeUsed(this.#source);
    for (const credential of credentials) this.#source?.keep(credential);
    if (sessions.length > 0) this.#source?.send({ active: { sessions } });
    const now = performance.now();
    this.#grants.sweep(now);
    for (const { sets } of this.#grants.all()) {
      for (const key of sets.values()) {
        const set = this.#sets.get(key);
        if (set !== undefined) set.usedAt = now;
      }
    }
    this.#sets.sweep(now - this.#maxStalenessMs);
    if (this.#grants.size > 0 || this.#sets.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
