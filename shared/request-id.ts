import { randomBytes } from 'node:crypto';

/**
 * Names one request in the logs of both programs, in the error that answers it, in the
 * audit and at the backend (`X-Request-Id`). A client may bring its own. At most 63
 * characters: no token and no session id is as short.
 */
const WELL_FORMED = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$/;

const process = randomBytes(8).toString('hex');
let requests = 0;

/** The client's own id, if it is one that can be written anywhere; else one that no other request of any process has. */
export function requestId(given: string | undefined): string {
  if (given !== undefined && WELL_FORMED.test(given)) return given;
  requests += 1;
  // Of one length: no answer is told from another by it.
  return `${process}-${requests.toString(36).padStart(7, '0')}`;
}
