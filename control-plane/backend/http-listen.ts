import type { Message } from '../../shared/json-rpc/message.ts';
import type { Credential } from '../credentials/strategy.ts';
import { BackendFault, type ListenOptions } from './backend.ts';
import type { Exchange, ExchangeSink, Outcome } from './exchange.ts';
import { faultOfStatus, type Refusal } from './faults.ts';

/** How far the listening of a backend session has come; outlives each `listen`. */
export interface ListenPlace {
  /** Where to go on. */
  lastEventId: string | undefined;
  /** Events may have been sent before a first stream of ours: it was open once, or somebody else's session was taken up. */
  missed: boolean;
}

/** What listening needs of the backend session. */
export interface ListenPort {
  readonly place: ListenPlace;
  /** Opens the GET. Throws BackendFault `busy`. */
  openListening(sink: ExchangeSink, lastEventId: string | undefined, credential: Credential): Exchange;
  pushed(message: Message): void;
  dropped(): void;
  /** Whether the backend no longer knows the session. */
  isLost(credential: Credential): Promise<boolean>;
  /** The listening is over. */
  unheard(listener: StreamListener): void;
}

const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 30_000;

/**
 * Keeps a listening stream until the signal, or `stop`: goes on after the last
 * event where the backend numbers them, says `onGap` where it does not, and waits
 * longer after each failure, at random, so that many sessions do not come back at
 * once. A replica has thousands of these, almost always at rest: at rest each is
 * this object and one promise.
 */
export class StreamListener implements ExchangeSink {
  readonly #port: ListenPort;
  readonly #options: ListenOptions;
  #resolve: (how: 'closed' | 'unsupported') => void = () => {};
  #reject: (fault: unknown) => void = () => {};
  #over = false;
  #exchange: Exchange | undefined;
  #pause: NodeJS.Timeout | undefined;
  #failures = 0;
  /** Of the present attempt: its stream opened; something came on it, so that the next need not wait long. */
  #open = false;
  #fruitful = false;
  #retryMs: number | undefined;

  constructor(port: ListenPort, options: ListenOptions) {
    this.#port = port;
    this.#options = options;
  }

  /** Resolves when it is over. Rejects with BackendFault where the backend spoke of the session or of the caller, or too many streams are open. */
  start(): Promise<'closed' | 'unsupported'> {
    const { signal } = this.#options;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      signal.addEventListener('abort', this, { once: true });
      if (signal.aborted) this.stop();
      else this.#connect();
    });
  }

  /** The signal. */
  handleEvent(): void {
    this.stop();
  }

  stop(): void {
    const exchange = this.#exchange;
    if (!this.#leave()) return;
    exchange?.abort();
    if (this.#open) this.#options.onState(false);
    this.#resolve('closed');
  }

  opened(_: unknown, as: 'json' | 'events'): void {
    if (as === 'json' || this.#over) return;
    const { place } = this.#port;
    this.#open = true;
    this.#options.onState(true);
    if (place.missed && place.lastEventId === undefined) this.#options.onGap();
    place.missed = true;
  }

  message(message: Message): void {
    this.#fruitful = true;
    if (message.scanned.kind === 'response') this.#port.dropped();
    else this.#port.pushed(message);
  }

  eventId(id: string): void {
    this.#fruitful = true;
    this.#port.place.lastEventId = id === '' ? undefined : id;
  }

  retry(ms: number): void {
    this.#retryMs = ms;
  }

  garbage(): void {
    this.#port.dropped();
  }

  ended(outcome: Outcome): void {
    if (this.#over) return;
    this.#exchange = undefined;
    if (this.#open) {
      this.#options.onState(false);
      this.#again(outcome);
      return;
    }
    judge(this.#port, outcome, this.#options.credential).then(
      (verdict) => {
        if (verdict === 'again') this.#again(outcome);
        else if (this.#leave()) this.#resolve(verdict);
      },
      (fault) => this.#fail(fault),
    );
  }

  #connect(): void {
    const { credential } = this.#options;
    this.#open = false;
    this.#fruitful = false;
    this.#retryMs = undefined;
    try {
      this.#exchange = this.#port.openListening(this, this.#port.place.lastEventId, credential);
    } catch (fault) {
      this.#fail(fault);
    }
  }

  #again(outcome: Outcome): void {
    if (this.#over) return;
    this.#failures = this.#fruitful ? 0 : this.#failures + 1;
    const asked =
      outcome.kind === 'refused' ? faultOfStatus(outcome.refusal, true).retryAfterMs : this.#retryMs;
    const waitMs = Math.max(asked ?? 0, backoffMs(this.#failures, Math.random()));
    this.#pause = setTimeout(() => this.#connect(), waitMs).unref();
  }

  #fail(fault: unknown): void {
    if (this.#leave()) this.#reject(fault);
  }

  /** False: it was over. */
  #leave(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#exchange = undefined;
    clearTimeout(this.#pause);
    this.#options.signal.removeEventListener('abort', this);
    this.#port.unheard(this);
    return true;
  }
}

/** How long to wait after so many failures: a random part, from 0 to 1, of a time that doubles with each. */
export function backoffMs(failures: number, random: number): number {
  return random * Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(failures, 16), LONGEST_BACKOFF_MS);
}

/** Whether a GET that opened no stream is worth another try. Throws BackendFault when it speaks of the session or the caller. */
async function judge(
  port: ListenPort,
  outcome: Outcome,
  credential: Credential,
): Promise<'again' | 'unsupported'> {
  if (outcome.kind === 'failed') return outcome.fault.kind === 'protocol' ? 'unsupported' : 'again';
  if (outcome.kind !== 'refused') return 'unsupported';
  const { refusal } = outcome;
  if (isTransient(refusal)) return 'again';
  if (refusal.status === 401 || refusal.status === 403) throw faultOfStatus(refusal, true);
  if (refusal.status === 400 || refusal.status === 404) {
    if (await port.isLost(credential)) {
      throw new BackendFault('session_lost', 'The backend does not know the session.', {
        status: refusal.status,
        executed: 'no',
      });
    }
    // The session is known, so the place to go on from was what it did not know.
    if (port.place.lastEventId !== undefined) {
      port.place.lastEventId = undefined;
      return 'again';
    }
  }
  return 'unsupported';
}

function isTransient({ status }: Refusal): boolean {
  return status === 429 || status === 408 || (status >= 500 && status !== 501);
}
