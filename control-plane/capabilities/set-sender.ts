import type { Clock } from '../../shared/clock.ts';
import type { Held, Nack, ReplicaFrame } from '../../shared/rpc/mesh-protocol.ts';
import { framesOf, itemKeys, keyOf, type PreparedSet } from './prepared-set.ts';

/** How far a sidecar is with one set. */
export type SetState = (typeof SET_STATES)[number];
export const SET_STATES = ['SYNCED', 'NOT_SENT', 'STALE', 'NACKED'] as const;

export interface SetSenderOptions {
  readonly clock: Clock;
  send(frame: ReplicaFrame, bytes: number): void;
  /** The next set that the sidecar needs, as things stand now. */
  next(): PreparedSet | undefined;
  /** All of the set was sent: from here on a grant may name it. */
  sent(set: PreparedSet): void;
  /** A set that was held is not held any more. */
  lost(key: string): void;
  /** The sidecar has answered for a set that it was sent. */
  answered?(result: PushResult): void;
}

/** What a sidecar says of a set that it was sent. */
export type PushResult = 'acked' | 'nacked';

/** A set that is not acknowledged for this long is not granted until it is. */
const OVERDUE_MS = 15_000;
/** Times that a set is sent whole because an item was missing. */
const MAX_ATTEMPTS = 2;
/** What is remembered of a sidecar. Beyond, the oldest is forgotten, and sent again when it is needed. */
const MAX_SETS = 4_096;
const MAX_ITEMS = 16_384;

/**
 * The sets on their way to one sidecar: one at a time, piece by piece, the next
 * when the sidecar has answered. A sidecar that does not answer holds up its own
 * sets alone, and when it answers it gets what is newest then.
 */
export class SetSender {
  readonly #options: SetSenderOptions;
  readonly #held = new Set<string>();
  readonly #items = new Set<string>();
  readonly #refused = new Set<string>();
  readonly #attempts = new Map<string, number>();
  #underway: { readonly set: PreparedSet; readonly since: number; sent: boolean } | undefined;
  #pacing: NodeJS.Immediate | undefined;

  constructor(options: SetSenderOptions) {
    this.#options = options;
  }

  /** What the sidecar has from earlier streams. */
  held({ sets, items }: Held): void {
    for (const set of sets) remember(this.#held, keyOf(set), MAX_SETS);
    for (const item of items) remember(this.#items, keyOf(item), MAX_ITEMS);
  }

  state({ key }: PreparedSet): SetState {
    if (this.#held.has(key)) return 'SYNCED';
    if (this.#refused.has(key)) return 'NACKED';
    return this.#underway?.set.key === key ? 'STALE' : 'NOT_SENT';
  }

  /** Whether a grant may name it. */
  usable({ key }: PreparedSet): boolean {
    if (this.#held.has(key)) return true;
    const underway = this.#underway;
    return (
      underway?.set.key === key &&
      underway.sent &&
      this.#options.clock.elapsed() - underway.since <= OVERDUE_MS
    );
  }

  /** Whether it is still to be sent. */
  needs({ key }: PreparedSet): boolean {
    return !this.#held.has(key) && !this.#refused.has(key) && this.#underway?.set.key !== key;
  }

  /** Sends the next set, if none is underway. */
  pump(): void {
    if (this.#underway !== undefined) return;
    const set = this.#options.next();
    if (set === undefined) return;
    this.#underway = { set, since: this.#options.clock.elapsed(), sent: false };
    this.#send(framesOf(set, (item) => this.#items.has(item)));
  }

  ack(set: Uint8Array): void {
    const acked = this.#answered(keyOf(set));
    if (acked === undefined) return;
    this.#options.answered?.('acked');
    this.#attempts.delete(acked.key);
    remember(this.#held, acked.key, MAX_SETS);
    for (const item of itemKeys(acked.content)) remember(this.#items, item, MAX_ITEMS);
    this.pump();
  }

  nack({ set, reason }: Nack): void {
    const key = keyOf(set);
    const known = reason === 'gone' ? this.#held.delete(key) : this.#answered(key) !== undefined;
    if (!known) return;
    // What the sidecar has let go of since is not known: everything is sent anew.
    this.#items.clear();
    if (reason !== 'gone') {
      this.#options.answered?.('nacked');
      this.#failed(key, reason);
    }
    this.#options.lost(key);
    this.pump();
  }

  close(): void {
    clearImmediate(this.#pacing);
  }

  #failed(key: string, reason: string): void {
    const attempts = (this.#attempts.get(key) ?? 0) + 1;
    if (reason === 'missing' && attempts < MAX_ATTEMPTS) {
      this.#attempts.set(key, attempts);
      return;
    }
    this.#attempts.delete(key);
    remember(this.#refused, key, MAX_SETS);
  }

  #answered(key: string): PreparedSet | undefined {
    const underway = this.#underway;
    if (underway === undefined || underway.set.key !== key) return undefined;
    this.#underway = undefined;
    clearImmediate(this.#pacing);
    return underway.set;
  }

  /** A piece a turn, so that calls on the same stream pass between them. */
  #send(frames: ReturnType<typeof framesOf>): void {
    const { value, done } = frames.next();
    if (done === true) return;
    this.#options.send(value.frame, value.bytes);
    if (value.frame.capabilitySet?.more === true) {
      this.#pacing = setImmediate(() => this.#send(frames));
    } else if (this.#underway !== undefined) {
      this.#underway.sent = true;
      this.#options.sent(this.#underway.set);
    }
  }
}

function remember(keys: Set<string>, key: string, most: number): void {
  keys.delete(key);
  keys.add(key);
  if (keys.size <= most) return;
  for (const oldest of keys) {
    keys.delete(oldest);
    return;
  }
}
