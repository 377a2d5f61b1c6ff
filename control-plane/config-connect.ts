import { isDeepStrictEqual } from 'node:util';
import * as v from 'valibot';
import { isLoopbackUrl } from '../shared/config/hosts.ts';
import { list, section, text } from '../shared/config/section.ts';
import { httpUrl } from './config-atoms.ts';
import type { ConfigContext } from './config-context.ts';
import { Client, providerTimeout } from './config-credential-schema.ts';
import { resolveClient } from './config-credentials.ts';
import { address } from './config-listen.ts';
import type { ConfigFile } from './config-schema.ts';
import type { SignInSettings } from './connect/sign-in.ts';
import type { Address } from './settings.ts';

/** Where callers log in by browser for backends that need a login of their own. */
export const ConnectSection = section({
  listen: v.optional(address(), '127.0.0.1:4292'),
  /** The origin by which browsers reach it, on whatever replica. */
  publicUrl: httpUrl(),
  /** Of `identity.issuers`, those at which a browser proves who sits before it; the mesh is their client. */
  issuers: v.pipe(
    list(
      section({
        issuer: text(),
        client: Client,
        scopes: v.optional(list(text()), ['openid']),
        timeout: providerTimeout(),
      }),
    ),
    v.minLength(1, 'expected at least one issuer'),
  ),
});

export interface ConnectSettings {
  readonly listen: Address;
  /** An origin, without a slash at its end. */
  readonly publicUrl: string;
  readonly issuers: readonly SignInSettings[];
}

export function resolveConnect(file: ConfigFile, context: ConfigContext): ConnectSettings | undefined {
  const { connect, identity } = file;
  checkLogins(file, context);
  if (connect === undefined) {
    for (const [name] of storedOf(file))
      context.problem(
        ['mcpServers', name, 'credential', 'strategy'],
        'its callers need a place to log in: configure connect',
      );
    return undefined;
  }
  return {
    listen: context.address(['connect', 'listen'], connect.listen),
    publicUrl: originOf(connect.publicUrl, context),
    issuers: connect.issuers.map(({ issuer, client, scopes, timeout }, at) => {
      const path = ['connect', 'issuers', at];
      const own = identity.issuers.find((each) => each.issuer === issuer);
      if (own === undefined) context.problem([...path, 'issuer'], 'no issuer of identity.issuers');
      if (!scopes.includes('openid')) context.problem([...path, 'scopes'], 'expected openid among them');
      const resolved = resolveClient([...path, 'client'], client, context);
      return {
        provider: {
          issuer,
          tokenEndpoint: undefined,
          introspectionEndpoint: undefined,
          client: resolved,
          timeoutMs: timeout,
        },
        scopes,
        tenantClaim: own?.tenantClaim,
      };
    }),
  };
}

/** Who shares a login shares its provider and everything that is asked of it. */
function checkLogins(file: ConfigFile, context: ConfigContext): void {
  const known = new Map<string, unknown>();
  for (const [name, login, credential] of storedOf(file)) {
    const other = known.get(login);
    if (other !== undefined && !isDeepStrictEqual(other, credential))
      context.problem(
        ['mcpServers', name, 'credential', 'login'],
        `another backend has the login "${login}" otherwise`,
      );
    known.set(login, credential);
  }
}

/** By backend, with the name of its login. */
function storedOf({ mcpServers }: ConfigFile) {
  return Object.entries(mcpServers).flatMap(
    ([name, { credential }]): (readonly [string, string, object])[] => {
      if (credential.strategy === 'discover') return [[name, name, credential]];
      if (credential.strategy !== 'stored') return [];
      const { login = name, ...rest } = credential;
      return [[name, login, rest]];
    },
  );
}

/** Cookies and links are for one origin. */
function originOf(written: string, context: ConfigContext): string {
  const url = URL.canParse(written) ? new URL(written) : undefined;
  const problem = (message: string) => context.problem(['connect', 'publicUrl'], message);
  if (url === undefined || url.pathname !== '/' || url.search !== '' || url.username !== '')
    problem('expected an origin, such as https://mesh.example.com');
  else if (url.protocol !== 'https:' && !isLoopbackUrl(written))
    problem('expected https, except on loopback');
  return url?.origin ?? '';
}
