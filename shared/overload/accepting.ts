import type { Server } from 'node:net';
import type { Logger } from '../log.ts';

/** One line for a flood. */
const SAY_EVERY_MS = 10_000;

/** A listener that cannot take a connection, for want of file descriptors for example, goes on and says so. */
export function surviveAccepting(server: Server, log: Logger): void {
  let saidAt = Number.NEGATIVE_INFINITY;
  server.on('error', (error) => {
    // Whoever binds hears of it there.
    if (!server.listening || performance.now() - saidAt < SAY_EVERY_MS) return;
    saidAt = performance.now();
    log.error('a connection could not be accepted', { error });
  });
}
