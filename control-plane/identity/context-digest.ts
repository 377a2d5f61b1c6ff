import { createHash } from 'node:crypto';
import type { Actor, IdentityBinding } from './caller.ts';

/** Claims that change with every token and nothing that a caller may see. */
export const FLEETING: ReadonlySet<string> = new Set([
  'exp',
  'iat',
  'nbf',
  'jti',
  'auth_time',
  'nonce',
  'sid',
]);

/** Claims that the other members of `Visible` hold already, in their normal form. */
const COVERED = ['iss', 'sub', 'aud', 'act'] as const;

/** What can change what a caller sees. Scopes and audience are sorted. */
export interface Visible {
  readonly binding: IdentityBinding;
  readonly audience: readonly string[];
  readonly scopes: readonly string[];
  readonly actorChain: readonly Actor[];
  readonly claims: Readonly<Record<string, unknown>>;
  /** The claim that `scopes` was read from. */
  readonly scopeClaim: string;
}

/** SHA-256, base64url, over the canonical form: two callers see the same exactly when it is equal. */
export function contextDigest({
  binding,
  audience,
  scopes,
  actorChain,
  claims,
  scopeClaim,
}: Visible): string {
  const left = new Set<string>([...FLEETING, ...COVERED, scopeClaim]);
  const others = Object.entries(claims).filter(([name]) => !left.has(name));
  const actors = actorChain.map(({ issuer, subject }) => [issuer, subject]);
  const parts = [binding.issuer, binding.subject, binding.tenant, audience, scopes, actors];
  return digest(['identified', ...parts, Object.fromEntries(others)]);
}

/** Every anonymous caller sees the same. */
export const ANONYMOUS_CONTEXT = digest(['anonymous']);

function digest(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('base64url');
}

/** JSON with sorted keys and no spaces, in the manner of RFC 8785. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`;
}
