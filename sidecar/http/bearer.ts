/**
 * Whether an Authorization header holds one bearer token (RFC 6750 §2.1). Only its
 * form is looked at; what the token says is the replica's business, and nothing
 * about time or claims is decided here.
 */
export function isBearer(authorization: string): boolean {
  return BEARER.test(authorization);
}

const BEARER = /^Bearer +[A-Za-z0-9._~+/-]+=*$/i;
