import type { JWTPayload } from 'jose';
import type { IssuerSettings } from '../settings.ts';
import type { IntrospectionResponse } from './introspection.ts';
import { TokenFault } from './refusal.ts';

interface Expectation {
  readonly issuer: IssuerSettings;
  /** One of them must be among the token's. */
  readonly audiences: readonly string[];
  /** In milliseconds since the epoch. */
  readonly now: number;
  readonly toleranceMs: number;
}

/**
 * The claims of an active token (RFC 7662 §2.2), held to what a JWT of the same
 * issuer is held to: optional members of the answer are not optional where a
 * complete identity is made of them. Throws `TokenFault`.
 */
export function activeClaims(answer: IntrospectionResponse, expected: Expectation): JWTPayload {
  const { active: _, token_type: type, ...claims } = answer;
  const { issuer, audiences, now, toleranceMs } = expected;
  const { iss = issuer.issuer, aud, exp, nbf, iat } = claims;
  if (!isKnownType(type, claims.cnf !== undefined)) throw new TokenFault('ERR_TOKEN_BOUND', 'token_type');
  if (iss !== issuer.issuer) throw new TokenFault('ERR_TOKEN_ISSUER', 'iss');
  const named: readonly unknown[] = [aud ?? []].flat();
  if (!named.some((each) => typeof each === 'string' && audiences.includes(each))) throw fault('aud');
  if (typeof exp !== 'number' || !Number.isFinite(exp)) throw fault('exp');
  if (now >= exp * 1_000) throw new TokenFault('ERR_JWT_EXPIRED', 'exp');
  if (nbf !== undefined && !(typeof nbf === 'number' && nbf * 1_000 <= now + toleranceMs)) throw fault('nbf');
  if (issuer.maxTokenAgeMs !== undefined) checkAge(iat, issuer.maxTokenAgeMs, expected);
  return { ...claims, iss, aud: named.filter((each) => typeof each === 'string'), exp };
}

/** A token of another type needs more than to be shown (RFC 9449 §6.2): what, `cnf` says. */
function isKnownType(type: unknown, bound: boolean): boolean {
  if (type === undefined) return true;
  const name = String(type).toLowerCase();
  return name === 'bearer' || (name === 'dpop' && bound);
}

function checkAge(iat: unknown, maxAgeMs: number, { now, toleranceMs }: Expectation): void {
  if (typeof iat !== 'number' || iat * 1_000 > now + toleranceMs) throw fault('iat');
  if (now - iat * 1_000 > maxAgeMs + toleranceMs) throw new TokenFault('ERR_JWT_EXPIRED', 'iat');
}

function fault(claim: string): TokenFault {
  return new TokenFault('ERR_JWT_CLAIM_VALIDATION_FAILED', claim);
}
