import { comeBackMs } from '../../shared/come-back.ts';
import { MeshError } from '../../shared/errors.ts';
import type { Load } from '../../shared/overload/monitor.ts';
import type { Caller } from '../identity/caller.ts';
import type { RecordKey } from '../store/session-store.ts';
import type { AuditAction, AuditEvent } from './audit.ts';
import { FairGate, partyOf } from './fair-gate.ts';
import { LeaseRenewals } from './lease-renewals.ts';
import { LiveSession, type SessionEnvironment } from './live-session.ts';
import { adminName, type RecordNames } from './record-names.ts';
import { Restorer } from './restorer.ts';
import { newSessionId, parseSessionId, type SessionId } from './session-id.ts';
import type { SessionObserver } from './session-observer.ts';
import type { SessionBody, SessionSummary } from './session-record.ts';
import type { SessionState } from './session-state.ts';
import { TokenBuckets } from './token-buckets.ts';

/** How often the manager looks after what no request does. */
const TICK_MS = 1_000;
/** A listening client counts as activity; its session is touched this often, or thrice in its idle time. */
const LISTENING_TOUCH_MS = 10_000;
/** A session of another replica that was touched within this time is not idle. */
const RECENTLY_MS = 60_000;
/** Wrong session ids from one caller. */
const MISSES = { perMinute: 600, burst: 300 };
/** Requests that may wait for their sessions to be restored. */
const MOST_WAITING = 10_000;
/** When there are too many, this share of the live sessions goes at once beside those; */
const EVICT_SHARE = 0.05;
/** when the process is short of memory, this one, and again as long as it is. */
const SHRINK_SHARE = 0.2;

export interface ManagerLimits {
  readonly liveSessions: number;
  /** What the live sessions may hold together, as estimated, in bytes. */
  readonly liveBytes: number;
  /** How long a request waits for its session's turn to be restored, and how long for the restore itself, in milliseconds. */
  readonly restoreDeadlineMs: number;
  /** Sessions that are restored at once. */
  readonly restoresAtOnce: number;
  readonly sessionsPerPrincipal: number;
  readonly anonymousPerSidecar: number;
  readonly initializePerMinute: number;
  readonly initializeBurst: number;
  readonly sessionIdleMs: number;
}

export interface ManagerOptions {
  readonly env: SessionEnvironment;
  readonly names: RecordNames;
  readonly limits: ManagerLimits;
  readonly observer: SessionObserver;
  /** Absent, there is always room for more. */
  readonly load?: Load | undefined;
  /** A session has ended for good; the sidecars forget what they keep for it. */
  readonly onEnded: (sessionId: string) => void;
  /** A session is live here from now on. */
  readonly onKept?: (session: LiveSession) => void;
  /** Whether a sidecar answers for this session without asking. */
  readonly granted?: (session: LiveSession) => boolean;
}

/** The live sessions of one replica: made, found, restored, evicted and ended. */
export class SessionManager {
  readonly #options: ManagerOptions;
  readonly #env: SessionEnvironment;
  readonly #restorer: Restorer;
  readonly #live = new Map<string, LiveSession>();
  readonly #byRecord = new Map<string, LiveSession>();
  readonly #weights = new Map<LiveSession, number>();
  #bytes = 0;
  /** Taken over by other replicas, with calls of waiting clients in flight here. */
  readonly #finishing = new Map<string, LiveSession>();
  readonly #flights = new Map<string, Promise<LiveSession | undefined>>();
  readonly #anonymous = new Map<string, Set<LiveSession>>();
  readonly #misses: TokenBuckets;
  readonly #initializes: TokenBuckets;
  readonly #restores: FairGate;
  readonly #leases: LeaseRenewals;
  readonly #stopWatching: () => void;
  #stopTicking: () => void;

