import type { Logger } from '../../shared/log.ts';
import { NEVER } from '../../shared/never.ts';
import {
  type Backend,
  type BackendEvents,
  type BackendFacts,
  BackendFault,
  type BackendSession,
  type OpenOptions,
} from './backend.ts';
import { CallSlots, type SlotLimits } from './call-slots.ts';
import type { ChildCommand } from './child.ts';
import type { ChildRecords } from './child-records.ts';
import { Deadlines } from './deadlines.ts';
import type { HealthRecord } from './health.ts';
import { INITIALIZED, initializeCall, readInitialized } from './initialize.ts';
import { Restarts } from './restarts.ts';
import { StdioLink } from './stdio-link.ts';
import { StdioSession } from './stdio-session.ts';

/**
 * A backend that is a program speaking on its standard input and output (MCP,
 * basic/transports, stdio). It starts the process itself and cuts lines itself:
 * the SDK's transport parses each message with its schemas and writes it again,
 * which changes what must arrive untouched (`1.0`, large integers, key order),
 * and it leaves what the program itself started running.
 *
 * A process is a session. With `shared` all sessions use one process.
 */
export interface StdioOptions {
  readonly name: string;
  readonly command: ChildCommand;
  readonly shared: boolean;
  /** The longest message, in bytes. */
  readonly messageBytes: number;
  readonly children: ChildSlots;
  /** Of calls, over all children of this backend. */
  readonly limits: SlotLimits;
  readonly records: ChildRecords;
  readonly health: HealthRecord;
  readonly log: Logger;
}

/** How many children one replica may have, over all its backends. */
export class ChildSlots {
  #free: number;

  constructor(count: number) {
    this.#free = count;
  }

  /** False: all are taken. */
  take(): boolean {
    if (this.#free === 0) return false;
    this.#free -= 1;
    return true;
  }

  release(): void {
    this.#free += 1;
  }
}

interface Started {
  readonly link: StdioLink;
  readonly facts: BackendFacts;
}

export class StdioBackend implements Backend {
  readonly name: string;
  readonly resumable = false;
  readonly ownProcess: boolean;
  readonly #options: StdioOptions;
  readonly #deadlines = new Deadlines();
  readonly #restarts = new Restarts();
  readonly #slots: CallSlots;
  readonly #links = new Set<StdioLink>();
  #shared: Promise<Started> | undefined;
  #stopped = false;

  constructor(options: StdioOptions) {
    this.name = options.name;
    this.ownProcess = !options.shared;
    this.#options = options;
    this.#slots = new CallSlots(options.limits);
  }

  async open(options: OpenOptions): Promise<BackendSession> {
    if (options.signal.aborted) throw aborted();
    const { shared } = this.#options;
    const { link, facts } = shared ? await this.#share(options) : await this.#start(options);
    // It may have ended between its answer and now.
    if (link.isGone)
      throw new BackendFault('session_lost', "The backend's process ended.", { executed: 'no' });
    return new StdioSession({ backend: this.name, link, facts, events: options.events, owned: !shared });
  }

  resume(): undefined {
    return undefined;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#links].map((link) => link.end()));
    this.#deadlines.clear();
  }

  /** The first session starts the child and the others wait for it, each as long as its own signal lets it. */
  async #share(options: OpenOptions): Promise<Started> {
    const before = this.#shared;
    if (before !== undefined) {
      const started = await beforeAbort(before, options.signal);
      if (!started.link.isGone) return started;
    }
    if (this.#shared === undefined || this.#shared === before) {
      // The child outlives the session that happened to need it first, and so does its start.
      const started = this.#start({ ...options, signal: NEVER, events: NOBODY });
      this.#shared = started;
      started.catch(() => {
        if (this.#shared === started) this.#shared = undefined;
      });
    }
    return beforeAbort(this.#shared, options.signal);
  }

  async #start(options: OpenOptions): Promise<Started> {
    const startedAt = performance.now();
    const link = this.#spawn(startedAt);
    const meanwhile: BackendEvents = { message: (message) => options.events.message(message), lost() {} };
    link.attach(meanwhile);
    try {
      const { facts } = readInitialized(await link.call(initializeCall(options, { headers: false })).answer);
      link.send(INITIALIZED);
      return { link, facts };
    } catch (error) {
      if (!link.isGone && !options.signal.aborted) this.#restarts.ended(startedAt);
      void link.end();
      throw neverStarted(error);
    } finally {
      link.detach(meanwhile);
    }
  }

  #spawn(startedAt: number): StdioLink {
    const { children } = this.#options;
    if (this.#stopped) throw aborted();
    const { waitMs } = this.#restarts;
    if (waitMs > 0) {
      throw new BackendFault('unreachable', 'The backend kept ending and is not started again yet.', {
        executed: 'no',
        retryAfterMs: waitMs,
      });
    }
    if (!children.take())
      throw new BackendFault('busy', 'No more children may be started.', { executed: 'no' });
    try {
      const link = new StdioLink({
        ...this.#options,
        slots: this.#slots,
        deadlines: this.#deadlines,
        onGone: () => {
          children.release();
          this.#links.delete(link);
          if (!link.isEnding) this.#restarts.ended(startedAt);
        },
      });
      this.#links.add(link);
      return link;
    } catch (thrown) {
      children.release();
      throw thrown;
    }
  }
}

const NOBODY: BackendEvents = { message() {}, lost() {} };

/** The promise, unless the signal comes first; the promise itself goes on. */
async function beforeAbort<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  let onAbort = () => {};
  const given = new Promise<never>((_, reject) => {
    onAbort = () => reject(aborted());
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, given]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** A child that ended before it answered initialize is no lost session but a program that does not start. */
function neverStarted(error: unknown): unknown {
  if (!(error instanceof BackendFault) || error.kind !== 'session_lost') return error;
  return new BackendFault('unreachable', error.message, { executed: 'no', cause: error });
}

function aborted(): BackendFault {
  return new BackendFault('aborted', 'The call was given up.', { executed: 'no' });
}
