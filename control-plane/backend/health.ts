import { BackendFault, type BackendFaultKind } from './backend.ts';
import { type BreakerRules, type BreakerState, CLOSED, transition } from './breaker.ts';

/** The states a backend can be in for the replica that asks, by what live traffic tells. */
export const HEALTH_STATES = ['unknown', 'healthy', 'failing', 'open', 'half_open'] as const;

export type HealthState = (typeof HEALTH_STATES)[number];

/** What live traffic tells of a backend. Nothing is asked for it: without a live caller there is nobody to ask for. */
export interface BackendHealth {
  /** `open`: calls are refused at once; `half_open`: one of them finds out whether it answers again. */
  readonly state: HealthState;
  /** The last fault of the backend itself; undefined when there was none since the start. */
  readonly lastFault: BackendFaultKind | undefined;
  /** When the present state began, in milliseconds since the epoch. */
  readonly since: number;
  /** Faults without a success between them. */
  readonly consecutiveFailures: number;
  /** Responses that answered nothing: unknown, late or second ones, and malformed events. */
  readonly dropped: number;
}

/** A call as its health record knows it again. */
export interface Attempt {
  /** The very object that was given to `admit`. */
  readonly call: object;
  /** In milliseconds of `performance.now()`. */
  readonly startedAt: number;
}

export interface HealthOptions {
  /** Without any it never opens: what does not connect has its own way to hold back. */
  readonly breaker?: BreakerRules;
  readonly onChange?: (health: BackendHealth, before: HealthState) => void;
}

/** Faults that speak of the backend; the others speak of the caller, of our limits or of one session. */
const BACKEND_FAULTS: ReadonlySet<BackendFaultKind> = new Set<BackendFaultKind>([
  'unreachable',
  'timeout',
  'protocol',
  'interrupted',
]);

/** Said by what stands before a backend that is not there. */
const GATEWAY_STATUSES: ReadonlySet<number> = new Set([502, 503, 504]);

const NEVER_OPENS: BreakerRules = { failures: Number.POSITIVE_INFINITY, openMs: 0 };

const PROBE_RETRY_MS = 1_000;

/** How one backend fares in this replica, and whether it is asked at all now. */
export class HealthRecord {
  readonly #rules: BreakerRules;
  readonly #onChange: (health: BackendHealth, before: HealthState) => void;
  #breaker: BreakerState = CLOSED;
  #traffic: 'unknown' | 'healthy' | 'failing' = 'unknown';
  #lastFault: BackendFaultKind | undefined;
  #since = Date.now();
  #consecutiveFailures = 0;
  #dropped = 0;

  constructor({ breaker = NEVER_OPENS, onChange = () => {} }: HealthOptions = {}) {
    this.#rules = breaker;
    this.#onChange = onChange;
  }

  /** Why a call may not go to the backend now; undefined when it may, and then `settled` must follow for it. */
  admit(call: object): BackendFault | undefined {
    if (this.#breaker.kind === 'closed') return undefined;
    const now = performance.now();
    const state = this.#step('asked', { call, startedAt: now }, now);
    if (state.kind === 'closed' || (state.kind === 'half_open' && state.probe === call)) return undefined;
    const untilMs = Math.ceil(state.until - now);
    return new BackendFault('unreachable', 'The backend failed too often and is left alone for a while.', {
      executed: 'no',
      // A probe mostly tells within moments.
      retryAfterMs: state.kind === 'open' ? untilMs : Math.min(untilMs, PROBE_RETRY_MS),
    });
  }

  /** The backend began to answer: a probe that takes long has shown what it was sent for. */
  heard(attempt: Attempt): void {
    if (this.#breaker.kind !== 'half_open' || this.#breaker.probe !== attempt.call) return;
    this.#succeeded();
    this.#step('answered', attempt);
  }

  /** How a call ended. Only in a handshake does silence speak of the backend: a call may take long by its nature. */
  settled(attempt: Attempt, fault: BackendFault | undefined, handshake = false): void {
    if (fault === undefined) this.#succeeded();
    else if (BACKEND_FAULTS.has(fault.kind)) this.#failed(fault);
    if (fault === undefined && this.#breaker === CLOSED) return;
    this.#step(tells(fault, handshake), attempt);
  }

  dropped(): void {
    this.#dropped += 1;
  }

  read(): BackendHealth {
    return {
      state: this.#state,
      lastFault: this.#lastFault,
      since: this.#since,
      consecutiveFailures: this.#consecutiveFailures,
      dropped: this.#dropped,
    };
  }

  #succeeded(): void {
    if (this.#consecutiveFailures !== 0) this.#consecutiveFailures = 0;
    if (this.#traffic !== 'healthy') this.#enter('healthy');
  }

  #failed(fault: BackendFault): void {
    this.#lastFault = fault.kind;
    this.#consecutiveFailures += 1;
    if (this.#traffic !== 'failing') this.#enter('failing');
  }

  #enter(traffic: 'healthy' | 'failing'): void {
    const before = this.#state;
    this.#traffic = traffic;
    if (this.#state !== before) this.#changed(before);
  }

  #step(kind: 'asked' | Verdict, attempt: Attempt, now = performance.now()): BreakerState {
    const { call, startedAt } = attempt;
    const before = this.#state;
    const { kind: kindBefore } = this.#breaker;
    this.#breaker = transition(this.#breaker, { kind, call, startedAt, now }, this.#rules);
    if (this.#breaker.kind !== kindBefore) this.#changed(before);
    return this.#breaker;
  }

  get #state(): HealthState {
    return this.#breaker.kind === 'closed' ? this.#traffic : this.#breaker.kind;
  }

  #changed(before: HealthState): void {
    this.#since = Date.now();
    this.#onChange(this.read(), before);
  }
}

type Verdict = 'answered' | 'failed' | 'untold';

/**
 * What the end of a call says of the way to the backend. Whoever refuses, limits
 * or answers with nonsense was reached; a failure is not to reach it, to lose it
 * before its answer, or to hear nothing from it when a session is opened.
 */
function tells(fault: BackendFault | undefined, handshake: boolean): Verdict {
  if (fault === undefined) return 'answered';
  if (fault.status !== undefined) return GATEWAY_STATUSES.has(fault.status) ? 'failed' : 'answered';
  switch (fault.kind) {
    case 'unreachable':
    case 'interrupted':
      return 'failed';
    case 'timeout':
      return handshake && fault.executed === 'unknown' ? 'failed' : 'untold';
    case 'protocol':
      return fault.executed === 'unknown' ? 'answered' : 'untold';
    default:
      return 'untold';
  }
}
