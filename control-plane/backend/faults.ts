import type { IncomingHttpHeaders } from 'node:http';
import { comeBackMs } from '../../shared/come-back.ts';
import { isOutOfDescriptors } from '../../shared/overload/gauges.ts';
import { BackendFault } from './backend.ts';

/** A status that is no answer, with what came beside it. */
export interface Refusal {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** At most 64 KiB of the body. */
  readonly body: Buffer;
}

/** Longer waits asked for by `Retry-After` are cut to this. */
const LONGEST_RETRY_MS = 3_600_000;

/**
 * What a refusing status means. 401, 403, 404 for our session and 429 are
 * decided before a request is carried out, so it provably had no effect; nothing
 * else is proof. A redirect is never followed: the credential is for this origin.
 */
export function faultOfStatus(refusal: Refusal, hasSession: boolean): BackendFault {
  const { status } = refusal;
  const retryAfterMs = readRetryAfter(refusal.headers['retry-after']);
  const challenge = refusal.headers['www-authenticate'];
  const more = { status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  switch (status) {
    case 401:
      return new BackendFault('unauthorized', 'The backend asks for other credentials.', {
        ...more,
        scopes: readScopes(challenge),
        metadataUrl: readMetadataUrl(challenge),
        executed: 'no',
      });
    case 403:
      return new BackendFault('forbidden', 'The backend forbids this to the caller.', {
        ...more,
        scopes: isInsufficient(challenge) ? readScopes(challenge) : [],
        executed: 'no',
      });
    case 404:
      return hasSession
        ? new BackendFault('session_lost', 'The backend does not know the session.', {
            ...more,
            executed: 'no',
          })
        : new BackendFault('protocol', 'There is no MCP endpoint at the URL.', { ...more, executed: 'no' });
    case 429:
      return new BackendFault('rate_limited', 'The backend limits the rate.', { ...more, executed: 'no' });
    default:
      return status >= 500
        ? new BackendFault('interrupted', `The backend failed with status ${status}.`, more)
        : new BackendFault('protocol', `The backend answered with status ${status}.`, more);
  }
}

/** A connection that failed. Before the request was written it provably had no effect. */
export function faultOfError(error: Error, written: boolean): BackendFault {
  if (error instanceof BackendFault) return error;
  return written
    ? new BackendFault('interrupted', 'The connection to the backend ended before the answer.', {
        cause: error,
      })
    : isOutOfDescriptors(error)
      ? outOfDescriptors(error)
      : new BackendFault('unreachable', 'The backend cannot be reached.', { cause: error, executed: 'no' });
}

/** This replica has no file descriptor left to reach it by: that tells nothing of the backend. */
export function outOfDescriptors(cause?: unknown): BackendFault {
  return new BackendFault('busy', 'No file descriptor is left for the backend.', {
    cause,
    executed: 'no',
    retryAfterMs: comeBackMs(),
  });
}

/** A request that could not even be begun. */
export function unsendable(cause: unknown): BackendFault {
  if (cause instanceof BackendFault) return cause;
  return new BackendFault('protocol', 'The request cannot be sent.', { cause, executed: 'no' });
}

function isInsufficient(challenge = ''): boolean {
  return /\berror="?insufficient_scope\b/.test(challenge);
}

/** Of a challenge the scopes are read, in their own grammar alone (RFC 6749 §3.3), and the place of the metadata; nothing else of it is used. */
function readScopes(challenge = ''): readonly string[] {
  const [, scope = ''] = /[\s,]scope="([\x21\x23-\x5b\x5d-\x7e ]{1,2048})"/.exec(challenge) ?? [];
  return scope.split(' ').filter((each) => each !== '');
}

function readMetadataUrl(challenge = ''): string | undefined {
  return /[\s,]resource_metadata="([\x21\x23-\x5b\x5d-\x7e]{1,2048})"/.exec(challenge)?.[1];
}

function readRetryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_RETRY_MS);
}
