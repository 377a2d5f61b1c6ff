import { MAX_TABLE_BYTES } from './limits.ts';
import type { RedisAccess } from './redis-access.ts';
import { kindOf, text } from './redis-replies.ts';
import { script } from './redis-script.ts';

/** KEYS any. ARGV value, ttl. Never shortens the life of what is there. */
const PUT = script('', [
  `
local ttl = math.max(tonumber(ARGV[2]), redis.call('PTTL', KEYS[1]))
redis.call('SET', KEYS[1], ARGV[1], 'PX', string.format('%.0f', ttl))
return {'ok'}
`,
]);

/** KEYS any. A string, if it is one and within its cap. */
const GET = script('no-writes', [
  `
if redis.call('TYPE', KEYS[1]).ok ~= 'string' or redis.call('STRLEN', KEYS[1]) > ${MAX_TABLE_BYTES} then return {'gone'} end
return {'found', redis.call('GET', KEYS[1])}
`,
]);

export interface StringWrite {
  /** The operation that it is part of. */
  readonly operation: string;
  readonly key: string;
  readonly value: string;
  readonly ttlMs: number;
}

/** Strings under keys of their own: routing tables and witnesses. */
export class RedisStrings {
  readonly #access: RedisAccess;

  constructor(access: RedisAccess) {
    this.#access = access;
  }

  async put({ operation, key, value, ttlMs }: StringWrite): Promise<void> {
    await this.#access.read(operation, { script: PUT, keys: [key], args: [value, ttlMs] });
  }

  async get(operation: string, key: string): Promise<string | null> {
    const reply = await this.#access.read(operation, { script: GET, keys: [key], args: [] });
    return kindOf(reply) === 'found' ? text(reply, 1) : null;
  }
}
