import { type ServerWritableStream, status } from '@grpc/grpc-js';
import { AdminFault, toServiceError } from './admin-fault.ts';
import type { Named } from './admin-messages.ts';
import { digestOf, readResumeToken, writeResumeToken } from './admin-resume.ts';

type WatchCall = ServerWritableStream<unknown, object>;

export interface WatchOptions {
  /** Rejects when whoever watches may not any more. */
  readonly admit: () => Promise<unknown>;
  readonly watched: Watched;
}

export interface Watched {
  /** What is watched, and under which filter. */
  readonly of: string;
  /** Where an earlier watch of the same ended; empty for the beginning. */
  readonly resumeToken: string;
  /** All that there is now. */
  list(): Promise<readonly Named[]>;
  /** As the watcher gets it. */
  event(type: 'ADDED' | 'CHANGED' | 'REMOVED' | 'SYNCED', entry: object | null): object;
}

/** How often it is looked whether something changed. */
const LOOK_MS = 1_000;
const MOST_WATCHES = 16;

/**
 * The watches of a replica. Each looks again and again, and says what differs from what
 * it has said: a watcher that does not read is told nothing until it does, and then the
 * newest state.
 */
export class AdminWatches {
  readonly #open = new Set<Watch>();

  /** Serves one watch until its end. Throws RESOURCE_EXHAUSTED. */
  begin(call: WatchCall, options: WatchOptions): void {
    if (this.#open.size >= MOST_WATCHES)
      throw new AdminFault(status.RESOURCE_EXHAUSTED, 'TOO_MANY_WATCHES', 'Too many watches are open.');
    const watch = new Watch(call, options);
    this.#open.add(watch);
    const over = () => {
      watch.stop();
      this.#open.delete(watch);
    };
    call.on('cancelled', over).on('close', over).on('error', over);
    watch.look();
  }

  /** Ends them all. */
  stop(): void {
    for (const watch of this.#open) watch.end();
    this.#open.clear();
  }
}

class Watch {
  readonly #call: WatchCall;
  readonly #options: WatchOptions;
  /** What was said of each, here or by the watch that this one resumes. */
  readonly #said: Map<string, string>;
  #synced = false;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(call: WatchCall, options: WatchOptions) {
    this.#call = call;
    this.#options = options;
    const { of, resumeToken } = options.watched;
    this.#said = new Map(readResumeToken(of, resumeToken));
  }

  look(): void {
    void this.#tell()
      .catch((thrown: unknown) => this.#fail(thrown))
      .finally(() => {
        if (this.#stopped) return;
        this.#timer = setTimeout(() => this.look(), LOOK_MS);
        this.#timer.unref();
      });
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  end(): void {
    this.stop();
    this.#call.end();
  }

  async #tell(): Promise<void> {
    const { admit, watched } = this.#options;
    await admit();
    if (this.#call.writableNeedDrain) return;
    const entries = await watched.list();
    if (this.#stopped) return;
    const events = this.#differences(entries);
    if (!this.#synced) events.push(watched.event('SYNCED', null));
    this.#synced = true;
    const last = events.length - 1;
    for (const [at, event] of events.entries()) {
      const token = at === last ? { resumeToken: writeResumeToken(watched.of, this.#said) } : {};
      this.#call.write({ ...event, ...token });
    }
  }

  /** What differs from what was said, which it is from then on. */
  #differences(entries: readonly Named[]): object[] {
    const { watched } = this.#options;
    const events: object[] = [];
    const gone = new Set(this.#said.keys());
    for (const entry of entries) {
      gone.delete(entry.name);
      const now = digestOf(JSON.stringify(entry));
      const before = this.#said.get(entry.name);
      if (before === now) continue;
      this.#said.set(entry.name, now);
      events.push(watched.event(before === undefined ? 'ADDED' : 'CHANGED', entry));
    }
    for (const name of gone) {
      this.#said.delete(name);
      events.push(watched.event('REMOVED', { name }));
    }
    return events;
  }

  #fail(thrown: unknown): void {
    if (this.#stopped) return;
    this.stop();
    this.#call.emit('error', toServiceError(thrown));
  }
}
