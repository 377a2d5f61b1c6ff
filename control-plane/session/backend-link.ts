import type { Clock } from '../../shared/clock.ts';
import { MeshError } from '../../shared/errors.ts';
import type { Message } from '../../shared/json-rpc/message.ts';
import { type Backend, BackendFault, type BackendHint, type BackendSession } from '../backend/backend.ts';
import type { Credential, CredentialStrategy } from '../credentials/strategy.ts';
import type { Caller } from '../identity/caller.ts';
import { type FairGate, partyOf } from './fair-gate.ts';

/** One configured backend together with the way its credential is obtained. */
export interface ReachableBackend {
  readonly backend: Backend;
  /** Looked up for each credential: configuration may change it. */
  readonly strategy: CredentialStrategy;
  /** Where its sessions are: one that was had there can be taken up at the same place again. Undefined where none can. */
  readonly place?: string | undefined;
  /** Where the handshakes of all sessions with it take turns; undefined: nothing bounds them. */
  readonly handshakes?: FairGate | undefined;
  /** One more uses it, and one fewer. */
  hold?(): void;
  release?(): void;
}

export interface LinkOptions extends ReachableBackend {
  readonly clock: Clock;
  /** Bounds one handshake, and obtaining a credential for anything else, in milliseconds. */
  readonly initializeTimeoutMs: number;
  /** The client's true parameters, cut to what the mesh carries. */
  readonly initializeParams: Uint8Array;
  /** Below all request ids of this owner: replicas that serve one backend session after another must not reuse ids. */
  readonly requestIdBase: number;
  readonly hint: BackendHint | undefined;
  /** The session has had a backend session here before: one that is made afresh has lost what that held. */
  readonly had: boolean;
  /** It was made afresh already, and the client was not told yet. */
  readonly stateLost: boolean;
  /** Replays what the session had set at the backend (level, subscriptions), under the credential that opened it. Never rejects. */
  prepare(session: BackendSession, credential: Credential): Promise<void>;
  onOpened(link: BackendLink): void;
  onMessage(link: BackendLink, message: Message): void;
  /** What the record keeps of the link is another: its session is lost, or the client was told of one. */
  onChanged(): void;
}

/** Far more requests than one owner of a session can have open together. */
export const REQUEST_IDS_PER_OWNER = 1_000_000_000;

let requests = 0;

/** What is done under a caller's credential. */
interface Errand<Result> {
  readonly caller: Caller;
  readonly signal: AbortSignal;
  readonly work: (credential: Credential) => Promise<Result>;
}

interface Flight {
  readonly session: Promise<BackendSession>;
  /** Whose credential the handshake carries; a failure of theirs need not be a follower's. */
  readonly leader: Caller;
  readonly abort: AbortController;
}

type LinkState =
  | { readonly kind: 'closed'; readonly fault: BackendFault | undefined; readonly since: number }
  | { readonly kind: 'opening'; readonly flight: Flight }
  | { readonly kind: 'open'; readonly session: BackendSession }
  | { readonly kind: 'ended' };

export interface IdentityOutcome {
  readonly outcome: string;
  /** In milliseconds since the epoch. */
  readonly at: number;
}

/** How a link ends. Only a terminal close of the session deletes anything at the backend. */
export type LinkEnd =
  | { readonly kind: 'disconnect' }
  | { readonly kind: 'terminate'; readonly caller: Caller | undefined };

/**
 * One desired backend of a live session, and the backend session that serves it.
 * It keeps no credential: every handshake and every call brings its caller's. A
 * failed handshake leaves the backend desired; the next live caller tries again.
 */
export class BackendLink {
  readonly name: string;
  readonly #options: LinkOptions;
  #state: LinkState;
  /** A backend session of this session has existed before the current one. */
  #had: boolean;
  #stateLost: boolean;
  #identityOutcome: string | undefined;
  #identityAt = 0;
  #calls = 0;
  #onIdle: (() => void) | undefined;

