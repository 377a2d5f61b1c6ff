import { readdirSync, readFileSync, statSync } from 'node:fs';
import { totalmem } from 'node:os';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** How much this process has of what it may have, in percent; undefined where the system does not say. */

/** Of the heap that V8 may have. */
export function heapShare(): number {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
  return (100 * used) / limit;
}

/** Of the memory that it may have: as configured, or else by the limit of its container. */
export function memoryShare(configured: number | undefined): number | undefined {
  const limit = configured ?? CONTAINER_BYTES;
  if (limit === undefined) return undefined;
  try {
    return (100 * process.memoryUsage.rss()) / limit;
  } catch {
    // It is read from a file, and there is no descriptor for one.
    return undefined;
  }
}

const CONTAINER_BYTES = containerBytes();

function containerBytes(): number | undefined {
  const limit = process.constrainedMemory() ?? 0;
  return limit > 0 && limit < totalmem() ? limit : undefined;
}

/** Of the file descriptors that it may have. */
export function descriptorShare(): number | undefined {
  if (MOST_DESCRIPTORS === undefined) return undefined;
  try {
    // Linux 6.2 and newer say it as the size; older ones must be asked for each.
    const open = statSync(DESCRIPTORS).size || readdirSync(DESCRIPTORS).length;
    return (100 * open) / MOST_DESCRIPTORS;
  } catch (error) {
    return isOutOfDescriptors(error) ? 100 : undefined;
  }
}

const DESCRIPTORS = '/proc/self/fd';

/** How many file descriptors this process may have; undefined where the system does not say. Node raises it to the hard limit at its start. */
export const MOST_DESCRIPTORS = mostDescriptors();

function mostDescriptors(): number | undefined {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** Whether something failed because this process, or the system, has no file descriptor left. */
export function isOutOfDescriptors(error: unknown): boolean {
  const code: unknown = Reflect.get(Object(error), 'code');
  return code === 'EMFILE' || code === 'ENFILE';
}

/** A heap up to this size is collected in less than anybody waits for; in bytes. */
const SOON_COLLECTED = 1024 * 1024 * 1024;

/**
 * Collects garbage, where that is quick. V8 knows nothing of the limit of a small
 * container, and collects nothing while nothing is allocated: what nobody needs any
 * more must not be taken for load.
 */
export function collectGarbage(): void {
  if (getHeapStatistics().total_heap_size > SOON_COLLECTED) return;
  collector ??= findCollector();
  if (typeof collector === 'function') collector();
}

let collector: unknown;

/** A context that is made while the flag is set has it; nothing else here does. */
function findCollector(): unknown {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  return collect;
}
