import type { JWTPayload } from 'jose';
import type { IssuerSettings } from '../settings.ts';
import { ANONYMOUS_BINDING, bindingKeyOf } from './binding-key.ts';
import type { Actor, AnonymousCaller, CallerIdentity, IdentityBinding } from './caller.ts';
import { ANONYMOUS_CONTEXT, contextDigest } from './context-digest.ts';
import { TokenFault } from './refusal.ts';

/** Names that stand for nobody. A shared constant is never a principal: who has no identity is anonymous. */
const PLACEHOLDERS = new Set(['', 'anonymous', 'default-user']);

/** What a verified JWT becomes. Throws `TokenFault` when the claims do not make a complete identity. */
export function makeCaller(token: string, claims: JWTPayload, issuer: IssuerSettings): CallerIdentity {
  const binding: IdentityBinding = Object.freeze({
    issuer: issuer.issuer,
    subject: subjectOf(claims),
    tenant: tenantOf(claims, issuer.tenantClaim),
  });
  const { scopes, scopeClaim } = scopesOf(claims, issuer.scopeClaim);
  const visible = {
    binding,
    scopes,
    audience: sortedSet([claims.aud ?? []].flat()),
    actorChain: actorsOf(claims, issuer.issuer),
    claims: deepFreeze(claims),
  };
  return Object.freeze({
    kind: 'identified',
    ...visible,
    expiresAt: (claims.exp ?? 0) * 1000,
    token,
    boundTo: boundKeyOf(claims['cnf']),
    bindingKey: bindingKeyOf(binding),
    contextDigest: contextDigest({ ...visible, scopeClaim }),
  }) as CallerIdentity;
}

export function makeAnonymous(node: string): AnonymousCaller {
  return Object.freeze({
    kind: 'anonymous',
    node,
    bindingKey: ANONYMOUS_BINDING,
    contextDigest: ANONYMOUS_CONTEXT,
  }) as AnonymousCaller;
}

function subjectOf({ sub }: JWTPayload): string {
  if (typeof sub !== 'string' || PLACEHOLDERS.has(sub.trim().toLowerCase())) {
    throw new TokenFault('ERR_TOKEN_SUBJECT', 'sub');
  }
  return sub;
}

/** RFC 9449 §6.1. A token that is bound in another way as well, or instead (RFC 8705 §3), needs what is not asked for here: without it, it is a stolen one. */
function boundKeyOf(cnf: unknown): string | undefined {
  if (cnf === undefined) return undefined;
  const [[kind, thumbprint] = [], ...others] = Object.entries(Object(cnf));
  if (kind === 'jkt' && others.length === 0 && typeof thumbprint === 'string' && THUMBPRINT.test(thumbprint))
    return thumbprint;
  throw new TokenFault('ERR_TOKEN_BOUND', 'cnf');
}

/** A SHA-256 in base64url (RFC 7638 §3.1). */
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

function tenantOf(claims: JWTPayload, claim: string | undefined): string {
  if (claim === undefined) return '';
  const tenant = claims[claim];
  // Where tenants are told apart, a token without one would share an identity with every other such token.
  if (typeof tenant !== 'string' || tenant === '') throw new TokenFault('ERR_TOKEN_TENANT');
  return tenant;
}

/** RFC 8693 §4.2 `scope`, a string, or an array as some issuers write it, by custom in `scp`. */
function scopesOf(claims: JWTPayload, configured: string): { scopes: readonly string[]; scopeClaim: string } {
  const scopeClaim = configured === 'scope' && claims['scope'] === undefined ? 'scp' : configured;
  const value = claims[scopeClaim] ?? [];
  const listed: readonly unknown[] = typeof value === 'string' ? value.split(' ') : [value].flat();
  if (!listed.every((scope) => typeof scope === 'string')) throw new TokenFault('ERR_TOKEN_SCOPE');
  return { scopes: sortedSet(listed.filter((scope) => scope !== '')), scopeClaim };
}

/** RFC 8693 §4.1: the outermost `act` acts now, the nested ones acted before it. */
function actorsOf(claims: JWTPayload, issuer: string): readonly Actor[] {
  const chain: Actor[] = [];
  for (let act: unknown = claims['act']; act !== undefined; act = Reflect.get(Object(act), 'act')) {
    const { sub, iss = issuer } = Object(act) as { sub?: unknown; iss?: unknown };
    if (typeof sub !== 'string' || sub === '' || typeof iss !== 'string') {
      throw new TokenFault('ERR_TOKEN_ACTOR', 'act');
    }
    chain.push(Object.freeze({ issuer: iss, subject: sub }));
  }
  return Object.freeze(chain);
}

function sortedSet(values: readonly string[]): readonly string[] {
  return Object.freeze([...new Set(values)].sort());
}

/** One verdict serves many exchanges: none of them may change it for the others. */
function deepFreeze<Value>(value: Value): Readonly<Value> {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(deepFreeze);
  return Object.freeze(value);
}
