import { decodeJwt, type JWTPayload } from 'jose';
import { refused } from './refusals.ts';

/** What a token endpoint answered, or what introspection added to it. */
export interface TokenAnswer {
  readonly access_token: string;
  readonly token_type: string;
  /** Seconds. */
  readonly expires_in?: number | undefined;
  readonly scope?: string | undefined;
}

export interface Expected {
  readonly backend: string;
  readonly scopes: readonly string[];
  /** Whom the token must speak for; undefined: whoever the provider says. */
  readonly subject: string | undefined;
  /** It is not used longer, whatever it says; milliseconds since the epoch. */
  readonly until: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface IssuedToken {
  readonly token: string;
  readonly expiresAt: number;
}

/** A provider that does not say how long its token lives gets it asked for again after so long. */
const UNSAID_LIFE_MS = 60_000;
/** One line of visible ASCII: what fits a header (RFC 6750 §2.1 allows less still). */
const TOKEN = /^[\x21-\x7e]{1,65536}$/;

/**
 * The token of an answer, after everything that it says about itself: never a
 * wider scope than was asked for, never another subject than the caller, never
 * a token that needs a proof which the mesh does not have. Throws `backend_unauthorized`.
 */
export function readIssued(answer: TokenAnswer, expected: Expected): IssuedToken {
  const { backend, now } = expected;
  const { access_token: token } = answer;
  // A DPoP-bound token is worth nothing without its key (RFC 9449 §7.1).
  if (!/^(bearer|n_a)$/i.test(answer.token_type)) throw refused(backend, 'a token of an unusable type');
  if (!TOKEN.test(token)) throw refused(backend, 'a token that fits no header');
  const claims = claimsOf(token);
  for (const scope of [answer.scope, claims?.['scope'], claims?.['scp']]) notWider(scope, expected);
  notAnother(claims?.sub, expected);
  const ends = [expected.until];
  if (answer.expires_in !== undefined) ends.push(now + answer.expires_in * 1_000);
  if (claims?.exp !== undefined) ends.push(claims.exp * 1_000);
  if (ends.length === 1) ends.push(now + UNSAID_LIFE_MS);
  const expiresAt = Math.min(...ends);
  if (!(expiresAt > now)) throw refused(backend, 'a token that has ended already');
  return { token, expiresAt };
}

/** What introspection says of the token (RFC 7662 §2.2). Throws `backend_unauthorized`. */
export function checkIntrospected(
  found: { readonly active: boolean; readonly sub?: string; readonly scope?: string },
  expected: Expected,
): void {
  if (!found.active) throw refused(expected.backend, 'a token that its provider does not know');
  notWider(found.scope, expected);
  notAnother(found.sub, expected);
}

/** The claims of a JWT, which came from its issuer itself; undefined for a token that says nothing. */
export function claimsOf(token: string): JWTPayload | undefined {
  try {
    return decodeJwt(token);
  } catch {
    return undefined;
  }
}

function notWider(scope: unknown, { backend, scopes }: Expected): void {
  if (scopes.length === 0 || scope === undefined) return;
  const given: readonly unknown[] = typeof scope === 'string' ? scope.split(' ') : [scope].flat();
  const asked = new Set<unknown>(scopes);
  if (!given.every((each) => each === '' || asked.has(each)))
    throw refused(backend, 'a token with a wider scope than asked for');
}

function notAnother(subject: unknown, expected: Expected): void {
  if (subject === undefined || expected.subject === undefined) return;
  if (subject !== expected.subject) throw refused(expected.backend, 'a token for another subject');
}
