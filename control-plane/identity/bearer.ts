import { MeshError } from '../../shared/errors.ts';

/** A token as a request shows it. */
export interface ShownToken {
  readonly token: string;
  /** Under which scheme: `dpop` says that proofs come with it (RFC 9449 §7.1). */
  readonly scheme: 'bearer' | 'dpop';
}

/** Longer headers are refused before any work is spent on them. */
const LONGEST_AUTHORIZATION = 16 * 1024;

/** RFC 6750 §2.1 and RFC 9449 §7.1 with RFC 9110 §11.1: the scheme in any case, one token68, nothing after it. */
const SHOWN = /^(Bearer|DPoP) +([A-Za-z0-9._~+/-]+=*)$/i;

/** The one token of an Authorization header value. Throws `unauthenticated`. */
export function shownToken(authorization: string): ShownToken {
  const [, scheme, token] =
    authorization.length > LONGEST_AUTHORIZATION ? [] : (SHOWN.exec(authorization) ?? []);
  if (scheme === undefined || token === undefined) {
    throw new MeshError('unauthenticated', 'The Authorization header must hold exactly one access token.');
  }
  return { token, scheme: scheme.toLowerCase() === 'dpop' ? 'dpop' : 'bearer' };
}
