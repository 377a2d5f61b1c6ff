import { MeshError } from '../../shared/errors.ts';

/** Longer headers are refused before any work is spent on them. */
const LONGEST_AUTHORIZATION = 16 * 1024;

/** RFC 6750 §2.1 with RFC 9110 §11.1: the scheme in any case, one token68, nothing after it. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/** The one token of an Authorization header value. Throws `unauthenticated`. */
export function bearerToken(authorization: string): string {
  const token = authorization.length > LONGEST_AUTHORIZATION ? undefined : BEARER.exec(authorization)?.[1];
  if (token === undefined) {
    throw new MeshError('unauthenticated', 'The Authorization header must hold exactly one bearer token.');
  }
  return token;
}
