import type { Refusal } from './answers.ts';
import { allowsHost, allowsOrigin, type HostRules, isWellFormedHost } from './hosts.ts';
import { isMetadataPath } from './metadata.ts';
import type { RequestHead } from './request-head.ts';

/**
 * The checks that need the request's first lines only, in the order in which they
 * are made. Each returns why the request is refused, or undefined.
 */

const MAX_HEADERS = 100;

const METHODS = 'GET, POST, DELETE';

/** Does the request mean us, and does it come from where it may? (MCP, Streamable HTTP; RFC 9110 §7.2.) */
export function checkAddress(headers: number, head: RequestHead, rules: HostRules): Refusal | undefined {
  const { host, origin, duplicate } = head;
  if (headers > MAX_HEADERS)
    return { reason: 'too_many_headers', message: 'The request has too many headers.' };
  if (origin !== undefined && duplicate !== 'origin' && !allowsOrigin(rules, origin)) {
    return { reason: 'origin_refused', message: 'Requests of this origin are not served.' };
  }
  if (duplicate !== undefined) return malformed(`The header "${duplicate}" stands more than once.`);
  if (host === undefined) return malformed('The Host header is missing.');
  if (allowsHost(rules, host)) return undefined;
  if (!isWellFormedHost(host)) return malformed('The Host header is malformed.');
  return { reason: 'host_refused', message: 'Requests to this host are not served.' };
}

/** One path, compared as it came: nothing is decoded, merged or resolved. A query is ignored. */
export function checkTarget(target: string): Refusal | undefined {
  if (target === '/mcp' || target.startsWith('/mcp?')) return undefined;
  if (!target.startsWith('/') && target !== '*') return malformed('The target must be a path.');
  return isMetadataPath(target) ? undefined : PATH_NOT_FOUND;
}

export function checkMethod(method: string, target: string): Refusal | undefined {
  const mcp = target.startsWith('/mcp');
  if (mcp ? method === 'POST' || method === 'GET' || method === 'DELETE' : method === 'GET') return undefined;
  return methodNotAllowed(mcp ? METHODS : 'GET');
}

export function methodNotAllowed(allow: string = METHODS): Refusal {
  return { reason: 'method_not_allowed', message: 'This method is not served.', allow };
}

export const PATH_NOT_FOUND: Refusal = { reason: 'path_not_found', message: 'Nothing is served here.' };

export const UNSUPPORTED_MEDIA_TYPE: Refusal = {
  reason: 'unsupported_media_type',
  message: 'The body must be application/json in UTF-8, without a content encoding.',
};

export const POST_NOT_ACCEPTABLE: Refusal = {
  reason: 'not_acceptable',
  message: 'The client must accept both application/json and text/event-stream.',
};

export const GET_NOT_ACCEPTABLE: Refusal = {
  reason: 'not_acceptable',
  message: 'The client must accept text/event-stream.',
};

function malformed(message: string): Refusal {
  return { reason: 'malformed_request', message };
}
