import type { Logger } from '../../shared/log.ts';
import type { EdgeRefusal } from './answers.ts';

const QUIET_MS = 1_000;

/**
 * Tells the log of requests under a foreign name or from a foreign page, for they
 * may be an attack: at most one line a second, with the number of those since.
 */
export class RefusalLog {
  readonly #log: Logger;
  #count = 0;
  #last = Number.NEGATIVE_INFINITY;

  constructor(log: Logger) {
    this.#log = log;
  }

  refused(reason: EdgeRefusal): void {
    if (reason !== 'host_refused' && reason !== 'origin_refused') return;
    this.#count += 1;
    const now = performance.now();
    if (now - this.#last < QUIET_MS) return;
    this.#log.warn('refused at the edge', { event: reason, count: this.#count });
    this.#last = now;
    this.#count = 0;
  }
}
