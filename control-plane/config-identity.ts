import { isLoopbackHost, isLoopbackUrl } from '../shared/config/hosts.ts';
import type { Path } from '../shared/config/variables.ts';
import type { ConfigContext } from './config-context.ts';
import type { ConfigFile } from './config-schema.ts';
import type { IdentitySettings, IntrospectionSettings, IssuerSettings } from './settings.ts';

type IssuerConfig = ConfigFile['identity']['issuers'][number];

/** The tolerance for `exp` and `nbf` is the mesh's own promise, not a choice. */
const CLOCK_TOLERANCE_MS = 5_000;

export function resolveIdentity(file: ConfigFile, context: ConfigContext): IdentitySettings {
  const { identity } = file;
  if (!identity.anonymous && identity.issuers.length === 0) {
    context.problem(['identity'], 'nobody could call: name at least one issuer, or set anonymous: true');
  }
  checkPrefixes(identity.issuers, context);
  return {
    anonymous: identity.anonymous,
    scopeImplies: identity.scopeImplies,
    issuers: identity.issuers.map((issuer, at) => resolveIssuer(file, at, issuer, context)),
    acceptLoopbackAudience: identity.acceptLoopbackAudience,
    verdictCacheMs: identity.verdictCache,
    clockToleranceMs: CLOCK_TOLERANCE_MS,
    tokenGraceMs: identity.tokenGrace,
    proofs: identity.dpop,
  };
}

function resolveIssuer(
  file: ConfigFile,
  at: number,
  config: IssuerConfig,
  context: ConfigContext,
): IssuerSettings {
  const path = ['identity', 'issuers', at];
  if (file.identity.issuers.findIndex((each) => each.issuer === config.issuer) !== at) {
    context.problem([...path, 'issuer'], 'this issuer is named twice');
  }
  const { resource } = file.advertise;
  const audiences = config.audiences ?? (resource === undefined ? [] : [resource]);
  if (audiences.length === 0 && !file.identity.acceptLoopbackAudience) {
    context.problem([...path, 'audiences'], 'name at least one audience, or advertise.resource');
  }
  if (!file.identity.acceptLoopbackAudience && audiences.some(isLoopbackUrl)) {
    context.problem(
      [...path, 'audiences'],
      'a loopback URL is the same in every mesh: use a logical resource, or acceptLoopbackAudience: true in development',
    );
  }
  // Without an address of its own, the keys are found through the issuer's metadata.
  if (config.jwksUri === undefined) checkKeysUrl([...path, 'issuer'], config.issuer, context);
  else checkKeysUrl([...path, 'jwksUri'], config.jwksUri, context);
  return {
    issuer: config.issuer,
    jwksUri: config.jwksUri,
    audiences,
    algorithms: config.algorithms,
    typ: config.typ,
    maxTokenAgeMs: config.maxTokenAge,
    tenantClaim: config.tenantClaim,
    scopeClaim: config.scopeClaim,
    requiredScopes: config.requiredScopes,
    jwksCooldownMs: config.jwksCooldown,
    jwksMaxStaleMs: config.jwksMaxStale,
    jwksTimeoutMs: config.jwksTimeout,
    introspection: resolveIntrospection([...path, 'introspection'], config, context),
  };
}

function resolveIntrospection(
  path: Path,
  { issuer, introspection }: IssuerConfig,
  context: ConfigContext,
): IntrospectionSettings | undefined {
  if (introspection === undefined) return undefined;
  const { endpoint, clientSecret, timeout, ...rest } = introspection;
  checkKeysUrl([...path, 'endpoint'], endpoint ?? issuer, context);
  return {
    ...rest,
    endpoint,
    clientSecret: context.secret([...path, 'clientSecret'], clientSecret),
    timeoutMs: timeout,
  };
}

/** Whose an opaque token is must be certain: asking the wrong issuer would show it to a stranger. */
function checkPrefixes(issuers: readonly IssuerConfig[], context: ConfigContext): void {
  const taken = new Set<string>();
  for (const [at, { introspection }] of issuers.entries()) {
    if (introspection === undefined) continue;
    const { tokenPrefix } = introspection;
    if (taken.has(tokenPrefix)) {
      const path = ['identity', 'issuers', at, 'introspection', 'tokenPrefix'];
      context.problem(
        path,
        'another issuer has opaque tokens that begin alike: tell them apart by their prefix',
      );
    }
    taken.add(tokenPrefix);
  }
}

/** Keys that came over a readable network could be anybody's. */
function checkKeysUrl(path: readonly (string | number)[], url: string, context: ConfigContext): void {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined) context.problem(path, 'expected a URL');
  else if (parsed.protocol !== 'https:' && !isLoopbackHost(parsed.hostname)) {
    context.problem(path, 'expected https, except on loopback');
  }
}
