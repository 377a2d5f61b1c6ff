import { errors } from 'jose';
import { MeshError } from '../../shared/errors.ts';

/**
 * Why a token was refused, for the log: a code and at most the name of a claim.
 * jose's own errors carry the claims themselves, so they are never kept.
 */
export class TokenFault extends Error {
  override readonly name = 'TokenFault';
  readonly code: string;

  constructor(code: string, claim?: string) {
    super(claim === undefined ? code : `${code} (${claim})`);
    this.code = code;
  }
}

/** The refusal that a peer sees: the same sentence whatever was wrong, so that it is no oracle. */
function refusal(fault: TokenFault): MeshError {
  return new MeshError(
    'unauthenticated',
    'The access token is invalid, expired or not meant for this server.',
    {
      cause: fault,
    },
  );
}

/** Anything thrown while a token was verified, as the error for the peer. */
export function toRefusal(thrown: unknown): MeshError {
  if (thrown instanceof MeshError) return thrown;
  if (thrown instanceof TokenFault) return refusal(thrown);
  if (thrown instanceof errors.JWTClaimValidationFailed || thrown instanceof errors.JWTExpired) {
    return refusal(new TokenFault(thrown.code, thrown.claim));
  }
  if (thrown instanceof errors.JOSEError) return refusal(new TokenFault(thrown.code));
  // A key that fits no algorithm and the like: jose's parsers throw plain TypeErrors for some malformed input.
  return refusal(new TokenFault('ERR_TOKEN_MALFORMED'));
}
