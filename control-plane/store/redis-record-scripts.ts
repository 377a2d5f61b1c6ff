import {
  MAX_PART_BYTES,
  MAX_SLACK_MS,
  QUARANTINE_TTL_MS,
  REMEMBERED_WRITES,
  SLACK_SHARE,
  TAKEOVER_INTERVAL_MS,
} from './limits.ts';
import { HEADER, script } from './redis-script.ts';

/** For the scripts that answer a write id. */
const WRITES = `
-- The version and epoch that a write made, if the record remembers it.
local function earlier_write(header, id)
  for known, version, epoch in string.gmatch(header.writes, '([^: ]+):(%d+):(%d+)') do
    if known == id then return version, tonumber(epoch) end
  end
end

local function remember(header, id)
  local writes = {id .. ':' .. int(header.version) .. ':' .. int(header.epoch)}
  for write in string.gmatch(header.writes or '', '[^ ]+') do
    if #writes < ${REMEMBERED_WRITES} then writes[#writes + 1] = write end
  end
  return table.concat(writes, ' ')
end

-- WAIT counts replicas up to this connection's last write: an answer that wrote nothing must still be behind one.
local function barrier(key, wanted, now)
  if wanted == '1' then redis.call('SET', key, int(now), 'PX', 1000) end
end

local function index(key, name, header)
  redis.call('ZADD', key, int(header.idle), name)
  if redis.call('PTTL', key) < header.expires - now_ms() then redis.call('PEXPIREAT', key, int(header.expires)) end
end
`;

/** For the scripts that slide the idle expiry. */
const SLIDE = `
local function slack(header) return math.min(${MAX_SLACK_MS}, math.floor(header.ttl * ${SLACK_SHARE})) end

-- Whether what was written lately is enough for a touch now.
local function is_slid(header, now)
  return header.idle >= math.min(now + header.ttl, header.expires) and now - header.touched < slack(header)
end

-- Further by the slack, so that the touches until it is used up have nothing to write.
local function slide(header, now)
  header.idle = math.min(now + header.ttl + slack(header), header.expires)
end
`;

/** KEYS record, index, barrier. ARGV name, durable, writeId, owner, idleTtl, absoluteTtl, schema, kid, summary, body, witness. */
export const CREATE = script('', [
  HEADER,
  WRITES,
  `
local now = now_ms()
local found, why = read_header(KEYS[1], now)
if found == false then return {'corrupt', why} end
if found then
  local version, epoch = earlier_write(found, ARGV[3])
  if version and epoch == found.epoch then
    barrier(KEYS[3], ARGV[2], now)
    return reply('created', found, version)
  end
  return {'exists'}
end
local header = {version = 1, epoch = 1, owner = ARGV[4], taken = now, ttl = tonumber(ARGV[5]), schema = tonumber(ARGV[7]), kid = ARGV[8]}
header.expires = now + tonumber(ARGV[6])
header.idle = math.min(now + header.ttl, header.expires)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'version', 1, 'epoch', 1, 'owner', header.owner, 'taken', int(now), 'expires', int(header.expires),
  'idle', int(header.idle), 'schema', ARGV[7], 'kid', header.kid, 'ttl', ARGV[5], 'touched', int(now),
  'writes', remember(header, ARGV[3]), 'witness', ARGV[11], 'summary', ARGV[9], 'body', ARGV[10])
redis.call('PEXPIREAT', KEYS[1], int(header.idle))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', int(now))
index(KEYS[2], ARGV[1], header)
return reply('created', header)
`,
]);

/** KEYS record, index. ARGV name, '1' with the body. A record that is missing before its time is `lost`. */
export const LOAD = script('no-writes', [
  HEADER,
  `
local now = now_ms()
local header, why = read_header(KEYS[1], now)
if header == false then return {'corrupt', why} end
if not header then
  if redis.call('TYPE', KEYS[2]).ok ~= 'zset' then return {'gone'} end
  local until_ms = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if until_ms and tonumber(until_ms) > now then return {'lost'} end
  return {'gone'}
end
if redis.call('HSTRLEN', KEYS[1], 'summary') > ${MAX_PART_BYTES} or redis.call('HSTRLEN', KEYS[1], 'body') > ${MAX_PART_BYTES} then
  return {'corrupt', 'oversized'}
end
local answer = reply('found', header)
local summary = redis.call('HGET', KEYS[1], 'summary')
local body = redis.call('HGET', KEYS[1], 'body')
if not summary or not body then return {'corrupt', 'malformed'} end
answer[#answer + 1] = summary
answer[#answer + 1] = ARGV[2] == '1' and body or ''
return answer
`,
]);

