import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Notes which children run, one file for each, so that the next start can end
 * what a killed replica left behind. A note names a process by pid and start
 * time: a pid alone may belong to somebody else by then. Replicas share the
 * folder, so a note also names its owner, and children of a living one are left
 * alone. Where the system does not tell start times nothing is noted.
 */
export class ChildRecords {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  add(pid: number): void {
    const child = identify(pid);
    const owner = identify(process.pid);
    if (child === undefined || owner === undefined) return;
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    writeFileSync(this.#file(pid), JSON.stringify({ child, owner }), { mode: 0o600 });
  }

  remove(pid: number): void {
    rmSync(this.#file(pid), { force: true });
  }

  /** Ends the children of owners that are gone, with their process groups; resolves with how many there were. */
  async sweep(): Promise<number> {
    const left = this.#notes().filter(({ owner }) => !isAlive(owner));
    const ended = left.map(({ child }) => endGroup(child));
    const count = (await Promise.all(ended)).filter(Boolean).length;
    for (const { child } of left) this.remove(child.pid);
    return count;
  }

  #file(pid: number): string {
    return join(this.#folder, `${pid}.json`);
  }

  #notes(): Note[] {
    return listFolder(this.#folder).flatMap((name) => readNote(join(this.#folder, name)) ?? []);
  }
}

/** A process and nothing that may later have its pid. */
interface Identity {
  readonly pid: number;
  /** Boot and ticks since then, as Linux tells them. */
  readonly started: string;
}

interface Note {
  readonly child: Identity;
  readonly owner: Identity;
}

const GRACE_MS = 2_000;
const POLL_MS = 50;

async function endGroup(child: Identity): Promise<boolean> {
  if (!isAlive(child)) return false;
  signalGroup(child.pid, 'SIGTERM');
  for (let waited = 0; waited < GRACE_MS && isAlive(child); waited += POLL_MS) await sleep(POLL_MS);
  if (isAlive(child)) signalGroup(child.pid, 'SIGKILL');
  return true;
}

/** Signals a process and all it started, when it leads a group of its own. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody is left in the group.
  }
}

function isAlive({ pid, started }: Identity): boolean {
  return identify(pid)?.started === started;
}

function identify(pid: number): Identity | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses and may hold anything: count from its end.
    const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = rest[18];
    return state === 'Z' || ticks === undefined ? undefined : { pid, started: `${boot} ${ticks}` };
  } catch {
    return undefined;
  }
}

function readNote(file: string): Note | undefined {
  try {
    const note = JSON.parse(readFileSync(file, 'utf8')) as Partial<Note>;
    return isIdentity(note.child) && isIdentity(note.owner)
      ? { child: note.child, owner: note.owner }
      : undefined;
  } catch {
    return undefined;
  }
}

function isIdentity(value: Partial<Identity> | undefined): value is Identity {
  return Number.isSafeInteger(value?.pid) && Number(value?.pid) > 1 && typeof value?.started === 'string';
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
}
