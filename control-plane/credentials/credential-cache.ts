import { createHash } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import type { CallerIdentity } from '../identity/caller.ts';
import { unavailable } from './refusals.ts';
import type { Credential } from './strategy.ts';

/** A credential that somebody issued. */
export interface Issued {
  readonly credential: Credential;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface Wish {
  /** Whoever has the same key may have the same credential. */
  readonly key: string;
  /** What it is obtained with. Another proof under the same key may succeed where this one is refused. */
  readonly proof: string;
  /** For whom; undefined where it is the mesh's own. */
  readonly caller?: CallerIdentity;
  /** The one who wishes waits no longer; others may. */
  readonly signal: AbortSignal;
  /** Bounded in time by itself. Rejects with `credential_unavailable`, or with a refusal. */
  readonly issue: () => Promise<Issued>;
}

export type IssueOutcome = 'ok' | 'refused' | 'unavailable';

/** What came of asking a provider once. */
export interface Issue {
  readonly outcome: IssueOutcome;
  readonly durationMs: number;
  readonly caller: CallerIdentity | undefined;
  /** Fit for a log. */
  readonly cause?: unknown;
}

export interface CredentialCacheOptions {
  readonly backend: string;
  readonly clock: Clock;
  /** The most that are kept. */
  readonly capacity?: number;
  /** Told once for each time that a provider was asked. */
  readonly onIssue: (issue: Issue) => void;
}

interface Entry extends Issued {
  readonly usableUntil: number;
  /** The backend refused it. */
  readonly stale: boolean;
  /** When it took the place of one that the backend refused. */
  readonly renewedAt: number;
}

interface Flight {
  readonly proof: string;
  readonly issued: Promise<Credential>;
}

interface Refusal {
  /** Its digest. */
  readonly proof: string;
  readonly error: MeshError;
  readonly until: number;
}

const CAPACITY = 10_000;
/** A credential is replaced so long before its end, or after half of its life where that is short. */
const MARGIN_MS = 30_000;
/** What the backend refused is replaced at most this often: a backend that refuses everything must not ask a provider for everything. */
const RENEW_EVERY_MS = 5_000;
const FIRST_OUTAGE_MS = 1_000;
const LONGEST_OUTAGE_MS = 5_000;
const REFUSAL_MS = 2_000;

/**
 * Credentials that were issued for one backend, in memory alone. However many
 * callers wish for the same one at once, it is asked for once; who leaves takes
 * nothing from the others. A provider that fails is left alone for a moment.
 */
export class CredentialCache {
  readonly #options: CredentialCacheOptions;
  readonly #capacity: number;
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();
  readonly #flights = new Map<string, Flight>();
  readonly #refusals = new Map<string, Refusal>();
  /** Forgets a credential when nobody holds it any more. */
  readonly #issued = new WeakMap<object, { readonly key: string; readonly expiresAt: number }>();
  #failures = 0;
  #outageUntil = 0;

  constructor(options: CredentialCacheOptions) {
    this.#options = options;
    this.#capacity = options.capacity ?? CAPACITY;
  }

  /** Rejects with what `issue` rejects with, or with `cancelled` once the signal says so. */
  obtain(wish: Wish): Credential | Promise<Credential> {
    const entry = this.#entries.get(wish.key);
    if (entry === undefined || entry.stale || this.#options.clock.now() >= entry.usableUntil) {
      return this.#join(wish);
    }
    // Which are used least matters only to what may have to go.
    if (this.#entries.size * 2 > this.#capacity) {
      this.#entries.delete(wish.key);
      this.#entries.set(wish.key, entry);
    }
    return entry.credential;
  }

  expiresAt(credential: Credential): number | undefined {
    return this.#issued.get(credential)?.expiresAt;
  }

