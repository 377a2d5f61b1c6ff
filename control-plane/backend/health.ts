import type { BackendFault, BackendFaultKind } from './backend.ts';

/** What live traffic tells of a backend. Passive: nothing is asked for it. */
export interface BackendHealth {
  readonly state: 'unknown' | 'healthy' | 'failing';
  /** The last fault of the backend itself; undefined when there was none since the start. */
  readonly lastFault: BackendFaultKind | undefined;
  /** When the present state began, in milliseconds since the epoch. */
  readonly since: number;
  /** Faults without a success between them. */
  readonly consecutiveFailures: number;
  /** Responses that answered nothing: unknown, late or second ones, and malformed events. */
  readonly dropped: number;
}

/** Faults that speak of the backend; the others speak of the caller, of our limits or of one session. */
const BACKEND_FAULTS: ReadonlySet<BackendFaultKind> = new Set<BackendFaultKind>([
  'unreachable',
  'timeout',
  'protocol',
  'interrupted',
]);

export class HealthRecord {
  #state: BackendHealth['state'] = 'unknown';
  #lastFault: BackendFaultKind | undefined;
  #since = Date.now();
  #consecutiveFailures = 0;
  #dropped = 0;

  succeeded(): void {
    if (this.#consecutiveFailures !== 0) this.#consecutiveFailures = 0;
    if (this.#state !== 'healthy') this.#enter('healthy');
  }

  failed(fault: BackendFault): void {
    if (!BACKEND_FAULTS.has(fault.kind)) return;
    this.#lastFault = fault.kind;
    this.#consecutiveFailures += 1;
    if (this.#state !== 'failing') this.#enter('failing');
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

  #enter(state: BackendHealth['state']): void {
    this.#state = state;
    this.#since = Date.now();
  }
}
