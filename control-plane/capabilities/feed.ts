import type { Clock } from '../../shared/clock.ts';
import { ACTIVE_MS, type Held, type Nack, type ReplicaFrame } from '../../shared/rpc/mesh-protocol.ts';
import type { Caller } from '../identity/caller.ts';
import type { Catalogues } from '../session/catalogues.ts';
import { LIST_METHODS } from '../session/list-reader.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { ListKind } from '../virtual-server/catalogue.ts';
import { headOf, keyOf, listContent, type PreparedSet, prepareSet } from './prepared-set.ts';
import { type PushResult, SetSender, type SetState } from './set-sender.ts';

/** The stream of one sidecar, as far as its feed needs it. */
export interface FeedPort {
  send(frame: ReplicaFrame, bytes: number): void;
  /** Looks again at a credential whose verdict may have aged; `revoked` follows where it is not good any more. */
  recheck(credential: number): void;
}

export interface FeedOptions {
  readonly clock: Clock;
  readonly lists: Pick<Catalogues, 'known'>;
  /** Makes the ids of sets; the same on every replica. */
  readonly key: Uint8Array;
  /** How long a session may be idle, in milliseconds. */
  readonly sessionIdleMs: number;
  readonly port: FeedPort;
  /** The feed grants something of this session from now on, or nothing any more. */
  granting(session: LiveSession, granting: boolean): void;
  /** A sidecar has answered for a list that it was sent. */
  readonly onPush?: (result: PushResult) => void;
  /** A sidecar has all lists of a session as they are now, so long after the first of them changed. */
  readonly onConverged?: (ms: number) => void;
}

/** A list that was answered: to whom, and under which of the stream's credentials. */
export interface AnsweredList {
  readonly session: LiveSession;
  readonly kind: ListKind;
  readonly caller: Caller;
  readonly credential: number;
}

/** How far a sidecar is with one list of one session, for admins. */
export interface SyncView {
  /** The admin's name for the session. */
  readonly session: string;
  readonly list: string;
  readonly state: SetState | 'DISCONNECTED';
  /** Equal for equal content under one context; empty where it is not known now. */
  readonly version: string;
}

/** The lists that one sidecar may answer for one session under one credential. It holds no credential, only what it showed. */
interface Pair {
  readonly session: LiveSession;
  readonly credential: number;
  readonly contextDigest: string;
  /** Of the token, in milliseconds since the epoch. */
  readonly expiresAt: number;
  /** Those that were asked for. */
  readonly kinds: Set<ListKind>;
  /** As they are now, where that is known. */
  sets: Map<ListKind, PreparedSet>;
  /** Until when all of `sets` are known to be current. */
  until: number;
  usedAt: number;
  /** What the sidecar was told last. */
  told: { readonly sets: string; readonly until: number };
}

/** Lists of one session are asked for together, so they are granted together. */
const QUIET_MS = 75;
const BOOKMARK_MS = 15_000;
/** The longest grant. The sidecar has another bound for the time without a replica. */
const GRANT_MS = 300_000;
/** A grant that nobody uses for this long ends. */
const UNUSED_MS = 300_000;
/** A grant is renewed when that gains so much. */
const WORTHWHILE_MS = 60_000;
/** Enough to tell versions apart. */
const VERSION_CHARS = 12;
const NOTHING = { sets: '', until: 0 };

/**
 * What one sidecar may answer by itself, kept true: a grant is narrowed at once
 * when a list may have changed, ends with the session, the token and its use, and
 * is looked over with every bookmark.
 */
export class CapabilityFeed {
  readonly #options: FeedOptions;
  readonly #sender: SetSender;
  /** By session id, then by credential. */
  readonly #pairs = new Map<string, Map<number, Pair>>();
  /** Pairs with a set that the sidecar does not have. */
  readonly #waiting = new Set<Pair>();
  readonly #asked = new Set<Pair>();
  /** Pairs whose sidecar does not have all lists as they are now, and since when, on the monotonic clock. */
  readonly #behind = new Map<Pair, number>();
  #stopQuiet: (() => void) | undefined;
  #stopPass: (() => void) | undefined;
  #closed = false;

  constructor(options: FeedOptions) {
    this.#options = options;
    const { clock, port, onPush } = options;
    this.#sender = new SetSender({
      clock,
      send: (frame, bytes) => port.send(frame, bytes),
      next: () => this.#next(),
      sent: (set) => {
        for (const pair of this.#waiting) if (has(pair, set.key)) this.#grant(pair);
      },
      lost: (key) => {
        for (const pair of this.#all()) if (has(pair, key)) this.#waiting.add(pair);
      },
      ...(onPush === undefined ? {} : { answered: onPush }),
    });
  }

