import { join } from 'node:path';
import { conceal } from '../shared/redact.ts';
import type { ConfigContext } from './config-context.ts';
import type { ConfigFile } from './config-schema.ts';
import { decodeKey, type Keys } from './keys.ts';
import type { RedisCredentials, RedisStoreSettings, RedisTls, StoreSettings } from './store/settings.ts';

type StoreConfig = ConfigFile['store'];
type RedisConfig = Extract<StoreConfig, { type: 'redis' }>;

export function resolveStore(
  config: StoreConfig,
  stateFolder: string,
  context: ConfigContext,
): StoreSettings {
  switch (config.type) {
    case 'embedded':
      return {
        kind: 'embedded',
        path: config.path === undefined ? join(stateFolder, 'store') : context.path(config.path),
      };
    case 'memory':
      return { kind: 'memory' };
    case 'redis':
      return resolveRedis(config, context);
  }
}

/** `--store`: `embedded`, `memory`, or a Redis URL, which keeps what the file says about Redis beside where it is. */
export function overrideStore(config: StoreConfig, given: string): StoreConfig | undefined {
  if (given === 'embedded' || given === 'memory') return given === config.type ? config : { type: given };
  if (!/^rediss?:\/\/\S+$/.test(given)) return undefined;
  if (config.type !== 'redis') {
    return {
      type: 'redis',
      url: given,
      prefix: 'outrigger',
      durability: 'local',
      waitReplicas: 1,
      commandTimeout: 500,
    };
  }
  const { sentinel: _sentinel, cluster: _cluster, ...kept } = config;
  return { ...kept, url: given };
}

export function resolveKeys(
  config: ConfigFile['keys'],
  { madeIfAbsent }: { readonly madeIfAbsent: boolean },
  context: ConfigContext,
): Keys | undefined {
  if (config === undefined) {
    if (!madeIfAbsent) {
      context.problem(
        ['keys'],
        'required with Redis: the same server and index keys for every replica, 32 bytes each in base64 (openssl rand -base64 32)',
      );
    }
    return undefined;
  }
  const server = config.server.map(({ id, ...source }, at) => ({
    id,
    key: resolveKey(['keys', 'server', at], source, context),
  }));
  for (const [at, { id }] of server.entries()) {
    const first = server.findIndex((each) => each.id === id);
    if (first !== at) context.problem(['keys', 'server', at, 'id'], `the name ${id} is used twice`);
  }
  const current = resolveKey(['keys', 'index', 'current'], config.index.current, context);
  const before = config.index.previous;
  if (before === undefined) return { server, index: { current } };
  return { server, index: { current, previous: resolveKey(['keys', 'index', 'previous'], before, context) } };
}

function resolveKey(
  path: readonly (string | number)[],
  source: { file?: string | undefined; env?: string | undefined },
  context: ConfigContext,
): Uint8Array {
  const problems = context.problems.length;
  const key = decodeKey(context.secret(path, source));
  if (key !== undefined) return key;
  if (context.problems.length === problems)
    context.problem(path, 'expected 32 bytes in base64, base64url or hex');
  return new Uint8Array();
}

function resolveRedis(config: RedisConfig, context: ConfigContext): RedisStoreSettings {
  const places = [config.url, config.sentinel, config.cluster].filter((each) => each !== undefined);
  if (places.length !== 1) context.problem(['store'], 'expected exactly one of url, sentinel, cluster');
  return {
    kind: 'redis',
    ...redisPlace(config, context),
    ...(config.tls === undefined ? {} : { tls: redisTls(config.tls, context) }),
    prefix: config.prefix,
    durability: config.durability,
    waitReplicas: config.waitReplicas,
    commandTimeoutMs: config.commandTimeout,
  };
}

function redisPlace(
  config: RedisConfig,
  context: ConfigContext,
): Pick<RedisStoreSettings, 'url' | 'sentinel' | 'cluster'> {
  const credentials: RedisCredentials = {
    ...(config.username === undefined ? {} : { username: config.username }),
    ...(config.password === undefined
      ? {}
      : { password: context.secret(['store', 'password'], config.password) }),
  };
  if (config.sentinel !== undefined) {
    const { name, nodes, username, password } = config.sentinel;
    return {
      sentinel: {
        name,
        nodes: nodes.map((node, at) => context.address(['store', 'sentinel', 'nodes', at], node)),
        ...(username === undefined ? {} : { sentinelUsername: username }),
        ...(password === undefined
          ? {}
          : { sentinelPassword: context.secret(['store', 'sentinel', 'password'], password) }),
        ...credentials,
      },
    };
  }
  if (config.cluster !== undefined) {
    const nodes = config.cluster.nodes.map((node, at) =>
      context.address(['store', 'cluster', 'nodes', at], node),
    );
    return { cluster: { nodes, ...credentials } };
  }
  return config.url === undefined ? {} : { url: redisUrl(config.url, credentials, context) };
}

function redisUrl(written: string, credentials: RedisCredentials, context: ConfigContext): string {
  if (!URL.canParse(written)) {
    context.problem(['store', 'url'], 'expected a redis:// or rediss:// URL');
    return written;
  }
  const url = new URL(written);
  if (credentials.username !== undefined) url.username = encodeURIComponent(credentials.username);
  if (credentials.password !== undefined) url.password = encodeURIComponent(credentials.password);
  if (url.password !== '') conceal(decodeURIComponent(url.password));
  return url.href;
}

function redisTls(config: NonNullable<RedisConfig['tls']>, context: ConfigContext): RedisTls {
  const read = (name: 'ca' | 'cert' | 'key') => {
    const file = config[name];
    return file === undefined ? {} : { [name]: context.file(['store', 'tls', name], file) };
  };
  return {
    ...read('ca'),
    ...read('cert'),
    ...read('key'),
    ...(config.servername === undefined ? {} : { servername: config.servername }),
  };
}
