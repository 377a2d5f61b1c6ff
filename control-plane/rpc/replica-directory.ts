import { randomUUID } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import type { RecordCrypto } from '../session/record-crypto.ts';
import type { SessionStore } from '../store/session-store.ts';

/** What a replica tells the others of itself. */
export interface ReplicaState {
  readonly name: string;
  /** Of its gRPC port, `host:port`. */
  readonly address: string;
  readonly version: string;
  readonly state: 'SERVING' | 'DRAINED' | 'NOT_READY';
  /** In milliseconds since the epoch. */
  readonly startedAt: number;
  readonly sessions: number;
  readonly streams: number;
  readonly exchanges: number;
  readonly configDigest: string;
}

/** With the time of its last sign of life, on the store's clock. */
export interface KnownReplica extends ReplicaState {
  readonly beatAt: number;
}

export interface DirectoryOptions {
  readonly store: Pick<SessionStore, 'readVault' | 'writeVault' | 'now'>;
  /** Admins' tokens go to the addresses in the directory: only whoever has the server key can write it. */
  readonly crypto: Pick<RecordCrypto, 'sealTable' | 'openTable'>;
  readonly clock: Clock;
  readonly self: () => ReplicaState;
  /** Whether anybody may ask; nothing is written otherwise. */
  readonly enabled: () => boolean;
}

const ENTRY = 'replicas';
const BEAT_MS = 5_000;
/** A replica that was not heard of for this long is forgotten. */
const FORGOTTEN_MS = 15_000;
/** Others write as well; whoever loses this often is heard with its next beat. */
const ATTEMPTS = 5;

/** The replicas of one store, by their heartbeats: one sealed entry, changed by compare-and-swap. */
export class ReplicaDirectory {
  readonly #options: DirectoryOptions;
  #stopBeating = () => {};
  #beating: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: DirectoryOptions) {
    this.#options = options;
  }

  /** Begins to beat. */
  start(): void {
    // A store that cannot be asked now can be with the next beat.
    if (this.#options.enabled()) this.#beating = this.beat().catch(ignore);
    this.#stopBeating = this.#options.clock.after(BEAT_MS, () => {
      if (!this.#stopped) this.start();
    });
  }

  /** Says now how this replica is. Rejects with `store_unavailable`. */
  async beat(): Promise<void> {
    const now = await this.#options.store.now();
    const self = this.#options.self();
    await this.#change((others) => [...others, { ...self, beatAt: now }], now);
  }

  /** The replicas that were heard of lately, this one as it is now, by name. Rejects with `store_unavailable`. */
  async all(): Promise<readonly KnownReplica[]> {
    const { store } = this.#options;
    const [now, entry] = await Promise.all([store.now(), store.readVault(ENTRY)]);
    const self = { ...this.#options.self(), beatAt: now };
    return [...this.#others(entry?.sealed, now), self].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Leaves the directory. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopBeating();
    await this.#beating;
    const leave = async () => this.#change((others) => others, await this.#options.store.now());
    if (this.#options.enabled()) await leave().catch(ignore);
  }

  async #change(
    next: (others: readonly KnownReplica[]) => readonly KnownReplica[],
    now: number,
  ): Promise<void> {
    const { store, crypto } = this.#options;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const entry = await store.readVault(ENTRY);
      const sealed = crypto.sealTable(ENTRY, JSON.stringify(next(this.#others(entry?.sealed, now))));
      const expected = entry?.version ?? null;
      const write = { id: ENTRY, expected, version: randomUUID(), sealed, ttlMs: FORGOTTEN_MS };
      if (await store.writeVault(write)) return;
    }
  }

  #others(sealed: string | undefined, now: number): readonly KnownReplica[] {
    const text = sealed === undefined ? undefined : this.#options.crypto.openTable(ENTRY, sealed);
    if (text === undefined) return [];
    const { name } = this.#options.self();
    const known = JSON.parse(text) as KnownReplica[];
    return known.filter((each) => each.name !== name && now - each.beatAt < FORGOTTEN_MS);
  }
}

function ignore(): void {}
