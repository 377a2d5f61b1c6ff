import type { Message } from '../../shared/json-rpc/message.ts';
import { type BackendCall, BackendFault } from './backend.ts';
import type { Deadlines, Watched } from './deadlines.ts';

/** A call that waits for its response: its promise, its deadline and its signal, whatever carries it. */
export abstract class PendingCall implements Watched {
  readonly call: BackendCall;
  readonly answer: Promise<Message>;
  /** In milliseconds of `performance.now()`, as is `dueAt`. */
  readonly startedAt: number;
  dueAt: number;
  readonly #latest: number;
  readonly #deadlines: Deadlines;
  #resolve!: (message: Message) => void;
  #reject!: (fault: BackendFault) => void;
  #over = false;

  constructor(call: BackendCall, deadlines: Deadlines) {
    this.call = call;
    this.#deadlines = deadlines;
    const now = performance.now();
    this.startedAt = now;
    this.dueAt = now + Math.min(call.timeoutMs, call.maxTimeoutMs);
    this.#latest = now + call.maxTimeoutMs;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    call.signal?.addEventListener('abort', this, { once: true });
    deadlines.watch(this);
  }

  /** Whether the backend can have heard of it. */
  abstract get sent(): boolean;

  get over(): boolean {
    return this.#over;
  }

  /** Ends it here, whatever it is doing. */
  give(fault: BackendFault): void {
    this.settle(fault);
  }

  /** The signal of the call. */
  handleEvent(): void {
    this.abandon();
  }

  /** Gives it up without a word to the backend. */
  abandon(): void {
    this.give(new BackendFault('aborted', 'The call was given up.', { executed: this.#executed() }));
  }

  expire(): void {
    if (this.sent) this.timedOut();
    this.give(
      new BackendFault('timeout', 'The backend did not answer in time.', { executed: this.#executed() }),
    );
  }

  /** Passes on what came before the answer, and moves the deadline by what it shows. */
  passOn(message: Message): void {
    if (this.#over) return;
    const { kind, method } = message.scanned;
    if (kind === 'request') {
      // A ping asks for nobody: the mesh answers it.
      if (method !== 'ping') this.waitForPeople();
    } else if (method === 'notifications/progress') {
      this.dueAt = Math.max(this.dueAt, Math.min(performance.now() + this.call.timeoutMs, this.#latest));
    }
    this.call.onMessage(message);
  }

  /** The backend asked somebody, perhaps a person: it is not slow on its own account. */
  waitForPeople(): void {
    this.dueAt = this.#latest;
  }

  settle(result: Message | BackendFault): void {
    if (this.#over) return;
    this.#over = true;
    this.#deadlines.forget(this);
    this.call.signal?.removeEventListener('abort', this);
    if (result instanceof BackendFault) {
      this.settled(result);
      this.#reject(result);
    } else {
      this.settled(undefined);
      this.#resolve(result);
    }
  }

  /** The call is over, in this way. */
  protected abstract settled(fault: BackendFault | undefined): void;

  /** It is about to be given up although the backend may still work on it. */
  protected abstract timedOut(): void;

  #executed(): 'no' | 'unknown' {
    return this.sent ? 'unknown' : 'no';
  }
}
