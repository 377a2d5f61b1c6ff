import { setMaxListeners } from 'node:events';

/** For work that nobody gives up. Thousands may listen to it at once, which is no leak. */
export const NEVER = new AbortController().signal;

setMaxListeners(0, NEVER);
