import { createHash } from 'node:crypto';
import {
  MAX_PART_BYTES,
  MAX_PRINCIPAL_SESSIONS,
  MAX_STREAM_BYTES,
  MAX_STREAM_EVENTS,
  MAX_STREAMS,
  MAX_TABLE_BYTES,
  QUARANTINE_TTL_MS,
  REMEMBERED_WRITES,
  STREAM_TTL_MS,
  TAKEOVER_INTERVAL_MS,
} from './limits.ts';
import { RECORD_SCHEMA } from './session-store.ts';

/**
 * The Redis store's operations: one script each, so that each is one atomic step
 * on the server's clock. They say in Lua what `rules.ts` and `event-window.ts`
 * say in TypeScript.
 *
 * Flags decide who still works when Redis refuses writes for lack of memory:
 * `no-writes` reads, and `allow-oom` touches and closes; creating and updating
 * do not. (Redis 7.0 or newer, or Valkey.)
 */
export interface RedisScript {
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
}

const SMALL_FIELD = 1024;

/** The fields of a record beside its sealed parts; a reply gives the first eight in this order. */
const HEADER = `
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

/** KEYS record, index, barrier. ARGV name, durable, writeId, owner, idleTtl, absoluteTtl, schema, kid, summary, body, witness. */
export const CREATE = script('create', '', [
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
export const LOAD = script('load', 'no-writes', [
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
export const TOUCH = script('touch', 'allow-oom', [
  HEADER,
  WRITES,
  `
local now = now_ms()
local header, why = read_header(KEYS[1], now)
if header == false then return {'corrupt', why} end
if not header then return {'gone'} end
if int(header.epoch) ~= ARGV[2] then return reply('fenced', header) end
header.idle = math.min(now + header.ttl, header.expires)
redis.call('HSET', KEYS[1], 'idle', int(header.idle), 'touched', int(now))
redis.call('PEXPIREAT', KEYS[1], int(header.idle))
index(KEYS[2], ARGV[1], header)
return reply('ok', header)
`,
]);

/** KEYS record, index, barrier. ARGV name, durable, writeId, version, epoch, channel, message, owner or '', then pairs of changed fields. */
export const UPDATE = script('update', '', [
  HEADER,
  WRITES,
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
header.idle = math.min(now + header.ttl, header.expires)
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
export const CLOSE = script('close', 'allow-oom', [
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
export const QUARANTINE = script('quarantine', 'allow-oom', [
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

/** KEYS index. ARGV the prefix of the principal's records. Answers name, time of the last touch, and so on. */
export const LIST_PRINCIPAL = script('listPrincipal', 'no-writes', [
  HEADER,
  `
local now = now_ms()
local answer = {'ok'}
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then return answer end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. int(now), '+inf', 'LIMIT', 0, ${MAX_PRINCIPAL_SESSIONS})) do
  local header = read_header(ARGV[1] .. name, now)
  if header then
    answer[#answer + 1] = name
    answer[#answer + 1] = int(header.touched)
  end
end
return answer
`,
]);

/** KEYS record, streams, stream. ARGV stream, epoch, then for each event: seq, '1' for an answer, number of pieces, the pieces. */
export const APPEND_EVENTS = script('appendEvents', '', [
  HEADER,
  `
local now = now_ms()
local header, why = read_header(KEYS[1], now)
if header == false then return {'corrupt', why} end
if not header then return {'gone'} end
if int(header.epoch) ~= ARGV[2] then return {'fenced'} end

local known = redis.call('HMGET', KEYS[3], 'first', 'last', 'count', 'bytes', 'answers')
local first, last, count, bytes = tonumber(known[1] or 0), tonumber(known[2] or 0), tonumber(known[3] or 0), tonumber(known[4] or 0)
local answers = known[5] or ''
local at = 3
while at <= #ARGV do
  local seq, answer, pieces = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2])
  if seq > last then
    -- A gap this wide is another history; walking it would hold up everybody.
    if last > 0 and seq - last > 4096 then
      redis.call('UNLINK', KEYS[3])
      first, count, bytes, answers = 0, 0, 0, ''
    end
    local size = 0
    for piece = 1, pieces do
      local data = ARGV[at + 2 + piece]
      size = size + #data
      redis.call('HSET', KEYS[3], int(seq) .. ':' .. piece, data)
    end
    redis.call('HSET', KEYS[3], int(seq), size .. ':' .. pieces .. ':' .. answer)
    if first == 0 then first = seq end
    last = seq
    if answer == '1' then answers = answers .. int(seq) .. ' ' else count, bytes = count + 1, bytes + size end
  end
  at = at + 3 + pieces
end
while (count > ${MAX_STREAM_EVENTS} or bytes > ${MAX_STREAM_BYTES}) and first <= last do
  local size, pieces, answer = string.match(redis.call('HGET', KEYS[3], int(first)) or '', '^(%d+):(%d+):(%d)$')
  if answer == '0' then
    redis.call('HDEL', KEYS[3], int(first))
    for piece = 1, tonumber(pieces) do redis.call('HDEL', KEYS[3], int(first) .. ':' .. piece) end
    count, bytes = count - 1, bytes - tonumber(size)
  end
  first = first + 1
