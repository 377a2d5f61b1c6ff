import { Cluster, type Redis } from 'ioredis';
import type { RedisClient } from './redis-connection.ts';

/** What one server says of itself. */
export interface RedisFacts {
  /** `host:port`. */
  readonly place: string;
  readonly version: string;
  readonly maxmemoryPolicy: string;
  /** Whether this server takes writes. */
  readonly primary: boolean;
  /** Replicas that are connected to it. */
  readonly replicas: number;
  /** What it keeps on disk; `unknown` where it does not let itself be asked. */
  readonly persistence: 'aof' | 'rdb' | 'none' | 'unknown';
  /** Its last attempt to write to the disk failed. */
  readonly diskFails: boolean;
  /** By its clock, in milliseconds since 1970. */
  readonly now: number;
}

/** The servers that hold records: of a Cluster its primaries. */
export function primariesOf(client: RedisClient): readonly Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client];
}

/** What a server does when its memory is full: anything but `noeviction` loses sessions. */
export async function maxmemoryPolicyOf(server: Redis): Promise<string> {
  return fieldOf(await server.info('memory'), 'maxmemory_policy') ?? 'unknown';
}

export async function readRedisFacts(server: Redis): Promise<RedisFacts> {
  const [maxmemoryPolicy, about, disk, roles, [seconds, micros], save] = await Promise.all([
    maxmemoryPolicyOf(server),
    server.info('server'),
    server.info('persistence'),
    server.info('replication'),
    server.time(),
    // Where others run the server for us it may not be asked.
    server.config('GET', 'save').then(savesOf, () => undefined),
  ]);
  const appends = fieldOf(disk, 'aof_enabled') === '1';
  const failing = ['aof_last_write_status', 'rdb_last_bgsave_status'].some(
    (field) => (fieldOf(disk, field) ?? 'ok') !== 'ok',
  );
  return {
    place: `${server.options.host}:${server.options.port}`,
    version: fieldOf(about, 'redis_version') ?? 'unknown',
    maxmemoryPolicy,
    primary: fieldOf(roles, 'role') !== 'slave',
    replicas: Number(fieldOf(roles, 'connected_slaves') ?? 0),
    persistence: appends ? 'aof' : save === undefined ? 'unknown' : save === '' ? 'none' : 'rdb',
    diskFails: failing,
    now: Number(seconds) * 1_000 + Number(micros) / 1_000,
  };
}

function fieldOf(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1];
}

/** The answer is a list of names and values, or an object of them. */
function savesOf(answer: unknown): string | undefined {
  const value: unknown = Array.isArray(answer) ? answer[1] : Reflect.get(Object(answer), 'save');
  return typeof value === 'string' ? value : undefined;
}
