import { randomUUID } from 'node:crypto';
import { ChurningMap } from '../../shared/churning.ts';
import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import type { Message } from '../../shared/json-rpc/message.ts';
import type { BackendHint, BackendSession } from '../backend/backend.ts';
import type { Credential } from '../credentials/strategy.ts';
import type { Caller } from '../identity/caller.ts';
import {
  RECORD_SCHEMA,
  type RecordHeader,
  type RecordKey,
  type SessionStore,
  type UpdateOutcome,
} from '../store/session-store.ts';
import { BackendLink, type LinkEnd, REQUEST_IDS_PER_OWNER, type ReachableBackend } from './backend-link.ts';
import type { ClientStream } from './client-stream.ts';
import { EventLog } from './event-log.ts';
import { type LinkOwner, SessionLinkOptions } from './link-options.ts';
import type { RecordCrypto, SessionPurpose } from './record-crypto.ts';
import { adminName } from './record-names.ts';
import type { SessionId } from './session-id.ts';
import { type Arrangement, type LinkPlan, SessionLinks } from './session-links.ts';
import { fitting, parseBody, type SessionBody, type SessionSummary } from './session-record.ts';
import { type SessionEvent, type SessionState, transition } from './session-state.ts';

const SAVE_ATTEMPTS = 3;
/** Estimates, without the lists: a session, and each of its backends. */
const SESSION_BYTES = 12 * 1024;
const LINK_BYTES = 4 * 1024;
/** Whoever takes a session over looks long before. */
const NOTE_TTL_MS = 5 * 60_000;

export interface SessionLimits {
  readonly sessionIdleMs: number;
  readonly sessionAbsoluteMs: number;
  /** How long an owner may serve without asking the store. */
  readonly leaseMs: number;
}

/** What a live session is built with; the same for all sessions of a replica. */
export interface SessionEnvironment {
  readonly replica: string;
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly crypto: RecordCrypto;
  readonly limits: SessionLimits;
  /** The configured ones, as they are now. */
  readonly backends: ReadonlyMap<string, ReachableBackend>;
  /** The backends that configuration means a session to have now. What fails has no say in it. */
  readonly desired: (body: Pick<SessionBody, 'virtualServer' | 'desired'>) => readonly string[];
  /** Bounds one handshake with a backend, in milliseconds. */
  readonly initializeTimeoutMs: (backend: string) => number;
  /** The part of the client's initialize params that backends get. */
  readonly cutParams: (initializeParams: string) => Uint8Array;
  readonly handlers: SessionHandlers;
}

/** What the message path does with what happens in a session. */
export interface SessionHandlers {
  backendMessage(session: LiveSession, link: BackendLink, message: Message): void;
  backendOpened(session: LiveSession, link: BackendLink): void;
  /** Replays level and subscriptions to a backend session that was made afresh. Never rejects. */
  prepareBackend(
    session: LiveSession,
    target: { backend: BackendSession; name: string; credential: Credential },
  ): Promise<void>;
  /**
   * The session left this replica's memory; what it still owes is to be answered.
   * A promise asks to keep its backend sessions connected until calls in flight are answered.
   */
  ended(session: LiveSession, state: SessionState): Promise<void> | void;
}

/** A request of the client that runs at a backend. */
export interface ActiveCall {
  readonly method: string;
  /** The client's raw JSON-RPC id. */
  readonly id: Buffer;
  readonly requestId: string;
  readonly stream: ClientStream;
  /** Stops it: the backend is told, no answer follows. */
  cancel(reason: string | undefined): void;
  /** The session is not this replica's any more; `pieces` is the error as an answer. */
  abandon(error: MeshError, pieces: readonly Uint8Array[]): void;
}

export interface LiveSessionOptions {
  readonly id: SessionId;
  readonly key: RecordKey;
  readonly bindingKey: string;
  readonly body: SessionBody;
  readonly summary: SessionSummary;
  /** Absent for a session that is being made. */
  readonly header?: RecordHeader;
}

/** A session in the memory of the replica that serves it. It holds no credential of any caller. */
export class LiveSession {
  readonly id: SessionId;
  readonly key: RecordKey;
  readonly bindingKey: string;
  readonly summary: SessionSummary;
  /** Its record was written under another configuration of its backends. */
  readonly rearranged: boolean;
  readonly events: EventLog;
  /** By raw JSON-RPC id of the client. */
  readonly calls = new ChurningMap<string, ActiveCall>();
  /** Streams that may still be resumed or are being read, by their id. */
  readonly streams = new ChurningMap<string, ClientStream>();
  lastUsedAt: number;
  readonly #env: SessionEnvironment;
  readonly #links: SessionLinks;
  #state: SessionState;
  #header: RecordHeader;
  #body: SessionBody;
  #leaseUntil = 0;
  #touching: Promise<void> | undefined;
  #saving: Promise<void> | undefined;
  #dirty = false;
  #streamCount = 0;
  /** The client's parameters as backends get them. */
  #owner: LinkOwner | undefined;

