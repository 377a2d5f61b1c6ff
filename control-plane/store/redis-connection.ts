import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { RedisStoreSettings, RedisTls } from './settings.ts';

export type RedisClient = Redis | Cluster;

/** Where Redis is: exactly one of the three ways. */
export type RedisTarget =
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'sentinel'; readonly sentinel: NonNullable<RedisStoreSettings['sentinel']> }
  | { readonly kind: 'cluster'; readonly cluster: NonNullable<RedisStoreSettings['cluster']> };

type CommonOptions = Omit<RedisOptions, 'replyMapping' | 'sentinels' | 'retryStrategy'>;
type SentinelOptions = Omit<RedisOptions, 'replyMapping' | 'retryStrategy'>;

export interface ConnectionOptions {
  readonly target: RedisTarget;
  readonly tls: RedisTls | undefined;
  readonly commandTimeoutMs: number;
}

/** The target of these settings. Throws a sentence for people when they name none, or several. */
export function redisTarget({ url, sentinel, cluster }: RedisStoreSettings): RedisTarget {
  const targets: RedisTarget[] = [];
  if (url !== undefined) targets.push({ kind: 'url', url });
  if (sentinel !== undefined) targets.push({ kind: 'sentinel', sentinel });
  if (cluster !== undefined) targets.push({ kind: 'cluster', cluster });
  const [target] = targets;
  if (target === undefined || targets.length > 1) {
    throw new Error('The Redis store needs exactly one of url, sentinel and cluster.');
  }
  return target;
}

/**
 * A client that never queues, never sends a command twice and never waits longer
 * than the bound: a write whose answer is lost is retried by whoever knows its
 * write id. It connects for ever, quickly at first.
 */
export function createClient(options: ConnectionOptions): RedisClient {
  const { target } = options;
  const common = { ...commonOptions(options), retryStrategy: reconnectDelay };
  if (target.kind === 'url') return new Redis(target.url, common);
  if (target.kind === 'sentinel')
    return new Redis({ ...common, ...sentinelOptions(options, target.sentinel) });
  const { nodes, username, password } = target.cluster;
  const { retryStrategy: _, enableOfflineQueue, ...perNode } = common;
  return new Cluster([...nodes], {
    lazyConnect: true,
    enableOfflineQueue,
    clusterRetryStrategy: reconnectDelay,
    clusterNodeRetryStrategy: reconnectDelay,
    // Zero: a command whose connection broke may have run, and is not sent again.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    maxRedirections: 4,
    slotsRefreshTimeout: options.commandTimeoutMs,
    slotsRefreshInterval: 1000,
    redisOptions: { ...perNode, ...credentials(username, password) },
  });
}

/** A connection for invalidations, to the `attempt`-th place that serves them. It does not reconnect by itself: its user must know of every gap. */
export function createSubscriber(options: ConnectionOptions, attempt: number): Redis {
  const { target } = options;
  const common = { ...commonOptions(options), retryStrategy: null };
  if (target.kind === 'url') return new Redis(target.url, common);
  if (target.kind === 'sentinel')
    return new Redis({ ...common, ...sentinelOptions(options, target.sentinel) });
  // In a Cluster every node hears every published message.
  const { nodes, username, password } = target.cluster;
  return new Redis({ ...common, ...nodes[attempt % nodes.length], ...credentials(username, password) });
}

function commonOptions({ commandTimeoutMs, tls }: ConnectionOptions): CommonOptions {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    commandTimeout: commandTimeoutMs,
    // Longer than any command may take: a connection that is silent for so long leads nowhere any more.
    socketTimeout: 2 * commandTimeoutMs,
    connectTimeout: 2 * commandTimeoutMs,
    connectionName: 'outrigger',
    ...(tls === undefined ? {} : { tls: { ...tls } }),
  };
}

function sentinelOptions(
  { commandTimeoutMs, tls }: ConnectionOptions,
  sentinel: NonNullable<RedisStoreSettings['sentinel']>,
): SentinelOptions {
  return {
    name: sentinel.name,
    sentinels: [...sentinel.nodes],
    ...credentials(sentinel.username, sentinel.password),
    ...(sentinel.sentinelUsername === undefined ? {} : { sentinelUsername: sentinel.sentinelUsername }),
    ...(sentinel.sentinelPassword === undefined ? {} : { sentinelPassword: sentinel.sentinelPassword }),
    ...(tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: { ...tls } }),
    sentinelRetryStrategy: reconnectDelay,
    sentinelCommandTimeout: commandTimeoutMs,
  };
}

function credentials(username: string | undefined, password: string | undefined) {
  return { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) };
}

/** 50 ms doubling to one second, with jitter. */
export function reconnectDelay(attempt: number): number {
  return Math.min(1000, 50 * 2 ** Math.min(attempt - 1, 5)) * (0.75 + Math.random() / 2);
}