end
if last == 0 then return {'ok'} end
redis.call('HSET', KEYS[3], 'first', int(first), 'last', int(last), 'count', int(count), 'bytes', int(bytes), 'answers', answers)
redis.call('PEXPIRE', KEYS[3], ${STREAM_TTL_MS})
redis.call('ZADD', KEYS[2], int(now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', int(now - ${STREAM_TTL_MS}))
for _, oldest in ipairs(redis.call('ZRANGE', KEYS[2], 0, -${MAX_STREAMS + 1})) do
  redis.call('UNLINK', KEYS[2] .. ':' .. oldest)
  redis.call('ZREM', KEYS[2], oldest)
end
redis.call('PEXPIRE', KEYS[2], ${STREAM_TTL_MS})
return {'ok'}
`,
]);

/** KEYS record, stream. ARGV after. Answers the newest seq, then as much as fits a page: seq, '1' for an answer, number of pieces, the pieces. */
export const READ_EVENTS = script('readEvents', 'no-writes', [
  HEADER,
  `
local header, why = read_header(KEYS[1], now_ms())
if header == false then return {'corrupt', why} end
if not header then return {'gone'} end
local kind = redis.call('TYPE', KEYS[2]).ok
if kind == 'none' then return {'ok', '0'} end
if kind ~= 'hash' then return {'damaged'} end
for _, field in ipairs({'first', 'last'}) do
  if redis.call('HSTRLEN', KEYS[2], field) > 15 then return {'damaged'} end
end
local first, last = tonumber(redis.call('HGET', KEYS[2], 'first') or ''), tonumber(redis.call('HGET', KEYS[2], 'last') or '')
if not first or not last or last - first > 1000000 then return {'damaged'} end
if redis.call('HSTRLEN', KEYS[2], 'answers') > ${MAX_PART_BYTES} then return {'damaged'} end

local answer, size, after = {'ok', int(last)}, 0, tonumber(ARGV[1])
-- False when the page is full.
local function add(seq)
  if seq <= after then return true end
  if redis.call('HSTRLEN', KEYS[2], int(seq)) > 64 then return nil end
  local bytes, pieces, final = string.match(redis.call('HGET', KEYS[2], int(seq)) or '', '^(%d+):(%d+):(%d)$')
  if not bytes then return true end
  if size > 0 and size + tonumber(bytes) > ${MAX_STREAM_BYTES} then return false end
  size = size + tonumber(bytes)
  answer[#answer + 1] = int(seq)
  answer[#answer + 1] = final
  answer[#answer + 1] = pieces
  for piece = 1, tonumber(pieces) do
    local field = int(seq) .. ':' .. piece
    if redis.call('HSTRLEN', KEYS[2], field) > ${MAX_PART_BYTES} then return nil end
    local data = redis.call('HGET', KEYS[2], field)
    if not data then return nil end
    answer[#answer + 1] = data
  end
  return true
end
for seq in string.gmatch(redis.call('HGET', KEYS[2], 'answers') or '', '%d+') do
  if tonumber(seq) < first then
    local more = add(tonumber(seq))
    if more == nil then return {'damaged'} end
    if not more then return answer end
  end
end
for seq = math.max(first, after + 1), last do
  local more = add(seq)
  if more == nil then return {'damaged'} end
  if not more then return answer end
end
return answer
`,
]);

/** KEYS all. ARGV absolute expiry, member. Takes the expired out on the way. */
export const INDEX_ALL = script('indexAll', '', [
  HEADER,
  `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', int(now_ms()))
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
return {'ok'}
`,
]);

/** KEYS table. ARGV sealed, ttl. Never shortens the life of a table that is there. */
export const PUT_TABLE = script('putTable', '', [
  `
local ttl = math.max(tonumber(ARGV[2]), redis.call('PTTL', KEYS[1]))
redis.call('SET', KEYS[1], ARGV[1], 'PX', string.format('%.0f', ttl))
return {'ok'}
`,
]);

/** KEYS any. A string, if it is one and within its cap. */
export const GET_STRING = script('getString', 'no-writes', [
  `
if redis.call('TYPE', KEYS[1]).ok ~= 'string' or redis.call('STRLEN', KEYS[1]) > ${MAX_TABLE_BYTES} then return {'gone'} end
return {'found', redis.call('GET', KEYS[1])}
`,
]);

/** KEYS generation. ARGV a fresh name for it. Answers the time and the generation: another one means that the server was emptied. */
export const PULSE = script('pulse', 'allow-oom', [
  HEADER,
  `
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return {int(now_ms()), redis.call('GET', KEYS[1])}
`,
]);

function script(name: string, flags: string, parts: readonly string[]): RedisScript {
  const lua = `#!lua${flags === '' ? '' : ` flags=${flags}`}\n${parts.join('\n')}`;
  return { name, lua, sha: createHash('sha1').update(lua).digest('hex') };
}