  constructor(env: SessionEnvironment, options: LiveSessionOptions) {
    this.#env = env;
    this.id = options.id;
    this.key = options.key;
    this.bindingKey = options.bindingKey;
    this.summary = options.summary;
    const desired = env.desired(options.body);
    this.rearranged = desired.join() !== options.body.desired.join();
    this.#body = { ...options.body, desired };
    this.#header = options.header ?? UNBORN;
    this.#state = options.header === undefined ? 'starting' : 'live';
    this.lastUsedAt = env.clock.now();
    this.events = new EventLog({
      store: env.store,
      key: this.key,
      keys: this.sessionKeys('events'),
      epoch: () => this.#header.epoch,
      onFenced: () => this.fence(),
    });
    this.#links = new SessionLinks(env.backends, (plan) => this.#link(plan));
    this.#links.open(this.#body.desired, this.#body.hints);
  }

  /** By name, in the order of the desired backends. */
  get links(): ReadonlyMap<string, BackendLink> {
    return this.#links.present;
  }

  /** The link through which this very backend session is had, if only for calls under way. */
  linkTo(name: string, isTheOne: (backend: BackendSession) => boolean): BackendLink | undefined {
    return this.#links.find(name, isTheOne);
  }

  /** What admins call the session; says nothing about its id. */
  get adminName(): string {
    return adminName(this.key);
  }

  get state(): SessionState {
    return this.#state;
  }

  get body(): SessionBody {
    return this.#body;
  }

  get epoch(): number {
    return this.#header.epoch;
  }

  /** When it ends whatever happens, in milliseconds since the epoch, on the store's clock. */
  get expiresAt(): number {
    return this.#header.expiresAt;
  }

  /** Something runs or listens for a client; eviction leaves the session alone. */
  get busy(): boolean {
    if (this.calls.size > 0) return true;
    for (const stream of this.streams.values()) if (stream.attached) return true;
    return false;
  }

  /** What the session holds in memory, about, in bytes; lists that it shares with others not counted. */
  get weight(): number {
    return SESSION_BYTES + this.links.size * LINK_BYTES + this.#body.initializeParams.length;
  }

  get leaseValid(): boolean {
    return this.#state === 'live' && this.#env.clock.elapsed() < this.#leaseUntil;
  }

  /** When the lease ends, on the clock that nothing sets; in the past where there is none. */
  get leaseUntil(): number {
    return this.#leaseUntil;
  }

  /** A stream name that no other stream of the session has, on any replica. */
  nextStreamId(kind: 'c' | 'g'): string {
    this.#streamCount += 1;
    return `${kind}${this.#header.epoch}-${this.#streamCount}`;
  }

  /** The session's keys for a purpose, the sealing one first. */
  sessionKeys(purpose: SessionPurpose): readonly Uint8Array[] {
    const { crypto } = this.#env;
    return crypto.keyIds.flatMap((keyId) => crypto.sessionKey(this.id.secret, purpose, keyId) ?? []);
  }