  /** A list was answered by this replica: from now on the sidecar may. */
  listed({ session, kind, caller, credential }: AnsweredList): void {
    const { clock, sessionIdleMs } = this.#options;
    // A short-lived session could run out before its use is reported.
    if (this.#closed || needsProofs(caller) || session.state !== 'live' || sessionIdleMs < 2 * ACTIVE_MS)
      return;
    const pair = this.#pair(session, credential, caller);
    // Nobody had read it before it was asked for: how long that took says nothing of the mesh.
    if (!pair.sets.has(kind)) this.#behind.delete(pair);
    pair.kinds.add(kind);
    pair.usedAt = clock.now();
    this.#asked.add(pair);
    this.#stopQuiet ??= clock.after(QUIET_MS, () => {
      this.#stopQuiet = undefined;
      for (const asked of this.#asked) this.#sync(asked, { again: true });
      this.#asked.clear();
    });
    this.#stopPass ??= clock.after(BOOKMARK_MS, () => this.#pass());
  }

  held(held: Held): void {
    this.#sender.held(held);
  }

  ack(set: Uint8Array): void {
    this.#sender.ack(set);
    const key = keyOf(set);
    for (const pair of this.#behind.keys()) if (has(pair, key)) this.#settle(pair);
  }

  nack(nack: Nack): void {
    this.#sender.nack(nack);
  }

  /** The sidecar answered lists of these sessions: that is their use. Sessions without a grant here are not touched. */
  active(sessionIds: readonly string[]): void {
    const now = this.#options.clock.now();
    for (const id of sessionIds) {
      const pairs = this.#pairs.get(id);
      if (pairs === undefined) continue;
      for (const pair of pairs.values()) pair.usedAt = now;
      for (const { session } of pairs.values()) {
        session.lastUsedAt = now;
        // What it finds ends the grants by itself; a store that cannot be asked changes nothing.
        void session.touch().catch(() => {});
        break;
      }
    }
  }

  /** The sidecar or the verifier let go of a credential; both know that its grants end with it. */
  forget(credential: number): void {
    for (const pair of this.#all()) if (pair.credential === credential) this.#drop(pair);
  }

  /** A credential does not count any more, and the sidecar need not know. */
  withdraw(credential: number): void {
    for (const pair of [...this.#all()]) if (pair.credential === credential) this.#end(pair);
  }

  /** These lists may have changed: requests for them come here from now on. */
  stale(session: LiveSession, kinds: readonly ListKind[]): void {
    for (const pair of this.#of(session)) {
      for (const kind of kinds)
        if (pair.sets.delete(kind) && !this.#behind.has(pair))
          this.#behind.set(pair, this.#options.clock.elapsed());
      this.#grant(pair);
    }
  }

  /** The session's lists were read again: what is known goes out now. */
  read(session: LiveSession): void {
    for (const pair of this.#of(session)) this.#sync(pair);
  }

  /** The session left this replica. */
  ended(session: LiveSession): void {
    for (const pair of this.#of(session)) this.#end(pair);
  }

  sync(connected: boolean): readonly SyncView[] {
    return [...this.#all()].flatMap(({ session, kinds, sets }) =>
      [...kinds].map((kind) => {
        const set = sets.get(kind);
        const state = set === undefined ? 'STALE' : this.#sender.state(set);
        return {
          session: session.adminName,
          list: LIST_METHODS[kind],
          state: connected ? state : 'DISCONNECTED',
          version: set?.key.slice(0, VERSION_CHARS) ?? '',
        };
      }),
    );
  }

  /** The stream is over. */
  close(): void {
    this.#closed = true;
    this.#stopQuiet?.();
    this.#stopPass?.();
    this.#sender.close();
    for (const pair of [...this.#all()]) this.#drop(pair);
  }

  *#all(): Generator<Pair> {
    for (const pairs of this.#pairs.values()) yield* pairs.values();
  }

  #of(session: LiveSession): Pair[] {
    const pairs = this.#pairs.get(session.id.text)?.values() ?? [];
    return [...pairs].filter((pair) => pair.session === session);
  }

  #pair(session: LiveSession, credential: number, caller: Caller): Pair {
    const pairs = this.#pairs.get(session.id.text) ?? new Map<number, Pair>();
    this.#pairs.set(session.id.text, pairs);
    const known = pairs.get(credential);
    if (known?.session === session) return known;
    if (known !== undefined) this.#options.granting(known.session, false);
    const pair: Pair = {
      session,
      credential,
      contextDigest: caller.contextDigest,
      expiresAt: caller.kind === 'identified' ? caller.expiresAt : Number.POSITIVE_INFINITY,
      kinds: new Set(),
      sets: new Map(),
      until: 0,
      usedAt: 0,
      told: NOTHING,
    };
    pairs.set(credential, pair);
    this.#options.granting(session, true);
    return pair;
  }

  /** Finds out what is current, sends what the sidecar lacks, and says what it may answer. `again`: although it was told. */
  #sync(pair: Pair, { again = false } = {}): void {
    if (this.#pairs.get(pair.session.id.text)?.get(pair.credential) !== pair) return;
    this.#look(pair);
    this.#waiting.add(pair);
    this.#sender.pump();
    this.#grant(pair, again);
    this.#settle(pair);
  }

  /** Whether its sidecar has caught up. */
  #settle(pair: Pair): void {
    const since = this.#behind.get(pair);
    if (since === undefined) return;
    for (const kind of pair.kinds) {
      const set = pair.sets.get(kind);
      if (set === undefined || this.#sender.state(set) !== 'SYNCED') return;
    }
    this.#behind.delete(pair);
    this.#options.onConverged?.(this.#options.clock.elapsed() - since);
  }

  #look(pair: Pair): void {
    const { clock, lists, sessionIdleMs } = this.#options;
    const { session } = pair;
    const now = clock.now();
    const sets = new Map<ListKind, PreparedSet>();
    let until = Math.min(
      now + GRANT_MS,
      pair.expiresAt,
      session.expiresAt,
      session.lastUsedAt + sessionIdleMs,
    );
    for (const kind of pair.kinds) {
      const known = lists.known(session, pair.contextDigest, kind);
      const content = known && listContent(known.pages, kind);
      if (known === undefined || content === undefined) continue;
      until = Math.min(until, now + known.freshForMs);
      const head = headOf(kind, known);
      const before = pair.sets.get(kind);
      const same = before?.content === content && before.head.equals(head);
      sets.set(kind, same ? before : this.#prepare(pair, kind, { head, content }));
    }
    pair.sets = sets;
    pair.until = until;
  }

  #prepare(pair: Pair, kind: ListKind, list: Pick<PreparedSet, 'head' | 'content'>): PreparedSet {
    const { protocolVersion } = pair.session.body;
    return prepareSet(
      { key: this.#options.key, contextDigest: pair.contextDigest, protocolVersion, kind },
      list,
    );
  }

  #next(): PreparedSet | undefined {
    for (const pair of this.#waiting) {
      for (const set of pair.sets.values()) if (this.#sender.needs(set)) return set;
      this.#waiting.delete(pair);
    }
    return undefined;
  }

  /** Tells the sidecar what it may answer, where that differs from what it was told. */
  #grant(pair: Pair, again = false): void {
    const now = this.#options.clock.now();
    const usable = [...pair.sets].filter(([, set]) => this.#sender.usable(set));
    const granted = usable.length > 0 && pair.until > now;
    const sets = granted ? usable.map(([, { key }]) => key).join() : '';
    const until = granted ? pair.until : 0;
    const { told } = pair;
    const gains = until - told.until;
    if (sets === told.sets && (sets === '' || (!again && gains > -1 && gains < WORTHWHILE_MS))) return;
    pair.told = { sets, until };
    this.#tell(pair, {
      sets: granted ? Object.fromEntries(usable.map(([kind, { id }]) => [LIST_METHODS[kind], id])) : {},
      validForMs: granted ? Math.max(1, Math.floor(until - now)) : 0,
    });
  }

  #tell(
    { session, credential }: Pair,
    grant: { sets: Record<string, Uint8Array>; validForMs: number },
  ): void {
    this.#options.port.send({ grant: { sessionId: session.id.text, credential, ...grant } }, 0);
  }

  #end(pair: Pair): void {
    if (pair.told.sets !== '') this.#tell(pair, { sets: {}, validForMs: 0 });
    this.#drop(pair);
  }

  #drop(pair: Pair): void {
    const { session, credential } = pair;
    const pairs = this.#pairs.get(session.id.text);
    this.#waiting.delete(pair);
    this.#asked.delete(pair);
    this.#behind.delete(pair);
    if (pairs?.get(credential) === pair) pairs.delete(credential);
    if (pairs?.size === 0) this.#pairs.delete(session.id.text);
    if (this.#of(session).length === 0) this.#options.granting(session, false);
  }

  /** Looks everything over, on one timer for the whole stream. */
  #pass(): void {
    this.#stopPass = undefined;
    const now = this.#options.clock.now();
    const { port } = this.#options;
    for (const pair of [...this.#all()]) {
      if (now - pair.usedAt > UNUSED_MS || now >= pair.expiresAt) this.#end(pair);
      else this.#sync(pair);
    }
    if (this.#pairs.size === 0) return;
    for (const credential of new Set([...this.#all()].map((pair) => pair.credential)))
      port.recheck(credential);
    port.send({ bookmark: {} }, 0);
    this.#stopPass = this.#options.clock.after(BOOKMARK_MS, () => this.#pass());
  }
}

/** Of each request: no sidecar can check one. */
function needsProofs(caller: Caller): boolean {
  return caller.kind === 'identified' && caller.boundTo !== undefined;
}

function has({ sets }: Pair, key: string): boolean {
  for (const set of sets.values()) if (set.key === key) return true;
  return false;
}
