import type { Actor, Caller, IdentityBinding } from './caller.ts';
import { FLEETING } from './context-digest.ts';

/**
 * A caller as decisions see it: everything that its context digest covers and
 * nothing else, so that a decision holds for every token of that context. It
 * holds no credential and may be kept.
 */
export type Principal =
  | {
      readonly kind: 'identified';
      readonly contextDigest: string;
      readonly binding: IdentityBinding;
      /** The token's own; what they imply is for the decision to say. */
      readonly scopes: readonly string[];
      /** Without those that change with every token. */
      readonly claims: Readonly<Record<string, unknown>>;
      readonly actorChain: readonly Actor[];
    }
  | { readonly kind: 'anonymous'; readonly contextDigest: string };

const principals = new WeakMap<Caller, Principal>();

export function principalOf(caller: Caller): Principal {
  const known = principals.get(caller);
  if (known !== undefined) return known;
  const principal = makePrincipal(caller);
  principals.set(caller, principal);
  return principal;
}

function makePrincipal(caller: Caller): Principal {
  const { kind, contextDigest } = caller;
  if (kind === 'anonymous') return { kind, contextDigest };
  const { binding, scopes, actorChain } = caller;
  const claims = Object.fromEntries(Object.entries(caller.claims).filter(([name]) => !FLEETING.has(name)));
  return { kind, contextDigest, binding, scopes, claims, actorChain };
}