  constructor(options: LinkOptions) {
    this.name = options.backend.name;
    this.#options = options;
    this.#had = options.had;
    this.#stateLost = options.stateLost;
    this.#state = this.#resume(options.hint) ?? {
      kind: 'closed',
      fault: undefined,
      since: options.clock.now(),
    };
  }

  get backend(): Backend {
    return this.#options.backend;
  }

  /** How its credentials are obtained, as configured now. */
  get strategy(): CredentialStrategy {
    return this.#options.strategy;
  }

  /** Where its backend sessions can be taken up again; undefined where they cannot. */
  get place(): string | undefined {
    return this.#options.place;
  }

  /** The backend session, when there is one to use now. */
  get session(): BackendSession | undefined {
    return this.#state.kind === 'open' ? this.#state.session : undefined;
  }

  /** Why there is none, and since when. */
  get outage(): { readonly fault: BackendFault | undefined; readonly since: number } | undefined {
    return this.#state.kind === 'closed' ? this.#state : undefined;
  }

  /** Whether there has ever been a backend session for this session. */
  get had(): boolean {
    return this.#had;
  }

  get opening(): boolean {
    return this.#state.kind === 'opening';
  }

  get resumable(): boolean {
    return this.#options.backend.resumable;
  }

  get ownProcess(): boolean {
    return this.#options.backend.ownProcess;
  }

  /** The credential that is nobody's own; undefined where the backend is told nothing without a live caller. */
  unattended(): Credential | Promise<Credential> | undefined {
    return this.#options.strategy.unattended?.();
  }

  /** All callers are the same to this backend: it gets no credential of the caller's own. */
  get sharesCredential(): boolean {
    return this.#options.strategy.unattended !== undefined;
  }

  /** Unique in the backend session, and in this process: sessions may share a child. */
  nextRequestId(): number {
    requests = (requests + 1) % REQUEST_IDS_PER_OWNER;
    return this.#options.requestIdBase + requests;
  }

  /** A backend session had to be made afresh, what it held is gone, and nobody was told yet. */
  get stateLost(): boolean {
    return this.#stateLost;
  }

  /** True once after such a loss: whoever takes it tells the client. */
  takeStateLoss(): boolean {
    if (!this.#stateLost) return false;
    this.#stateLost = false;
    this.#options.onChanged();
    return true;
  }

  /** The caller's own, anew; what takes longer than a handshake may is not waited for. */
  credential(caller: Caller, signal: AbortSignal): Credential | Promise<Credential> {
    const obtained = this.#options.strategy.obtain({ caller, backend: this.name, signal });
    return obtained instanceof Promise ? this.#inTime(obtained) : obtained;
  }

  /** When a credential ends, in milliseconds since the epoch; Infinity for one without an end of its own. */
  expiryOf(credential: Credential): number {
    return this.#options.strategy.expiresAt?.(credential) ?? Number.POSITIVE_INFINITY;
  }

  /** What came of the last credential for this backend: `accepted`, or the reason why not. Undefined where there was none. */
  get lastIdentity(): IdentityOutcome | undefined {
    const outcome = this.#identityOutcome;
    return outcome === undefined ? undefined : { outcome, at: this.#identityAt };
  }

  /** Works under the caller's credential. A 401 is decided before anything runs: it works once more where another credential can be had. */
  under<Result>(
    caller: Caller,
    signal: AbortSignal,
    work: (credential: Credential) => Promise<Result>,
  ): Promise<Result> {
    const errand = { caller, signal, work };
    let credential: Credential | undefined;
    try {
      const obtained = this.credential(caller, signal);
      if (obtained instanceof Promise) return this.#whenObtained(obtained, errand);
      credential = obtained;
      return work(obtained).then(
        (result) => this.#accepted(result),
        (thrown: unknown) => this.#refused(thrown, obtained, errand),
      );
    } catch (thrown) {
      return this.#refused(thrown, credential, errand);
    }
  }

  async #whenObtained<Result>(obtained: Promise<Credential>, errand: Errand<Result>): Promise<Result> {
    let credential: Credential | undefined;
    try {
      credential = await obtained;
      return this.#accepted(await errand.work(credential));
    } catch (thrown) {
      return this.#refused(thrown, credential, errand);
    }
  }

  #accepted<Result>(result: Result): Result {
    this.#noteIdentity('accepted');
    return result;
  }

  /** Once more under another credential, where there was one and a better can be had; else rejects with what was thrown. */
  async #refused<Result>(
    thrown: unknown,
    credential: Credential | undefined,
    { caller, signal, work }: Errand<Result>,
  ): Promise<Result> {
    try {
      if (credential === undefined || !this.#mayDoBetter(credential, thrown)) throw thrown;
      return this.#accepted(await work(await this.credential(caller, signal)));
    } catch (refused) {
      const outcome = identityOutcome(refused);
      if (outcome !== undefined) this.#noteIdentity(outcome);
      throw refused;
    }
  }

  /** Whether another credential may be taken where this one is; throws what the caller can do about one that is not enough. */
  #mayDoBetter(credential: Credential, thrown: unknown): boolean {
    if (!(thrown instanceof BackendFault)) return false;
    const more = this.#more(credential, thrown);
    if (more !== undefined) throw more;
    return thrown.kind === 'unauthorized' && this.#options.strategy.refused?.(credential, thrown) === true;
  }

  #more(credential: Credential, { kind, scopes }: BackendFault): MeshError | undefined {
    if (kind !== 'forbidden' || scopes.length === 0) return undefined;
    return this.#options.strategy.insufficient?.(credential, { scopes, backend: this.name });
  }

  #noteIdentity(outcome: string): void {
    this.#identityOutcome = outcome;
    this.#identityAt = this.#options.clock.now();
  }

  /**
   * The backend session, made if need be under this caller's credential. Callers
   * share a handshake in progress, and its success; when it fails on its leader's
   * credential, each may lead once with its own.
   */
  async ensure(caller: Caller): Promise<BackendSession> {
    let led = false;
    for (;;) {
      switch (this.#state.kind) {
        case 'open':
          return this.#state.session;
        case 'ended':
          throw ended();
        case 'closed':
          led = true;
          return await this.#lead(caller);
        case 'opening': {
          const { flight } = this.#state;
          try {
            // What became of it is the link's state: opened, or ended meanwhile.
            await flight.session;
          } catch (thrown) {
            const own = flight.leader === caller || led;
            if (own || !isLeadersOwn(thrown)) throw thrown;
          }
        }
      }
    }
  }

  /** The backend no longer knows this session of ours. The next `ensure` makes a new one. */
  lost(session: BackendSession, fault: BackendFault): void {
    if (this.#state.kind !== 'open' || this.#state.session !== session) return;
    this.#close(fault);
    void session.close({ terminate: false, finish: true }).catch(ignore);
    this.#options.onChanged();
  }

  /** A call goes through this link until the function that is returned is called. */
  use(): () => void {
    this.#calls += 1;
    return () => {
      this.#calls -= 1;
      if (this.#calls === 0) this.#onIdle?.();
    };
  }

  /** Resolves when no call goes through it. */
  idle(): Promise<void> {
    if (this.#calls === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Ends the link for good; what is being opened is abandoned. */
  async end(how: LinkEnd): Promise<void> {
    const state = this.#state;
    this.#state = { kind: 'ended' };
    if (state.kind === 'open') await this.#release(state.session, how);
    if (state.kind !== 'opening') return;
    state.flight.abort.abort(ended());
    const late = await state.flight.session.catch(() => undefined);
    if (late !== undefined) await this.#release(late, how);
  }

  #resume(hint: BackendHint | undefined): LinkState | undefined {
    if (hint === undefined) return undefined;
    const session = this.#options.backend.resume(
      hint,
      this.#events(() => session),
    );
    return session === undefined ? undefined : { kind: 'open', session };
  }

  #lead(caller: Caller): Promise<BackendSession> {
    const abort = new AbortController();
    const flight: Flight = { session: this.#handshake(caller, abort.signal), leader: caller, abort };
    this.#state = { kind: 'opening', flight };
    return this.#settle(flight);
  }

  async #settle(flight: Flight): Promise<BackendSession> {
    try {
      const session = await flight.session;
      // Ended meanwhile: `end` holds the flight and releases what it brought.
      if (this.#isOpening(flight)) this.#opened(session);
      else if (this.session !== session) throw ended();
      return session;
    } catch (thrown) {
      const fault = asFault(thrown);
      if (this.#isOpening(flight)) this.#close(fault);
      throw thrown;
    }
  }

  #isOpening(flight: Flight): boolean {
    return this.#state.kind === 'opening' && this.#state.flight === flight;
  }

  #opened(session: BackendSession): void {
    this.#state = { kind: 'open', session };
    if (this.#had) this.#stateLost = true;
    this.#had = true;
    this.#options.onOpened(this);
  }

  #handshake(caller: Caller, signal: AbortSignal): Promise<BackendSession> {
    const { clock, initializeTimeoutMs, handshakes } = this.#options;
    const begin = () => {
      const endsAt = clock.now() + initializeTimeoutMs;
      return this.under(caller, signal, (credential) => this.#open({ caller, credential, signal, endsAt }));
    };
    // Before the credential: whoever issues it would get the herd otherwise.
    return handshakes === undefined ? begin() : handshakes.run(partyOf(caller), begin, signal);
  }

  async #open({ caller, credential, signal, endsAt }: Handshake): Promise<BackendSession> {
    const { backend, clock, initializeParams } = this.#options;
    const now = clock.now();
    const life = caller.kind === 'identified' ? caller.expiresAt - now : Number.POSITIVE_INFINITY;
    const lifeMs = Math.min(life, this.expiryOf(credential) - now);
    const timeoutMs = Math.min(endsAt - now, life);
    // A caller whose token has expired is no longer live; nothing is asked in its name.
    if (timeoutMs <= 0) throw expired();
    let opened: BackendSession | undefined;
    const events = this.#events(() => opened);
    try {
      opened = await backend.open({ initializeParams, credential, events, timeoutMs, lifeMs, signal });
    } catch (thrown) {
      if (timeoutMs === life && isTimeout(thrown)) throw expired(thrown);
      throw thrown;
    }
    await this.#options.prepare(opened, credential);
    return opened;
  }

  #events(current: () => BackendSession | undefined) {
    return {
      message: (message: Message) => this.#options.onMessage(this, message),
      lost: (fault: BackendFault) => {
        const session = current();
        if (session !== undefined) this.lost(session, fault);
      },
    };
  }

  /** A strategy bounds what it asks; this bounds the strategy. */
  async #inTime(obtaining: Promise<Credential>): Promise<Credential> {
    const { clock, initializeTimeoutMs } = this.#options;
    let stop = () => {};
    const late = new Promise<never>((_, reject) => {
      stop = clock.after(initializeTimeoutMs, () => reject(tooLate(this.name)));
    });
    try {
      return await Promise.race([obtaining, late]);
    } finally {
      stop();
    }
  }

  #close(fault: BackendFault): void {
    this.#state = { kind: 'closed', fault, since: this.#options.clock.now() };
  }

  async #release(session: BackendSession, how: LinkEnd): Promise<void> {
    const credential = how.kind === 'terminate' ? await this.#farewell(how.caller) : undefined;
    const ending = session.close(
      credential === undefined ? { terminate: false } : { terminate: true, credential },
    );
    // It ends here in any case; whether the backend heard of it changes nothing.
    await ending.catch(ignore);
  }

  /** The credential for a DELETE: the live caller's, or one that needs no caller. Without either the backend is told nothing. */
  async #farewell(caller: Caller | undefined): Promise<Credential | undefined> {
    try {
      if (caller === undefined) return await this.unattended();
      return await this.credential(caller, AbortSignal.timeout(2_000));
    } catch {
      return undefined;
    }
  }
}

