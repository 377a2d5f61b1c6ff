import { setTimeout as sleep } from 'node:timers/promises';
import type { Message } from '../../shared/json-rpc/message.ts';
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
  open(sink: ExchangeSink, lastEventId: string | undefined): Exchange;
  message(message: Message): void;
  dropped(): void;
  /** Whether the backend no longer knows the session. */
  confirmLost(): Promise<boolean>;
}

const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 30_000;

/**
 * Keeps a listening stream until the signal: goes on after the last event where
 * the backend numbers them, says `onGap` where it does not, and waits longer after
 * each failure, at random, so that many sessions do not come back at once.
 */
export async function listen(port: ListenPort, options: ListenOptions): Promise<'closed' | 'unsupported'> {
  const { signal } = options;
  for (let failures = 0; !signal.aborted; ) {
    const connection = new Connection(port, options);
    const outcome = await connection.over;
    if (connection.wasOpen) options.onState(false);
    if (signal.aborted || outcome === undefined) break;
    if (!connection.wasOpen) {
      const verdict = await judge(port, outcome);
      if (verdict === 'unsupported') return verdict;
    }
    failures = connection.fruitful ? 0 : failures + 1;
    await pause(connection.waitMs(failures, outcome), signal);
  }
  return 'closed';
}

/** How long to wait after so many failures: a random part, from 0 to 1, of a time that doubles with each. */
export function backoffMs(failures: number, random: number): number {
  return random * Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(failures, 16), LONGEST_BACKOFF_MS);
}

/** One GET and its stream. */
class Connection implements ExchangeSink {
  /** How it ended; undefined when the signal ended it. */
  readonly over: Promise<Outcome | undefined>;
  wasOpen = false;
  /** Something came on it: the next attempt need not wait long. */
  fruitful = false;
  readonly #port: ListenPort;
  readonly #options: ListenOptions;
  readonly #resumed: boolean;
  #retryMs: number | undefined;
  #resolve!: (outcome: Outcome | undefined) => void;

  constructor(port: ListenPort, options: ListenOptions) {
    this.#port = port;
    this.#options = options;
    const { lastEventId } = port.place;
    this.#resumed = lastEventId !== undefined;
    this.over = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    const exchange = port.open(this, lastEventId);
    const onAbort = () => {
      exchange.abort();
      this.#resolve(undefined);
    };
    options.signal.addEventListener('abort', onAbort, { once: true });
    void this.over.then(() => options.signal.removeEventListener('abort', onAbort));
  }

  opened(_: unknown, as: 'json' | 'events'): void {
    if (as === 'json') return;
    const { place } = this.#port;
    this.wasOpen = true;
    this.#options.onState(true);
    if (place.missed && !this.#resumed) this.#options.onGap();
    place.missed = true;
  }

  message(message: Message): void {
    this.fruitful = true;
    if (message.scanned.kind === 'response') this.#port.dropped();
    else this.#port.message(message);
  }

  eventId(id: string): void {
    this.fruitful = true;
    this.#port.place.lastEventId = id === '' ? undefined : id;
  }

  retry(ms: number): void {
    this.#retryMs = ms;
  }

  garbage(): void {
    this.#port.dropped();
  }

  ended(outcome: Outcome): void {
    this.#resolve(outcome);
  }

  waitMs(failures: number, outcome: Outcome): number {
    const asked =
      outcome.kind === 'refused' ? faultOfStatus(outcome.refusal, true).retryAfterMs : this.#retryMs;
    return Math.max(asked ?? 0, backoffMs(failures, Math.random()));
  }
}

/** Whether a GET that opened no stream is worth another try. Throws BackendFault when it speaks of the session or the caller. */
async function judge(port: ListenPort, outcome: Outcome): Promise<'again' | 'unsupported'> {
  if (outcome.kind === 'failed') return outcome.fault.kind === 'protocol' ? 'unsupported' : 'again';
  if (outcome.kind !== 'refused') return 'unsupported';
  const { refusal } = outcome;
  if (isTransient(refusal)) return 'again';
  if (refusal.status === 401 || refusal.status === 403) throw faultOfStatus(refusal, true);
  if (refusal.status === 400 || refusal.status === 404) {
    if (await port.confirmLost()) {
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

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => {});
}
