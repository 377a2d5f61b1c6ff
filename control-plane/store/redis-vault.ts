import { MAX_PART_BYTES } from './limits.ts';
import type { RedisAccess } from './redis-access.ts';
import type { RedisInvalidations } from './redis-invalidations.ts';
import type { RedisKeys } from './redis-keys.ts';
import { kindOf, text } from './redis-replies.ts';
import { script } from './redis-script.ts';
import type { VaultEntry, VaultWrite } from './session-store.ts';
import type { VaultPart } from './store-parts.ts';

const VERSION = `
-- The version of what is there; false where nothing is, or nothing that can be trusted.
local function version_of(key)
  if redis.call('TYPE', key).ok ~= 'hash' then return false end
  if redis.call('HSTRLEN', key, 'version') > 64 or redis.call('HSTRLEN', key, 'sealed') > ${MAX_PART_BYTES} then return false end
  return redis.call('HEXISTS', key, 'sealed') == 1 and redis.call('HGET', key, 'version')
end
`;

/** KEYS entry. */
const READ = script('no-writes', [
  VERSION,
  `
local version = version_of(KEYS[1])
if not version then return {'none'} end
return {'found', version, redis.call('HGET', KEYS[1], 'sealed')}
`,
]);

/** KEYS entry. ARGV expected or '', version, sealed, ttl, channel, message. A retry writes the same again, so that WAIT covers it. */
const WRITE = script('', [
  VERSION,
  `
local version = version_of(KEYS[1]) or ''
if version ~= ARGV[1] and version ~= ARGV[2] then return {'conflict'} end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'sealed', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return {'ok'}
`,
]);

/** KEYS entry. ARGV version, channel, message. */
const CLEAR = script('allow-oom', [
  VERSION,
  `
if version_of(KEYS[1]) ~= ARGV[1] then return {'none'} end
redis.call('UNLINK', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return {'ok'}
`,
]);

export interface RedisVaultOptions {
  readonly access: RedisAccess;
  readonly keys: RedisKeys;
  readonly invalidations: RedisInvalidations;
}

/** The vault in Redis: one key an entry, changed by one script each. */
export class RedisVault implements VaultPart {
  readonly #access: RedisAccess;
  readonly #keys: RedisKeys;
  readonly #invalidations: RedisInvalidations;

  constructor({ access, keys, invalidations }: RedisVaultOptions) {
    this.#access = access;
    this.#keys = keys;
    this.#invalidations = invalidations;
  }

  async readVault(id: string): Promise<VaultEntry | null> {
    const reply = await this.#access.read('readVault', {
      script: READ,
      keys: [this.#keys.vault(id)],
      args: [],
    });
    return kindOf(reply) === 'found' ? { version: text(reply, 1), sealed: text(reply, 2) } : null;
  }

  async writeVault({ id, expected, version, sealed, ttlMs }: VaultWrite): Promise<boolean> {
    const reply = await this.#access.write('writeVault', {
      script: WRITE,
      keys: [this.#keys.vault(id)],
      args: [expected ?? '', version, sealed, Math.ceil(ttlMs), ...this.#announcement(id)],
    });
    return kindOf(reply) === 'ok';
  }

  async clearVault(id: string, version: string): Promise<void> {
    await this.#access.write('clearVault', {
      script: CLEAR,
      keys: [this.#keys.vault(id)],
      args: [version, ...this.#announcement(id)],
    });
  }

  #announcement(id: string): readonly [string, string] {
    return [this.#keys.invalidations, this.#invalidations.message(id)];
  }
}
