import type { RedisLink } from './redis-link.ts';

/** Places for calls under way, by key. */
export interface CallSlots {
  /** Whether there was a place for this call; `release` gives it back. */
  acquire(key: string, call: string, limit: number): Promise<boolean>;
  release(key: string, call: string): void;
  stop(): void;
}

/** Of this replica alone. */
export function memorySlots(): CallSlots {
  const held = new Map<string, Set<string>>();
  return {
    acquire(key, call, limit) {
      const calls = held.get(key) ?? new Set();
      if (calls.size >= limit) return Promise.resolve(false);
      held.set(key, calls.add(call));
      return Promise.resolve(true);
    },
    release(key, call) {
      const calls = held.get(key);
      calls?.delete(call);
      if (calls?.size === 0) held.delete(key);
    },
    stop() {},
  };
}

/** A place that its replica does not hold on to any more is free after this long: the replica was lost. */
const LEASE_MS = 30_000;
const RENEW_MS = 10_000;

const NOW = `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;
const ACQUIRE = `${NOW}redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`;
const RENEW = `${NOW}for at = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[at]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])`;

/** Of all replicas: a sorted set for each key, of the calls under way and when their leases end on the server's clock. */
export function redisSlots(link: RedisLink): CallSlots {
  const run = (lua: string, key: string, ...args: (string | number)[]) =>
    link.ask(() => link.client.eval(lua, 1, key, ...args));
  const held = new Map<string, Set<string>>();
  const renewal = setInterval(() => {
    for (const [key, calls] of held) void run(RENEW, key, LEASE_MS, ...calls).catch(ignore);
  }, RENEW_MS);
  renewal.unref();
  return {
    async acquire(key, call, limit) {
      const got = await run(ACQUIRE, key, call, limit, LEASE_MS);
      if (got !== 1) return false;
      held.set(key, (held.get(key) ?? new Set()).add(call));
      return true;
    },
    release(key, call) {
      const calls = held.get(key);
      calls?.delete(call);
      if (calls?.size === 0) held.delete(key);
      // Where this is lost, the lease ends by itself.
      void link.ask(() => link.client.zrem(key, call)).catch(ignore);
    },
    stop: () => clearInterval(renewal),
  };
}

function ignore(): void {}