  /** Writes the record of a session that is being made. From here on it exists. */
  async publish(witness: { id: string; binding: string }): Promise<void> {
    const { store, replica, crypto, limits, clock } = this.#env;
    const asked = clock.elapsed();
    this.#dirty = false;
    const record = {
      key: this.key,
      owner: replica,
      idleTtlMs: limits.sessionIdleMs,
      absoluteTtlMs: limits.sessionAbsoluteMs,
      schema: RECORD_SCHEMA,
      keyId: crypto.keyId,
      summary: this.#sealedSummary(),
      body: this.#sealedBody(),
      witness,
    };
    const outcome = await retrying((writeId) => store.create({ ...record, writeId }));
    if (outcome.kind === 'exists') throw new MeshError('internal', 'The session could not be created.');
    this.#adopt(outcome.header, asked);
    this.#move('published');
    // A backend that opened while the record was written is not in it.
    if (this.#dirty) this.save();
  }

  /** Slides the idle expiry and renews the lease, or learns that the session is another's or gone. Rejects with `store_unavailable`. */
  touch(): Promise<void> {
    this.#touching ??= this.#touch().finally(() => {
      this.#touching = undefined;
    });
    return this.#touching;
  }

  /** The record may have changed elsewhere: the lease ends, the next use asks the store. */
  distrust(): void {
    this.#leaseUntil = 0;
  }

  /** Changes what the record keeps, and writes it soon. */
  update(change: Partial<SessionBody>): void {
    this.#body = { ...this.#body, ...change };
    this.save();
  }

  /** Writes the record with its present hints. Never rejects; what could not be written is tried again with the next save. */
  save(): void {
    this.#dirty = true;
    if (this.#state === 'live') this.#saving ??= this.#saveAll();
  }

  /** Resolves when everything is written, which it tries once more, or rejects with `store_unavailable`. */
  async saved(): Promise<void> {
    if (this.#dirty && this.#saving === undefined) this.save();
    await this.#saving;
    if (this.#dirty && this.#state === 'live') throw storeUnavailable();
  }

  /** Cancels here what its client has cancelled where the session is served now. Never rejects. */
  async heedCancellations(): Promise<void> {
    const { store, crypto } = this.#env;
    const record = await store.load(this.key).catch(() => null);
    const text = record === null ? undefined : crypto.openBody(this.key.name, this.id.secret, record.body);
    const body = text === undefined ? undefined : parseBody(text);
    for (const { id, epoch, reason } of body?.cancelled ?? []) {
      if (epoch > this.epoch) this.calls.get(id)?.cancel(reason);
    }
  }

  /**
   * Tells whoever takes care of the unanswered requests of backends that these, which
   * this owner passed on, are still answered here. Never rejects.
   */
  async keepRequests(ids: readonly string[]): Promise<void> {
    const { store, crypto } = this.#env;
    const note = noteName(this.key, this.epoch);
    const text = crypto.sealTable(note, JSON.stringify(ids));
    await store.putTable(note, text, NOTE_TTL_MS).catch(ignore);
  }

  /** The requests that the owner of an earlier epoch still takes care of. Rejects with `store_unavailable`. */
  async requestsKept(epoch: number): Promise<readonly string[]> {
    const { store, crypto } = this.#env;
    const note = noteName(this.key, epoch);
    const sealed = await store.getTable(note);
    const text = sealed === null ? undefined : crypto.openTable(note, sealed);
    return text === undefined ? [] : (JSON.parse(text) as string[]);
  }

  /**
   * Follows the configuration: backends join and leave; one that is reached otherwise
   * does both, and keeps its backend session if that is at the same place. `caller` is
   * one who listens now: in whose name a backend that leaves for good may be told.
   */
  reconfigure(caller: Caller | undefined): Arrangement {
    const desired = this.#env.desired(this.#body);
    const arrangement = this.#links.arrange(desired, caller);
    const left = new Set(arrangement.left.map(({ name }) => name));
    const moved = desired.join() !== this.#body.desired.join();
    if (left.size === 0 && arrangement.joined.length === 0 && !moved) return arrangement;
    const stays = (name: string) => !left.has(name);
    const hints = Object.entries(this.#body.hints).filter(([name]) => stays(name));
    this.update({
      desired,
      opened: this.#body.opened.filter(stays),
      hints: Object.fromEntries(hints),
    });
    return arrangement;
  }

  /** Another replica owns the session now: nothing new is served, nothing appended or deleted here. */
  fence(): void {
    this.#leave('fenced', { kind: 'disconnect' });
  }

  /** Frees the memory; the record and the backend sessions stay for whoever restores it. */
  evict(): void {
    this.#leave('evicted', { kind: 'disconnect' });
  }

  /** The session is over for good. The record is deleted by whoever decided that. */
  close(caller: Caller | undefined): void {
    this.#leave('closed', { kind: 'terminate', caller });
  }

  /** Ends what calls in flight have left connected. */
  disconnect(): void {
    this.#end({ kind: 'disconnect' });
  }

  #leave(event: SessionEvent, how: LinkEnd): void {
    if (!this.#move(event)) return;
    this.#leaseUntil = 0;
    const finished = this.#env.handlers.ended(this, this.#state);
    if (finished instanceof Promise) void finished.finally(() => this.#end(how));
    else this.#end(how);
  }

  #end(how: LinkEnd): void {
    this.#links.end(how);
  }

  #move(event: SessionEvent): boolean {
    const next = transition(this.#state, event);
    if (next === undefined) return false;
    this.#state = next;
    return true;
  }

  #adopt(header: RecordHeader, askedAt: number): void {
    this.#header = header;
    this.#leaseUntil = Math.max(this.#leaseUntil, askedAt + this.#env.limits.leaseMs);
  }

  /** A restorer has just written the record as its owner. */
  claimed(header: RecordHeader, askedAt: number): void {
    this.#adopt(header, askedAt);
  }

  async #touch(): Promise<void> {
    const asked = this.#env.clock.elapsed();
    const outcome = await this.#env.store.touch(this.key, this.#header.epoch);
    switch (outcome.kind) {
      case 'ok':
        this.#adopt(
          { ...outcome.header, version: Math.max(outcome.header.version, this.#header.version) },
          asked,
        );
        return;
      case 'fenced':
        this.fence();
        return;
      case 'gone':
        this.close(undefined);
    }
  }

  async #saveAll(): Promise<void> {
    try {
      for (let conflicts = 0; this.#dirty && this.#state === 'live' && conflicts < SAVE_ATTEMPTS; ) {
        this.#dirty = false;
        const asked = this.#env.clock.elapsed();
        const outcome = await retrying((writeId) => this.#write(writeId));
        this.#saw(outcome, asked);
        conflicts = outcome.kind === 'conflict' ? conflicts + 1 : 0;
      }
    } catch {
      // Store failures are counted where they happen; the change stays to be saved.
      this.#dirty = true;
    } finally {
      this.#saving = undefined;
    }
  }

  #write(writeId: string): Promise<UpdateOutcome> {
    const { store, crypto } = this.#env;
    const rewrap =
      this.#header.keyId === crypto.keyId ? {} : { keyId: crypto.keyId, summary: this.#sealedSummary() };
    const { version, epoch } = this.#header;
    return store.update({ key: this.key, version, epoch, writeId, body: this.#sealedBody(), ...rewrap });
  }

  #saw(outcome: UpdateOutcome, askedAt: number): void {
    switch (outcome.kind) {
      case 'ok':
        this.#adopt(outcome.header, askedAt);
        return;
      case 'conflict':
        this.#header = outcome.header;
        this.#dirty = true;
        return;
      case 'fenced':
      case 'too_soon':
        this.fence();
        return;
      case 'gone':
        this.close(undefined);
    }
  }

  #sealedBody(): string {
    const hints: Record<string, BackendHint> = {};
    for (const name of this.#body.desired) {
      const link = this.links.get(name);
      const hint = link === undefined ? this.#body.hints[name] : link.session?.hint;
      if (hint !== undefined) hints[name] = hint;
    }
    const { asked, cancelled } = this.#body;
    const taken = JSON.stringify([asked, cancelled]).length;
    const restarted = this.#restarted();
    return this.#env.crypto.sealBody(
      this.key.name,
      this.id.secret,
      JSON.stringify({ ...this.#body, opened: this.#opened(), restarted, hints: fitting(hints, taken) }),
    );
  }

  #restarted(): string[] | undefined {
    const { desired, restarted = [] } = this.#body;
    const names = desired.filter((name) => this.links.get(name)?.stateLost ?? restarted.includes(name));
    return names.length === 0 ? undefined : names;
  }

  #opened(): string[] {
    return this.#body.desired.filter((name) => this.links.get(name)?.had ?? this.#body.opened.includes(name));
  }

  #sealedSummary(): string {
    return this.#env.crypto.sealSummary(this.key.name, JSON.stringify(this.summary));
  }

  #link({ reachable, hint, before }: LinkPlan): BackendLink {
    const { name } = reachable.backend;
    this.#owner ??= this.#ownLinks();
    return new BackendLink(
      new SessionLinkOptions(this.#owner, reachable, {
        requestIdBase: this.#header.epoch * REQUEST_IDS_PER_OWNER,
        hint,
        had: before?.had ?? this.#body.opened.includes(name),
        stateLost: before?.stateLost ?? this.#body.restarted?.includes(name) ?? false,
      }),
    );
  }

  #ownLinks(): LinkOwner {
    const { handlers, clock, initializeTimeoutMs, cutParams } = this.#env;
    return {
      clock,
      initializeTimeoutMs,
      // Memory of its own: a slice of a shared buffer would keep its neighbours' memory for the session's life.
      initializeParams: new Uint8Array(cutParams(this.#body.initializeParams)),
      prepare: (name, backend, credential) => handlers.prepareBackend(this, { backend, name, credential }),
      opened: (link) => {
        // It opened for calls that it still owed.
        if (this.links.get(link.name) !== link) return;
        this.save();
        handlers.backendOpened(this, link);
      },
      message: (link, message) => handlers.backendMessage(this, link, message),
      changed: () => this.save(),
    };
  }
}

const UNBORN: RecordHeader = {
  version: 0,
  epoch: 1,
  owner: '',
  takenAt: 0,
  expiresAt: 0,
  idleExpiresAt: 0,
  schema: RECORD_SCHEMA,
  keyId: '',
};

/** Beside the routing tables: no epoch guards it, so an owner that is fenced can still write it. */
function noteName({ name }: RecordKey, epoch: number): string {
  return `kept-${name}-${epoch}`;
}

function ignore(): void {}

function storeUnavailable(): MeshError {
  return new MeshError('store_unavailable', 'The session store cannot be written now.', {
    retryAfterMs: 1_000,
  });
}

/** One retry of a write whose outcome is unknown, under the same write id, so that it counts once. */
export async function retrying<T>(write: (writeId: string) => Promise<T>): Promise<T> {
  const writeId = randomUUID();
  try {
    return await write(writeId);
  } catch (thrown) {
    if (!(thrown instanceof MeshError) || thrown.reason !== 'store_unavailable') throw thrown;
    return await write(writeId);
  }
}