interface Handshake {
  readonly caller: Caller;
  readonly credential: Credential;
  readonly signal: AbortSignal;
  /** On the link's clock, in milliseconds since the epoch. */
  readonly endsAt: number;
}

function tooLate(backend: string): MeshError {
  return new MeshError(
    'credential_unavailable',
    `The credential for the backend "${backend}" could not be obtained in time.`,
    { backend, retryAfterMs: 1_000 },
  );
}

/** What a failure says of the credential; undefined where it says nothing. */
function identityOutcome(thrown: unknown): string | undefined {
  if (thrown instanceof MeshError) return thrown.reason;
  if (!(thrown instanceof BackendFault)) return undefined;
  return thrown.kind === 'unauthorized' || thrown.kind === 'forbidden' ? thrown.kind : undefined;
}

/** A failure that is the leader's alone: another caller's credential may do. */
function isLeadersOwn(thrown: unknown): boolean {
  const kind = thrown instanceof BackendFault ? thrown.kind : undefined;
  return kind === undefined || kind === 'unauthorized' || kind === 'forbidden';
}

function isTimeout(thrown: unknown): boolean {
  return thrown instanceof BackendFault && thrown.kind === 'timeout';
}

/** The leader's token ended before its handshake did: another caller's may last. */
function expired(cause?: unknown): BackendFault {
  return new BackendFault('unauthorized', 'the credential has expired', { executed: 'no', cause });
}

function ended(): BackendFault {
  return new BackendFault('aborted', 'the session has ended', { executed: 'no' });
}

function ignore(): void {}

function asFault(thrown: unknown): BackendFault {
  if (thrown instanceof BackendFault) return thrown;
  return new BackendFault('unauthorized', 'no credential could be obtained', {
    executed: 'no',
    cause: thrown,
  });
}