/** KEYS record, index. ARGV name, epoch. */
export const TOUCH = script('allow-oom', [
  HEADER,
  WRITES,
  SLIDE,
  `
local now = now_ms()
local header, why = read_header(KEYS[1], now)
if header == false then return {'corrupt', why} end
if not header then return {'gone'} end
if int(header.epoch) ~= ARGV[2] then return reply('fenced', header) end
if is_slid(header, now) then return reply('ok', header) end
slide(header, now)
redis.call('HSET', KEYS[1], 'idle', int(header.idle), 'touched', int(now))
redis.call('PEXPIREAT', KEYS[1], int(header.idle))
index(KEYS[2], ARGV[1], header)
return reply('ok', header)
`,
]);

/** KEYS record, index, barrier. ARGV name, durable, writeId, version, epoch, channel, message, owner or '', then pairs of changed fields. */
export const UPDATE = script('', [
  HEADER,
  WRITES,
  SLIDE,
  `
local now = now_ms()
local header, why = read_header(KEYS[1], now)
if header == false then return {'corrupt', why} end
barrier(KEYS[3], ARGV[2], now)
if not header then return {'gone'} end
local version, epoch = earlier_write(header, ARGV[3])
if version then
  if epoch ~= header.epoch then return reply('fenced', header) end
  return reply('ok', header, version)
end
if int(header.epoch) ~= ARGV[5] then return reply('fenced', header) end
if int(header.version) ~= ARGV[4] then return reply('conflict', header) end
if ARGV[8] ~= '' then
  if header.owner ~= ARGV[8] then
    if header.epoch > 1 and now - header.taken < ${TAKEOVER_INTERVAL_MS} then return reply('too_soon', header) end
    header.owner = ARGV[8]
    header.taken = now
  end
  header.epoch = header.epoch + 1
end
header.version = header.version + 1
slide(header, now)
redis.call('HSET', KEYS[1], 'version', int(header.version), 'epoch', int(header.epoch), 'owner', header.owner,
  'taken', int(header.taken), 'idle', int(header.idle), 'touched', int(now), 'writes', remember(header, ARGV[3]))
for at = 9, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  if ARGV[at] == 'kid' then header.kid = ARGV[at + 1] end
end
redis.call('PEXPIREAT', KEYS[1], int(header.idle))
index(KEYS[2], ARGV[1], header)
redis.call('PUBLISH', ARGV[6], ARGV[7])
return reply('ok', header)
`,
]);

const FORGET = `
-- Everything of a session but its record.
local function forget(streams, index, name, channel, message)
  if redis.call('TYPE', streams).ok == 'zset' then
    for _, stream in ipairs(redis.call('ZRANGE', streams, 0, -1)) do redis.call('UNLINK', streams .. ':' .. stream) end
  end
  redis.call('UNLINK', streams)
  if redis.call('TYPE', index).ok == 'zset' then redis.call('ZREM', index, name) end
  redis.call('PUBLISH', channel, message)
end
`;

/** KEYS record, index, barrier, streams. ARGV name, durable, channel, message. */
export const CLOSE = script('allow-oom', [
  HEADER,
  WRITES,
  FORGET,
  `
local now = now_ms()
local header, why = read_header(KEYS[1], now)
if header == false then return {'corrupt', why} end
barrier(KEYS[3], ARGV[2], now)
redis.call('UNLINK', KEYS[1])
forget(KEYS[4], KEYS[2], ARGV[1], ARGV[3], ARGV[4])
if not header then return {'gone'} end
return {'closed', header.witness}
`,
]);

/** KEYS record, index, streams, quarantine. ARGV name, channel, message. */
export const QUARANTINE = script('allow-oom', [
  FORGET,
  `
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('UNLINK', KEYS[4])
  redis.call('RENAME', KEYS[1], KEYS[4])
  redis.call('PEXPIRE', KEYS[4], ${QUARANTINE_TTL_MS})
end
forget(KEYS[3], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
return {'ok'}
`,
]);
