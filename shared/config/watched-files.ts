import { readFileSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

/**
 * Notices when files that were read are not any more what was read. They are looked
 * at by their paths, again and again: an editor that replaces a file, a file system of
 * another machine, and Kubernetes, which swaps a symbolic link above it, all show there.
 */

/** The files that something was read from, those included that could not be read: they may come. */
export class ReadFiles {
  readonly #marks = new Map<string, string>();

  /** By absolute path, what told each apart just before it was read. */
  get marks(): ReadonlyMap<string, string> {
    return this.#marks;
  }

  /** The text of a file. Throws what the file system says. */
  read(path: string): string {
    this.#marks.set(path, markNow(path));
    return readFileSync(path, 'utf8');
  }
}

export interface FileWatchOptions {
  /** At most once for a burst of changes, when it is quiet; after two seconds in any case. */
  readonly changed: () => void;
}

/** How often files are looked at; while they change, and for how long at most nobody is told of it. */
const LOOK_MS = 500;
const SETTLE_MS = 100;
const LONGEST_BURST_MS = 2_000;

/** Looks at files until it is closed. It keeps no program from ending. */
export class FileWatch {
  readonly #changed: () => void;
  #followed: ReadonlyMap<string, string> = new Map();
  /** What was seen of a change that is not told yet. */
  #burst: { readonly since: number; readonly seen: ReadonlyMap<string, string> } | undefined;
  #timer: NodeJS.Timeout;
  #closed = false;

  constructor({ changed }: FileWatchOptions) {
    this.#changed = changed;
    this.#timer = this.#after(LOOK_MS);
  }

  /** These from now on, and none before them; what changed since they were read is noticed. */
  follow(marks: ReadonlyMap<string, string>): void {
    this.#followed = marks;
    this.#burst = undefined;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #after(ms: number): NodeJS.Timeout {
    return setTimeout(() => void this.#look(), ms).unref();
  }

  async #look(): Promise<void> {
    const followed = this.#followed;
    const paths = [...followed.keys()];
    const marks = await Promise.all(paths.map(markLater));
    const seen = new Map(paths.map((path, at) => [path, marks[at] ?? '']));
    if (this.#closed) return;
    // Others are followed by now: what was seen says nothing of them.
    if (followed === this.#followed) this.#judge(seen);
    this.#timer = this.#after(this.#burst === undefined ? LOOK_MS : SETTLE_MS);
  }

  #judge(seen: ReadonlyMap<string, string>): void {
    const before = this.#burst;
    if (before === undefined && same(seen, this.#followed)) return;
    const since = before?.since ?? performance.now();
    if (before === undefined || (!same(seen, before.seen) && performance.now() - since < LONGEST_BURST_MS)) {
      this.#burst = { since, seen };
      return;
    }
    this.follow(seen);
    this.#changed();
  }
}

function same(one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): boolean {
  for (const [path, mark] of one) if (other.get(path) !== mark) return false;
  return one.size === other.size;
}

function markNow(path: string): string {
  try {
    return markOf(statSync(path, { bigint: true }));
  } catch {
    return markOf(undefined);
  }
}

async function markLater(path: string): Promise<string> {
  return markOf(await stat(path, { bigint: true }).catch(() => undefined));
}

interface Stamp {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** Of the file that a path leads to; empty where it leads to none. */
function markOf(found: Stamp | undefined): string {
  if (found === undefined) return '';
  return [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(' ');
}
