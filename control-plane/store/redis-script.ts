import { createHash } from 'node:crypto';
import { RECORD_SCHEMA } from './session-store.ts';

/**
 * The Redis store's operations are one script each, so that each is one atomic
 * step on the server's clock. They say in Lua what `rules.ts` and `event-window.ts`
 * say in TypeScript, and lie beside what calls them.
 *
 * Flags decide who still works when Redis refuses writes for lack of memory:
 * `no-writes` reads, and `allow-oom` touches and closes; creating and updating
 * do not. (Redis 7.0 or newer, or Valkey.)
 */
export interface RedisScript {
  readonly lua: string;
  readonly sha: string;
}

export function script(flags: '' | 'no-writes' | 'allow-oom', parts: readonly string[]): RedisScript {
  const lua = `#!lua${flags === '' ? '' : ` flags=${flags}`}\n${parts.join('\n')}`;
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

const SMALL_FIELD = 1024;

/** The fields of a record beside its sealed parts; a reply gives the first eight in this order. */
export const HEADER = `
local FIELDS = {'version', 'epoch', 'owner', 'taken', 'expires', 'idle', 'schema', 'kid', 'ttl', 'touched', 'writes', 'witness'}
local NUMBERS = {version = true, epoch = true, taken = true, expires = true, idle = true, schema = true, ttl = true, touched = true}

local function int(number) return string.format('%.0f', number) end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- The header of a live record; nil where there is none; false and why where it cannot be trusted.
local function read_header(key, now)
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' then return nil end
  if kind ~= 'hash' then return false, 'wrong_type' end
  for _, field in ipairs(FIELDS) do
    if redis.call('HSTRLEN', key, field) > ${SMALL_FIELD} then return false, 'oversized' end
  end
  local header = {}
  for at, value in ipairs(redis.call('HMGET', key, unpack(FIELDS))) do
    local field = FIELDS[at]
    if not value then return false, 'malformed' end
    if NUMBERS[field] then
      if not string.match(value, '^%d+$') or #value > 15 then return false, 'malformed' end
      value = tonumber(value)
    end
    header[field] = value
  end
  if header.schema > ${RECORD_SCHEMA} then return false, 'future_schema' end
  if now >= header.idle or now >= header.expires then return nil end
  return header
end

local function reply(kind, header, version)
  return {kind, version or int(header.version), int(header.epoch), header.owner, int(header.taken),
    int(header.expires), int(header.idle), int(header.schema), header.kid}
end
`;
