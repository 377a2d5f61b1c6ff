import * as v from 'valibot';
import { flag, list, section, text } from '../shared/config/section.ts';
import { isSpiffePattern } from '../shared/spiffe-id.ts';
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
  /** SPIFFE ids of client certificates, beside the role or instead of one. */
  certificates: v.optional(
    list(
      v.pipe(text(), v.check(isSpiffePattern, 'expected a SPIFFE id, such as spiffe://mesh.example/admin/*')),
    ),
    [],
  ),
  /** Whoever reaches the address on this machine, without a token. */
  loopback: v.optional(flag(), false),
  /** Names, beside addresses and localhost, under which the dashboard is opened. */
  dashboardHosts: v.optional(list(HostName), []),
});

export interface AdminSettings {
  /** What makes a verified token an admin's; undefined: no token does. */
  readonly role:
    | { readonly kind: 'scope'; readonly scope: string }
    | { readonly kind: 'claim'; readonly name: string; readonly value: string }
    | undefined;
  /** Whose client certificates are an admin's; `*` stands for one segment, or for the rest where it is the last. */
  readonly certificates: readonly string[];
  /** Everybody on this machine may ask, without a token. */
  readonly loopback: boolean;
  /** The rules for admins' tokens. */
  readonly identity: IdentitySettings;
  /** Names, in lower case, under which the dashboard is opened. */
  readonly dashboardHosts: readonly string[];
}

type Section = v.InferOutput<typeof AdminSection>;

export function resolveAdmin(
  admin: Section | undefined,
  { identity, tls }: { readonly identity: IdentitySettings; readonly tls: boolean },
  context: ConfigContext,
): AdminSettings | undefined {
  if (admin === undefined) return undefined;
  const { scope, claim, issuer, audience, loopback, certificates } = admin;
  checkChoice(admin, context);
  if (certificates.length > 0 && !tls)
    context.problem(['admin', 'certificates'], 'nobody shows a certificate without listen.grpc.tls');
  const byToken = scope !== undefined || claim !== undefined;
  const issuers = identity.issuers.filter((each) => issuer === undefined || each.issuer === issuer);
  if (byToken && issuers.length === 0) {
    const problem =
      issuer === undefined ? 'no issuer vouches for admins' : 'this is none of identity.issuers';
    context.problem(issuer === undefined ? ['admin'] : ['admin', 'issuer'], problem);
  }
  return {
    dashboardHosts: admin.dashboardHosts,
    role: roleOf(scope, claim),
    certificates,
    loopback,
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

function checkChoice(
  { scope, claim, issuer, audience, loopback, certificates }: Section,
  context: ConfigContext,
): void {
  const chosen = [scope !== undefined, claim !== undefined, loopback].filter(Boolean).length;
  if (chosen > 1 || (chosen === 0 && certificates.length === 0)) {
    context.problem(
      ['admin'],
      'say who is an admin: by scope, by claim, by certificates, or loopback: true for everybody here',
    );
  }
  const path = loopback ? ['admin', 'loopback'] : ['admin'];
  if ((chosen === 0 || loopback) && (issuer !== undefined || audience !== undefined))
    context.problem(path, 'no token is asked for, so neither issuer nor audience counts');
  if (loopback && certificates.length > 0)
    context.problem(path, 'everybody here is an admin, so no certificate counts');
}

function roleOf(
  scope: string | undefined,
  claim: { readonly name: string; readonly value: string } | undefined,
): AdminSettings['role'] {
  if (scope !== undefined) return { kind: 'scope', scope };
  return claim && { kind: 'claim', ...claim };
}
