import { isForbiddenHost, isLoopbackUrl } from '../shared/config/hosts.ts';
import type { Path } from '../shared/config/variables.ts';
import { conceal } from '../shared/redact.ts';
import type { ConfigContext } from './config-context.ts';
import type { CredentialConfig, ProviderConfig } from './config-credential-schema.ts';
import type { ConfigFile } from './config-schema.ts';
import type { ClientSettings, CredentialSettings, ProviderSettings } from './credential-settings.ts';

type Entry = ConfigFile['mcpServers'][string];
type Of<Strategy extends CredentialConfig['strategy']> = Extract<CredentialConfig, { strategy: Strategy }>;

/** How the credential for one backend is obtained; problems are noted with their place. */
export function resolveCredential(path: Path, entry: Entry, context: ConfigContext): CredentialSettings {
  const { credential } = entry;
  const at = [...path, 'credential'];
  if (credential.strategy === 'none') return credential;
  if (credential.strategy === 'env') {
    if ('url' in entry)
      context.problem([...at, 'strategy'], 'a URL has no environment: use header or another strategy');
    return { strategy: 'env' };
  }
  if (!('url' in entry)) {
    context.problem([...at, 'strategy'], 'a command has no headers: give it its secret with env');
  } else {
    const name = credential.strategy === 'header' ? credential.name : 'Authorization';
    if (Object.keys(entry.headers).some((each) => each.toLowerCase() === name.toLowerCase()))
      context.problem([...path, 'headers'], `${name} is already sent by the credential strategy`);
  }
  if (credential.strategy === 'discover')
    return resolveDiscover(at, 'url' in entry ? entry.url : '', credential, context);
  return resolveStrategy(at, credential, context);
}

/** What the strategy `env` adds to a child's environment. */
export function variablesOf(path: Path, entry: Entry, context: ConfigContext): Record<string, string> {
  const { credential } = entry;
  if (credential.strategy !== 'env') return {};
  return Object.fromEntries(
    Object.entries(credential.variables).map(([name, source]) => [
      name,
      context.secret([...path, 'credential', 'variables', name], source),
    ]),
  );
}

function resolveStrategy(
  at: Path,
  credential: Exclude<CredentialConfig, { strategy: 'none' | 'env' | 'discover' }>,
  context: ConfigContext,
): CredentialSettings {
  switch (credential.strategy) {
    case 'header': {
      const value = context.secret([...at, 'value'], credential.value);
      return { strategy: 'header', name: credential.name, value: `${credential.prefix}${value}` };
    }
    case 'token_exchange':
      return {
        ...credential,
        provider: resolveProvider([...at, 'provider'], credential.provider, context),
        actor: resolveActor([...at, 'actor'], credential.actor, context),
      };
    case 'id_jag':
      return resolveIdJag(at, credential, context);
    case 'client_credentials':
      return { ...credential, provider: resolveProvider([...at, 'provider'], credential.provider, context) };
    case 'stored':
      return resolveStored(at, credential, context);
    case 'aws_sigv4':
      return resolveAws(at, credential, context);
    case 'passthrough':
      return credential;
  }
}

function resolveProvider(path: Path, config: ProviderConfig, context: ConfigContext): ProviderSettings {
  const { issuer, tokenEndpoint, introspectionEndpoint } = config;
  if (issuer === undefined && tokenEndpoint === undefined)
    context.problem(path, 'name its issuer, or its tokenEndpoint');
  for (const [key, url] of Object.entries({ issuer, tokenEndpoint, introspectionEndpoint }))
    if (url !== undefined) checkProviderUrl([...path, key], url, context);
  return {
    issuer,
    tokenEndpoint,
    introspectionEndpoint,
    client: resolveClient([...path, 'client'], config.client, context),
    timeoutMs: config.timeout,
  };
}

/** Secrets and tokens go there. */
function checkProviderUrl(path: Path, url: string, context: ConfigContext): void {
  if (!URL.canParse(url) || !(url.startsWith('https:') || (url.startsWith('http:') && isLoopbackUrl(url))))
    context.problem(path, 'expected an https URL, or http on loopback');
  else if (isForbiddenHost(new URL(url).hostname))
    context.problem(path, 'link-local addresses and cloud metadata services are never asked');
}