  /** The backend refused a credential. Whether the next `obtain` brings another. */
  refused(credential: Credential): boolean {
    const known = this.#issued.get(credential);
    if (known === undefined) return false;
    const entry = this.#entries.get(known.key);
    if (entry?.credential !== credential) return true;
    if (this.#options.clock.now() - entry.renewedAt < RENEW_EVERY_MS) return false;
    this.#entries.set(known.key, { ...entry, stale: true });
    return true;
  }

  async #join(wish: Wish): Promise<Credential> {
    for (;;) {
      const refusal = this.#refusals.get(wish.key);
      if (refusal?.proof === digest(wish.proof) && this.#options.clock.now() < refusal.until)
        throw refusal.error;
      const flight = this.#flights.get(wish.key) ?? this.#lead(wish);
      try {
        return await whileWanted(flight.issued, wish.signal);
      } catch (thrown) {
        // What was refused is the leader's proof; one's own is shown once.
        if (flight.proof === wish.proof || wish.signal.aborted || isUnavailable(thrown)) throw thrown;
      }
    }
  }

  #lead(wish: Wish): Flight {
    const issued = this.#issue(wish).finally(() => this.#flights.delete(wish.key));
    const flight = { proof: wish.proof, issued };
    this.#flights.set(wish.key, flight);
    return flight;
  }

  async #issue({ key, proof, caller, issue }: Wish): Promise<Credential> {
    const { clock, onIssue } = this.#options;
    const startedAt = clock.now();
    if (startedAt < this.#outageUntil) throw this.#outage(startedAt);
    try {
      const issued = await issue();
      this.#keep(key, issued);
      onIssue({ outcome: 'ok', durationMs: clock.now() - startedAt, caller });
      return issued.credential;
    } catch (thrown) {
      const error = MeshError.from(thrown);
      this.#failed({ key, proof, caller, error, startedAt });
      throw error;
    }
  }

  #keep(key: string, issued: Issued): void {
    const now = this.#options.clock.now();
    const margin = Math.min(MARGIN_MS, Math.max(issued.expiresAt - now, 0) / 2);
    const renewedAt = this.#entries.get(key)?.stale === true ? now : Number.NEGATIVE_INFINITY;
    this.#failures = 0;
    this.#refusals.delete(key);
    this.#entries.delete(key);
    this.#entries.set(key, { ...issued, usableUntil: issued.expiresAt - margin, stale: false, renewedAt });
    this.#issued.set(issued.credential, { key, expiresAt: issued.expiresAt });
    trim(this.#entries, this.#capacity);
  }

  #failed({ key, proof, caller, error, startedAt }: Failure): void {
    const { clock, onIssue } = this.#options;
    const now = clock.now();
    const said = { durationMs: now - startedAt, caller, cause: error.cause ?? error };
    if (isUnavailable(error)) {
      // Those that failed together are one failure.
      if (now < this.#outageUntil) return onIssue({ outcome: 'unavailable', ...said });
      const pause = Math.min(FIRST_OUTAGE_MS * 2 ** this.#failures, LONGEST_OUTAGE_MS);
      this.#failures += 1;
      this.#outageUntil = now + pause * (0.5 + Math.random() / 2);
    } else {
      this.#refusals.delete(key);
      this.#refusals.set(key, {
        proof: digest(proof),
        error,
        until: now + REFUSAL_MS * (0.5 + Math.random() / 2),
      });
      trim(this.#refusals, this.#capacity);
    }
    onIssue({ outcome: isUnavailable(error) ? 'unavailable' : 'refused', ...said });
  }

  #outage(now: number): MeshError {
    return unavailable(
      this.#options.backend,
      'the provider failed a moment ago',
      Math.ceil(this.#outageUntil - now),
    );
  }
}

interface Failure extends Pick<Wish, 'key' | 'proof'> {
  readonly caller: CallerIdentity | undefined;
  readonly error: MeshError;
  readonly startedAt: number;
}

/** Of a provider that fails; everything else speaks of the one who asked. */
function isUnavailable(thrown: unknown): boolean {
  return (
    thrown instanceof MeshError &&
    (thrown.reason === 'credential_unavailable' || thrown.reason === 'internal')
  );
}

function digest(proof: string): string {
  return createHash('sha256').update(proof).digest('base64url');
}

function trim(map: Map<string, unknown>, capacity: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= capacity) return;
    map.delete(oldest);
  }
}

/** The promise, unless the signal comes first; what it stands for goes on. */
export async function whileWanted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  let onAbort = () => {};
  const left = new Promise<never>((_, reject) => {
    onAbort = () => reject(new MeshError('cancelled', 'The request was cancelled.'));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, left]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