  constructor(options: ManagerOptions) {
    const { env, limits } = options;
    this.#options = options;
    this.#env = env;
    this.#restorer = new Restorer(options);
    this.#misses = new TokenBuckets(MISSES, env.clock);
    const initializes = {
      get perMinute() {
        return limits.initializePerMinute;
      },
      get burst() {
        return limits.initializeBurst;
      },
    };
    this.#initializes = new TokenBuckets(initializes, env.clock);
    const restores = {
      get atOnce() {
        return limits.restoresAtOnce;
      },
      perSecond: Number.POSITIVE_INFINITY,
      queue: MOST_WAITING,
      get waitMs() {
        return limits.restoreDeadlineMs;
      },
    };
    this.#restores = new FairGate({ rules: restores, clock: env.clock, refuse: tooManyRestores });
    this.#leases = new LeaseRenewals(env.clock, env.limits.leaseMs);
    this.#stopWatching = env.store.watch((name) => this.#invalidated(name));
    this.#stopTicking = env.clock.after(TICK_MS, () => this.#tick());
  }

  get size(): number {
    return this.#live.size;
  }

  /** Requests that wait until their sessions' turns to be restored. */
  get restoresWaiting(): number {
    return this.#restores.waiting;
  }

  get restoresUnderway(): number {
    return this.#restores.running;
  }

  sessions(): Iterable<LiveSession> {
    return this.#live.values();
  }