export function resolveClient(
  path: Path,
  config: ProviderConfig['client'],
  context: ConfigContext,
): ClientSettings {
  switch (config.auth) {
    case 'none':
      return config;
    case 'private_key_jwt': {
      const { id, auth, keyId, algorithm } = config;
      return { id, auth, keyId, algorithm, key: context.key([...path, 'key'], config.key) };
    }
    default:
      return { ...config, secret: context.secret([...path, 'secret'], config.secret) };
  }
}

function resolveActor(path: Path, actor: Of<'token_exchange'>['actor'], context: ConfigContext) {
  if (actor === undefined) return undefined;
  const { file, env, type } = actor;
  if ((file === undefined) === (env === undefined))
    context.problem(path, 'expected either file or env, naming where the token is');
  if (file !== undefined) {
    conceal(context.file([...path, 'file'], file).trim());
    return { type, token: { file: context.path(file) } };
  }
  return { type, token: { value: context.secret(path, { env }) } };
}

function resolveIdJag(at: Path, credential: Of<'id_jag'>, context: ConfigContext): CredentialSettings {
  const { identityProvider, authorizationServer, audience, resource, ...rest } = credential;
  if (audience === undefined && authorizationServer.issuer === undefined)
    context.problem(
      [...at, 'audience'],
      'name the audience of the assertion, or the issuer of authorizationServer',
    );
  return {
    ...rest,
    identityProvider: resolveProvider([...at, 'identityProvider'], identityProvider, context),
    authorizationServer: resolveProvider([...at, 'authorizationServer'], authorizationServer, context),
    audience: audience ?? authorizationServer.issuer ?? '',
    resource,
  };
}

/** What the authorization request says by itself, and what `scopes` and `resource` say. */
const OWN_PARAMETERS: ReadonlySet<string> = new Set([
  'response_type',
  'client_id',
  'redirect_uri',
  'state',
  'nonce',
  'scope',
  'resource',
  'code_challenge',
  'code_challenge_method',
  'response_mode',
  'request',
  'request_uri',
]);

function resolveStored(at: Path, credential: Of<'stored'>, context: ConfigContext): CredentialSettings {
  const { strategy, provider, login, scopes, resource, parameters } = credential;
  const { authorizationEndpoint, ...rest } = provider;
  const path = [...at, 'provider'];
  if (authorizationEndpoint !== undefined)
    checkProviderUrl([...path, 'authorizationEndpoint'], authorizationEndpoint, context);
  else if (provider.tokenEndpoint !== undefined || provider.issuer === undefined)
    context.problem(path, 'no metadata is read where tokenEndpoint is named: name authorizationEndpoint too');
  for (const name of Object.keys(parameters))
    if (OWN_PARAMETERS.has(name))
      context.problem([...at, 'parameters', name], 'this parameter belongs to the mesh');
  return {
    strategy,
    provider: resolveProvider(path, rest, context),
    authorizationEndpoint,
    login: login ?? String(at.at(-2)),
    scopes,
    resource,
    parameters,
  };
}

function resolveDiscover(
  at: Path,
  url: string,
  credential: Of<'discover'>,
  context: ConfigContext,
): CredentialSettings {
  const { strategy, scopes, clients, clientMetadata, allowPrivateAddresses, timeout: timeoutMs } = credential;
  if (clientMetadata !== undefined && !clientMetadata.startsWith('https:'))
    context.problem([...at, 'clientMetadata'], 'expected an https URL');
  return {
    ...{ strategy, url, scopes, clientMetadata, allowPrivateAddresses, timeoutMs },
    clients: clients.map(({ issuer, client }, index) => {
      const path = [...at, 'clients', index];
      checkProviderUrl([...path, 'issuer'], issuer, context);
      return { issuer, client: resolveClient([...path, 'client'], client, context) };
    }),
  };
}

function resolveAws(at: Path, credential: Of<'aws_sigv4'>, context: ConfigContext): CredentialSettings {
  const { strategy, roleArn, region, service } = credential;
  const stsEndpoint = credential.stsEndpoint ?? `https://sts.${region}.amazonaws.com/`;
  checkProviderUrl([...at, 'stsEndpoint'], stsEndpoint, context);
  const { duration: durationMs, timeout: timeoutMs } = credential;
  return { strategy, roleArn, region, service, stsEndpoint, durationMs, timeoutMs };
}
