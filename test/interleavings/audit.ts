import type { Caller } from '../../control-plane/identity/caller.ts';
import type { SharedMemory } from '../../control-plane/store/memory.ts';
import type { RecordKey } from '../../control-plane/store/session-store.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** What must never happen. */
export type Violation =
  | 'another principal’s credential reached a backend'
  | 'another principal’s backend session was used'
  | 'a credential other than the live call’s was used'
  | 'an expired credential opened a backend session'
  | 'a backend session was deleted while its session lives'
  | 'a replica served what another has taken over'
  | 'a session was served after its end'
  | 'a closed session came back'
  | 'the desired backends changed'
  | 'a stranger caused a write'
  | 'the owner was told that a living session is gone'
  | 'a call was cancelled that nobody had cancelled'
  | 'the mesh failed by itself';

/** A request of a client, from its arrival at a replica on. */
export interface LiveRequest {
  readonly caller: Caller;
  readonly replica: string;
  /** The client's name for the session. */
  readonly session: string;
}

/** What a backend saw. */
export interface Seen {
  readonly kind: 'initialize' | 'call' | 'delete';
  readonly replica: string;
  readonly credential: string | undefined;
  /** The session whose client is meant, by what its initialize said. */
  readonly session: string;
  /** The request that it was sent for, where the message says so. */
  readonly cause: LiveRequest | undefined;
}

/** A credential of the mesh itself. */
export const SERVICE = 'service';

const EXCHANGED = 'exchanged for ';

/** What a provider gives for a token. */
export function exchangedFor(token: string): string {
  return `${EXCHANGED}${token}`;
}

export interface AuditOptions {
  readonly clock: VirtualClock;
  readonly leaseMs: number;
  readonly shared: SharedMemory;
}

interface Session {
  readonly key: RecordKey;
  readonly owner: Caller;
  readonly desired: readonly string[];
  endedAt: number | undefined;
}

/** Holds what the backends and the store saw against what had been asked for. */
export class Audit {
  readonly violations = new Set<Violation>();
  /** How often what happened. */
  readonly tally = new Map<string, number>();
  readonly #options: AuditOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #requests = new Set<LiveRequest>();

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  knows(name: string, session: { key: RecordKey; owner: Caller; desired: readonly string[] }): void {
    this.#sessions.set(name, { ...session, endedAt: undefined });
  }

  arrived(request: LiveRequest): void {
    this.#requests.add(request);
  }

  /** A DELETE was acknowledged. */
  ended(name: string): void {
    const session = this.#of(name);
    session.endedAt ??= this.#options.clock.now();
  }

  saw(seen: Seen): void {
    this.count(seen.kind);
    const { owner } = this.#of(seen.session);
    switch (seen.kind) {
      case 'initialize':
        this.#credential(seen, owner, [...this.#requests]);
        return;
      case 'call':
        this.#credential(seen, owner, seen.cause === undefined ? [] : [seen.cause]);
        if (seen.cause?.caller.bindingKey !== owner.bindingKey) {
          this.violations.add('another principal’s backend session was used');
        }
        this.#served(seen);
        return;
      case 'delete':
        if (seen.credential !== SERVICE) this.#credential(seen, owner, [...this.#requests]);
        if (this.#lives(seen.session))
          this.violations.add('a backend session was deleted while its session lives');
    }
  }

  wrote(key: RecordKey, by: Caller | undefined): void {
    for (const session of this.#sessions.values()) {
      if (session.key.name !== key.name) continue;
      if (by !== undefined && by.bindingKey !== session.owner.bindingKey) {
        this.violations.add('a stranger caused a write');
      }
      if (session.endedAt !== undefined) this.violations.add('a closed session came back');
    }
  }

  wroteDesired(key: RecordKey, desired: readonly string[]): void {
    for (const session of this.#sessions.values()) {
      if (session.key.name === key.name && session.desired.join() !== desired.join()) {
        this.violations.add('the desired backends changed');
      }
    }
  }

  /** A request was answered: `ok`, or a reason of the mesh. */
  answered(request: LiveRequest, reason: string): void {
    this.count(reason);
    if (reason === 'internal') this.violations.add('the mesh failed by itself');
    const { owner } = this.#of(request.session);
    const own = request.caller.bindingKey === owner.bindingKey;
    if (!own || !this.#lives(request.session)) return;
    if (reason === 'session_not_found')
      this.violations.add('the owner was told that a living session is gone');
    if (reason === 'cancelled') this.violations.add('a call was cancelled that nobody had cancelled');
  }

  count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }

  finish(): void {
    for (const [name, { endedAt }] of this.#sessions) {
      if (endedAt !== undefined && this.#record(name) !== undefined)
        this.violations.add('a closed session came back');
    }
  }

  #credential(seen: Seen, owner: Caller, causes: readonly LiveRequest[]): void {
    if (seen.credential === SERVICE) return;
    const exchanged = seen.credential?.startsWith(EXCHANGED) === true;
    const token = exchanged ? seen.credential?.slice(EXCHANGED.length) : seen.credential;
    const caller = [...this.#requests].find(({ caller }) => tokenOf(caller) === token)?.caller;
    if (caller === undefined || caller.bindingKey !== owner.bindingKey) {
      this.violations.add('another principal’s credential reached a backend');
      return;
    }
    const asked = causes.some(
      (cause) =>
        cause.replica === seen.replica &&
        cause.session === seen.session &&
        // Tokens of one authorization context share what was exchanged for one of them.
        (exchanged ? cause.caller.contextDigest === caller.contextDigest : tokenOf(cause.caller) === token),
    );
    if (!asked) this.violations.add('a credential other than the live call’s was used');
    const ended = caller.kind === 'identified' && caller.expiresAt <= this.#options.clock.now();
    if (seen.kind === 'initialize' && ended)
      this.violations.add('an expired credential opened a backend session');
  }

  /** A lease is all that a replica may be late in noticing. */
  #served({ session: name, replica }: Seen): void {
    const { clock, leaseMs } = this.#options;
    const late = clock.now() - leaseMs;
    const { endedAt } = this.#of(name);
    if (endedAt !== undefined && endedAt < late) this.violations.add('a session was served after its end');
    const header = this.#record(name)?.state.header;
    if (header === undefined) return;
    if (Math.min(header.idleExpiresAt, header.expiresAt) < late) {
      this.violations.add('a session was served after its end');
    }
    if (header.owner !== replica && header.takenAt < late) {
      this.violations.add('a replica served what another has taken over');
    }
  }

  #lives(name: string): boolean {
    const header = this.#record(name)?.state.header;
    const now = this.#options.clock.now();
    return header !== undefined && now < header.idleExpiresAt && now < header.expiresAt;
  }

  #record(name: string) {
    const { key } = this.#of(name);
    return this.#options.shared.records.get(`${key.principal}/${key.name}`);
  }

  #of(name: string): Session {
    const session = this.#sessions.get(name);
    if (session === undefined) throw new Error(`nobody knows the session ${name}`);
    return session;
  }
}

export function tokenOf(caller: Caller): string | undefined {
  return caller.kind === 'identified' ? caller.token : undefined;
}