  /** Starts a session for this caller: refused by rate and caps, else alive in memory until `adopt` makes it real. */
  async begin(caller: Caller, make: { body: SessionBody; summary: SessionSummary }): Promise<LiveSession> {
    await this.#admit(caller);
    const id = newSessionId();
    return new LiveSession(this.#env, {
      id,
      key: this.#options.names.key(caller, id),
      bindingKey: caller.bindingKey,
      ...make,
    });
  }

  /** Writes the record; from here on every replica can serve the session. On a failure nothing of it is left. */
  async adopt(session: LiveSession, caller: Caller): Promise<void> {
    try {
      await session.publish(this.#options.names.witness(caller, session.id));
    } catch (thrown) {
      session.close(caller);
      throw thrown;
    }
    this.#keep(session);
    if (caller.kind === 'anonymous') this.#countAnonymous(caller.node, session);
    this.#options.observer.created(session.adminName);
    this.#decided('session.create', 'allowed', { caller, session: session.adminName });
  }

  /**
   * The session that this caller names, restored if need be.
   * Rejects with `session_not_found`, `unauthenticated` (a request without a token
   * for a bound session), `session_busy`, `store_unavailable` or `rate_limited`.
   */
  acquire(caller: Caller, sessionId: string): LiveSession | Promise<LiveSession> {
    const live = this.#own(caller, sessionId);
    if (live?.leaseValid !== true) return this.#regain(caller, sessionId, live);
    this.#leases.used(live);
    live.lastUsedAt = this.#env.clock.now();
    return live;
  }

  async #regain(caller: Caller, sessionId: string, live: LiveSession | undefined): Promise<LiveSession> {
    await live?.touch();
    if (live?.leaseValid === true) {
      live.lastUsedAt = this.#env.clock.now();
      return live;
    }
    const id = parseSessionId(sessionId);
    if (id === undefined) throw notFound();
    const session = await this.#restore(caller, id);
    return session ?? (await this.#miss(caller, id));
  }

  /** What this replica holds of the caller's session without asking the store: the live one, and one that another replica has taken over, with calls in flight here. */
  holding(
    caller: Caller,
    sessionId: string,
  ): { readonly live: LiveSession | undefined; readonly finishing: LiveSession | undefined } {
    const finishing = this.#finishing.get(sessionId);
    return {
      live: this.#own(caller, sessionId),
      finishing: finishing?.bindingKey === caller.bindingKey ? finishing : undefined,
    };
  }

  /** Ends the caller's session everywhere. Its record goes first, so that nothing restores it. */
  async terminate(caller: Caller, sessionId: string): Promise<void> {
    const id = parseSessionId(sessionId);
    if (id === undefined) throw notFound();
    await this.#flights.get(flightKey(caller, id))?.catch(ignore);
    const live = this.#own(caller, sessionId);
    // Where another replica has taken it over, the record knows the newer backend sessions.
    if (live !== undefined && !live.leaseValid) await live.touch();
    const session = this.#own(caller, sessionId) ?? (await this.#restorer.peek(caller, id));
    if (session === undefined || !(await this.#env.store.close(session.key))) {
      this.#own(caller, sessionId)?.close(undefined);
      session?.disconnect();
      await this.#miss(caller, id);
      return;
    }
    this.#decided('session.terminate', 'allowed', { caller, session: session.adminName });
    // A restore may have come in between; what it made is the newest.
    (this.#own(caller, sessionId) ?? session).close(caller);
    this.#options.onEnded(sessionId);
  }

  /** The session that admins know by this name, if it lives here. */
  named(adminName: string): LiveSession | undefined {
    for (const session of this.#live.values()) if (session.adminName === adminName) return session;
    return undefined;
  }

  /** Ends a session everywhere, in nobody's name: backends hear of it where their credential is nobody's. False: there was none. */
  async end(key: RecordKey): Promise<boolean> {
    const ended = await this.#env.store.close(key);
    const live = this.#byRecord.get(key.name);
    live?.close(undefined);
    if (live !== undefined) this.#options.onEnded(live.id.text);
    return ended;
  }

  /** Writes what is unsaved and frees everything, without ending any session. */
  async stop(): Promise<void> {
    this.#stopTicking();
    this.#leases.stop();
    this.#stopWatching();
    await Promise.allSettled(this.#flights.values());
    const sessions = [...this.#live.values()];
    await Promise.allSettled(sessions.map((session) => session.saved()));
    for (const session of sessions) session.evict();
    for (const session of this.#finishing.values()) session.disconnect();
  }

  /** For `SessionHandlers.ended`: calls are in flight until `finished`. */
  finish(session: LiveSession, finished: Promise<void>): void {
    const { text } = session.id;
    this.#finishing.set(text, session);
    // What came to the new owner while this one had not heard of it.
    void session.heedCancellations();
    void finished.finally(() => {
      if (this.#finishing.get(text) === session) this.#finishing.delete(text);
    });
  }

  /** For `SessionHandlers.ended`: the memory of a session is free. */
  forget(session: LiveSession, state: SessionState): void {
    if (this.#live.get(session.id.text) === session) this.#live.delete(session.id.text);
    if (this.#byRecord.get(session.key.name) === session) this.#byRecord.delete(session.key.name);
    this.#bytes -= this.#weights.get(session) ?? 0;
    this.#weights.delete(session);
    for (const sessions of this.#anonymous.values()) sessions.delete(session);
    if (state === 'fenced' || state === 'evicted' || state === 'closed') {
      this.#options.observer.ended(session.adminName, state);
    }
  }

  #decided(
    action: AuditAction,
    outcome: AuditEvent['outcome'],
    about: Pick<AuditEvent, 'caller' | 'session' | 'reason'>,
  ): void {
    this.#options.observer.decided({ action, outcome, ...about });
  }

  #own(caller: Caller, sessionId: string): LiveSession | undefined {
    const live = this.#live.get(sessionId);
    return live?.bindingKey === caller.bindingKey && live.state === 'live' ? live : undefined;
  }

  #keep(session: LiveSession): void {
    // An owner too slow to renew its lease was taken over by its own replica.
    this.#live.get(session.id.text)?.fence();
    this.#live.set(session.id.text, session);
    this.#byRecord.set(session.key.name, session);
    this.#weights.set(session, session.weight);
    this.#bytes += session.weight;
    this.#options.onKept?.(session);
    if (this.#excess > 0) setImmediate(() => this.#evict());
  }

  /** How many sessions there are too many, by count or by their average weight. */
  get #excess(): number {
    const { liveSessions, liveBytes } = this.#options.limits;
    const average = this.#bytes / Math.max(1, this.#weights.size);
    const heavy = this.#bytes > liveBytes ? (this.#bytes - liveBytes) / average : 0;
    return Math.ceil(Math.max(this.#live.size - liveSessions, heavy));
  }

  /** Joins or leads the one restore of this session here; whoever leaves cancels nobody. */
  #restore(caller: Caller, id: SessionId): Promise<LiveSession | undefined> {
    const key = flightKey(caller, id);
    const running = this.#flights.get(key);
    if (running !== undefined) return running;
    if (this.#options.load?.shrinking === true) return Promise.reject(this.#options.load.refuse('restore'));
    const flight = this.#restores
      .run(partyOf(caller), () => this.#bounded(this.#lead(caller, id)))
      .finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }

  /** A restore that takes longer is not waited for; what it brings serves the next request. */
  async #bounded<T>(restore: Promise<T>): Promise<T> {
    let stop = () => {};
    const late = new Promise<never>((_, reject) => {
      stop = this.#env.clock.after(this.#options.limits.restoreDeadlineMs, () => reject(tooLate()));
    });
    try {
      return await Promise.race([restore, late]);
    } finally {
      stop();
    }
  }

  async #lead(caller: Caller, id: SessionId): Promise<LiveSession | undefined> {
    const { observer } = this.#options;
    const started = this.#env.clock.now();
    try {
      const session = await this.#restorer.restore(caller, id);
      if (session !== undefined) {
        this.#keep(session);
        this.#decided('session.restore', 'allowed', { caller, session: session.adminName });
      }
      observer.restored(session === undefined ? 'not_found' : 'ok', this.#env.clock.now() - started);
      return session;
    } catch (thrown) {
      const busy = thrown instanceof MeshError && thrown.reason === 'session_busy';
      observer.restored(busy ? 'busy' : 'unavailable', this.#env.clock.now() - started);
      throw thrown;
    }
  }

  /** The caller has no such session. If the id is whole and another's, that is recorded; the answer is the same. */
  async #miss(caller: Caller, id: SessionId): Promise<never> {
    const wait = this.#misses.take(caller.kind === 'anonymous' ? `node ${caller.node}` : caller.bindingKey);
    for (const witness of this.#options.names.witnesses(caller, id)) {
      const binding = await this.#env.store.witness(witness.id);
      if (binding === null || binding === witness.binding) continue;
      this.#options.observer.mismatched(caller.kind);
      this.#decided('session.use', 'denied', { caller, reason: 'binding_mismatch' });
      if (caller.kind === 'anonymous') throw new MeshError('unauthenticated', 'This session needs a token.');
    }
    if (wait > 0)
      throw new MeshError('rate_limited', 'Too many requests for unknown sessions.', { retryAfterMs: wait });
    throw notFound();
  }

  async #admit(caller: Caller): Promise<void> {
    try {
      await this.#admitted(caller);
    } catch (thrown) {
      const { reason } = MeshError.from(thrown);
      this.#decided('session.create', 'denied', { caller, reason });
      throw thrown;
    }
  }

  async #admitted(caller: Caller): Promise<void> {
    const { limits, load } = this.#options;
    if (load?.shrinking === true) throw load.refuse('session');
    const wait = this.#initializes.take(
      caller.kind === 'anonymous' ? `node ${caller.node}` : caller.bindingKey,
    );
    if (wait > 0) throw new MeshError('rate_limited', 'Too many new sessions.', { retryAfterMs: wait });
    if (this.#live.size > limits.liveSessions * 1.1 || this.#bytes > limits.liveBytes * 1.1) {
      throw new MeshError('overloaded', 'This replica serves as many sessions as it can.', {
        retryAfterMs: 1_000,
      });
    }
    if (caller.kind === 'anonymous') this.#admitAnonymous(caller.node);
    else await this.#admitPrincipal(caller);
  }

  /** One more session of a principal may cost its oldest idle one. */
  async #admitPrincipal(caller: Caller): Promise<void> {
    const { store } = this.#env;
    const { principal } = this.#options.names.key(caller, newSessionId());
    const sessions = await store.listPrincipal(principal);
    const excess = sessions.length + 1 - this.#options.limits.sessionsPerPrincipal;
    if (excess <= 0) return;
    const now = await store.now();
    const idle: string[] = [];
    for (const { name, touchedAt } of sessions) {
      if (idle.length < excess && (await this.#isIdle(name, now - touchedAt))) idle.push(name);
    }
    if (idle.length < excess) throw tooMany();
    await Promise.all(
      idle.map(async (name) => {
        await store.close({ principal, name });
        this.#decided('session.terminate', 'allowed', {
          session: adminName({ name }),
          reason: 'too_many_sessions',
        });
        this.#byRecord.get(name)?.close(caller);
      }),
    );
  }

  async #isIdle(name: string, untouchedMs: number): Promise<boolean> {
    const live = this.#byRecord.get(name);
    // Another replica may serve it by now.
    if (live !== undefined && !live.leaseValid) await live.touch();
    return live?.state === 'live' ? !live.busy : untouchedMs > RECENTLY_MS;
  }

  #admitAnonymous(node: string): void {
    const sessions = this.#anonymous.get(node);
    if (sessions === undefined || sessions.size < this.#options.limits.anonymousPerSidecar) return;
    for (const session of sessions) {
      if (session.busy) continue;
      void this.#env.store.close(session.key).catch(ignore);
      session.close(undefined);
      return;
    }
    throw tooMany();
  }

  #countAnonymous(node: string, session: LiveSession): void {
    const sessions = this.#anonymous.get(node) ?? new Set();
    this.#anonymous.set(node, sessions.add(session));
  }

  #invalidated(name: string | null): void {
    if (name === null) {
      for (const session of this.#live.values()) this.#recheck(session);
    } else {
      const session = this.#byRecord.get(name);
      if (session !== undefined) this.#recheck(session);
    }
    for (const session of this.#finishing.values()) {
      if (name === null || name === session.key.name) void session.heedCancellations();
    }
  }

  /** A hint that the record changed: idle sessions ask the store at their next use, busy ones and those that a sidecar answers for at once. */
  #recheck(session: LiveSession): void {
    session.distrust();
    if (session.busy || this.#options.granted?.(session) === true) void session.touch().catch(ignore);
  }

  #tick(): void {
    const now = this.#env.clock.now();
    const touchAfterMs = Math.min(LISTENING_TOUCH_MS, this.#options.limits.sessionIdleMs / 3);
    for (const session of this.#live.values()) {
      if (session.busy) {
        if (now - session.lastUsedAt > touchAfterMs) {
          session.lastUsedAt = now;
          void session.touch().catch(ignore);
        }
      } else if (now - session.lastUsedAt > this.#options.limits.sessionIdleMs) {
        session.lastUsedAt = now;
        void this.#expire(session).catch(ignore);
      }
    }
    this.#stopTicking = this.#env.clock.after(TICK_MS, () => this.#tick());
  }

  /** Idle for longer than a session may be, as far as this replica knows; the store's clock decides. */
  async #expire(session: LiveSession): Promise<void> {
    const record = await this.#env.store.load(session.key);
    if (record === null) {
      this.#decided('session.expire', 'allowed', { session: session.adminName });
      session.close(undefined);
    } else if (!session.busy && !session.leaseValid) session.evict();
  }

  #evict(): void {
    const excess = this.#excess;
    if (excess > 0) this.#free(excess + Math.ceil(this.#live.size * EVICT_SHARE));
  }

  /** The process is short of memory: a share of the sessions goes, idle ones. Their records stay. */
  shrink(): void {
    this.#free(Math.ceil(this.#live.size * SHRINK_SHARE));
  }

  /** Frees the least recently used sessions; those whose backends cannot be taken up again go last, busy ones not at all. */
  #free(count: number): void {
    const idle = [...this.#live.values()].filter((session) => !session.busy);
    const cost = (session: LiveSession) =>
      [...session.links.values()].every((link) => link.resumable) ? 0 : 1;
    idle.sort((a, b) => cost(a) - cost(b) || a.lastUsedAt - b.lastUsedAt);
    for (const session of idle.slice(0, count)) session.evict();
  }
}

function flightKey(caller: Caller, id: SessionId): string {
  return `${id.text} ${caller.bindingKey}`;
}

function notFound(): MeshError {
  return new MeshError('session_not_found', 'Session not found');
}

function tooLate(): MeshError {
  return new MeshError('unavailable', 'The session could not be restored in time.', { retryAfterMs: 1_000 });
}

function tooManyRestores(): MeshError {
  return new MeshError('overloaded', 'Too many sessions are being restored.', { retryAfterMs: comeBackMs() });
}

function tooMany(): MeshError {
  return new MeshError('too_many_sessions', 'All of your sessions are in use; end one first.', {
    retryAfterMs: 5_000,
  });
}

function ignore(): void {}
