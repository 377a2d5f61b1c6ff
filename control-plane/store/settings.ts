/** Which store a control plane uses, as configuration gives it. */

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface RedisCredentials {
  readonly username?: string;
  readonly password?: string;
}

export interface RedisSentinelSettings extends RedisCredentials {
  readonly nodes: readonly HostPort[];
  /** The name of the group of servers that the sentinels watch. */
  readonly name: string;
  readonly sentinelUsername?: string;
  readonly sentinelPassword?: string;
}

export interface RedisClusterSettings extends RedisCredentials {
  readonly nodes: readonly HostPort[];
}

/** TLS to Redis; PEM texts, read by whoever read the configuration. */
export interface RedisTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

export interface RedisStoreSettings {
  readonly kind: 'redis';
  /** `redis://` or `rediss://`. Exactly one of `url`, `sentinel` and `cluster`. */
  readonly url?: string;
  readonly sentinel?: RedisSentinelSettings;
  readonly cluster?: RedisClusterSettings;
  readonly tls?: RedisTls;
  /** `replicated`: a write is a success only when `waitReplicas` replicas have it, and the server must not evict. */
  readonly durability?: 'local' | 'replicated';
  /**
   * Default 1. An acknowledged write survives a failover if the promoted server
   * had it: to lose none whichever it is, ask for as many as there are replicas
   * (and accept that writes wait while one of them is away).
   */
  readonly waitReplicas?: number;
  /** The longest that any operation waits for Redis. Default 500. */
  readonly commandTimeoutMs?: number;
  /** The first part of every key. Default `outrigger`. */
  readonly prefix?: string;
}

export interface EmbeddedStoreSettings {
  readonly kind: 'embedded';
  /** A folder of this machine, shared by its processes; made with mode 0700. */
  readonly path: string;
}

export interface MemoryStoreSettings {
  readonly kind: 'memory';
}

export type StoreSettings = MemoryStoreSettings | EmbeddedStoreSettings | RedisStoreSettings;
