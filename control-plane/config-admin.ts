import * as v from 'valibot';
import { flag, list, section, text } from '../shared/config/section.ts';
import type { ConfigContext } from './config-context.ts';
import type { IdentitySettings } from './settings.ts';

const HostName = v.pipe(
  text(),
  v.regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'expected the name of a host in lower case, without a port'),
);

/** Who is an admin. */
export const AdminSection = section({
  /** A scope of the token, with what `identity.scopeImplies` says of scopes. */
  scope: v.optional(text()),
  /** A claim of the token that is this text, or an array that holds it. */
  claim: v.optional(section({ name: text(), value: text() })),
  /** Only its tokens; one of `identity.issuers`. */
  issuer: v.optional(text()),
  /** That admins' tokens are for, instead of the audiences of callers' tokens. */
  audience: v.optional(text()),
  /** Whoever reaches the address on this machine, without a token. */
  loopback: v.optional(flag(), false),
  /** Names, beside addresses and localhost, under which the dashboard is opened. */
  dashboardHosts: v.optional(list(HostName), []),
});

export interface AdminSettings {
  /** What makes a verified token an admin's; undefined where nobody needs one. */
  readonly role:
    | { readonly kind: 'scope'; readonly scope: string }
    | { readonly kind: 'claim'; readonly name: string; readonly value: string }
    | undefined;
  /** The rules for admins' tokens. */
  readonly identity: IdentitySettings;
  /** Names, in lower case, under which the dashboard is opened. */
  readonly dashboardHosts: readonly string[];
}

export function resolveAdmin(
  admin: v.InferOutput<typeof AdminSection> | undefined,
  identity: IdentitySettings,
  context: ConfigContext,
): AdminSettings | undefined {
  if (admin === undefined) return undefined;
  const { scope, claim, issuer, audience, loopback } = admin;
  const chosen = [scope !== undefined, claim !== undefined, loopback].filter(Boolean).length;
  if (chosen !== 1) {
    context.problem(
      ['admin'],
      'say who is an admin: by scope, by claim, or loopback: true for everybody here',
    );
  }
  if (loopback && (issuer !== undefined || audience !== undefined)) {
    context.problem(['admin', 'loopback'], 'no token is asked for, so neither issuer nor audience counts');
  }
  const issuers = identity.issuers.filter((each) => issuer === undefined || each.issuer === issuer);
  if (!loopback && issuers.length === 0) {
    const problem =
      issuer === undefined ? 'no issuer vouches for admins' : 'this is none of identity.issuers';
    context.problem(issuer === undefined ? ['admin'] : ['admin', 'issuer'], problem);
  }
  return {
    dashboardHosts: admin.dashboardHosts,
    role: roleOf(scope, claim),
    identity: {
      ...identity,
      anonymous: false,
      // What callers need says nothing of admins.
      issuers: issuers.map((each) => ({
        ...each,
        requiredScopes: [],
        audiences: audience === undefined ? each.audiences : [audience],
      })),
    },
  };
}

function roleOf(
  scope: string | undefined,
  claim: { readonly name: string; readonly value: string } | undefined,
): AdminSettings['role'] {
  if (scope !== undefined) return { kind: 'scope', scope };
  return claim && { kind: 'claim', ...claim };
}
