import { NO_EVENTS, pageOf } from './event-page.ts';
import { MAX_PART_BYTES, MAX_STREAM_BYTES, MAX_STREAM_EVENTS, MAX_STREAMS, STREAM_TTL_MS } from './limits.ts';
import type { RedisAccess } from './redis-access.ts';
import type { RedisKeys } from './redis-keys.ts';
import type { RedisRecords } from './redis-records.ts';
import { eventsOf, kindOf, number } from './redis-replies.ts';
import { HEADER, script } from './redis-script.ts';
import type { EventAppend, EventPage, EventRead, StoredEvent } from './session-store.ts';
import type { EventPart } from './store-parts.ts';

/** KEYS record, streams, stream. ARGV stream, epoch, then for each event: seq, '1' for an answer, number of pieces, the pieces. */
const APPEND_EVENTS = script('', [
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
const READ_EVENTS = script('no-writes', [
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

export interface RedisEventsOptions {
  readonly access: RedisAccess;
  readonly keys: RedisKeys;
  readonly records: RedisRecords;
}

/** The events of resumable streams in Redis. */
export class RedisEvents implements EventPart {
  readonly #access: RedisAccess;
  readonly #keys: RedisKeys;
  readonly #records: RedisRecords;

  constructor({ access, keys, records }: RedisEventsOptions) {
    this.#access = access;
    this.#keys = keys;
    this.#records = records;
  }

  async appendEvents(append: EventAppend): Promise<'ok' | 'fenced' | 'gone'> {
    const { key, stream, epoch, events } = append;
    const reply = await this.#access.read('appendEvents', {
      script: APPEND_EVENTS,
      keys: [this.#keys.record(key), this.#keys.streams(key), this.#stream(append)],
      args: [stream, epoch, ...events.flatMap(eventArguments)],
    });
    if (await this.#records.missing(key, reply)) return 'gone';
    return kindOf(reply) === 'fenced' ? 'fenced' : 'ok';
  }

  async readEvents(read: EventRead): Promise<EventPage> {
    const stream = this.#stream(read);
    const events: StoredEvent[] = [];
    let after = read.after;
    for (;;) {
      const reply = await this.#access.read('readEvents', {
        script: READ_EVENTS,
        keys: [this.#keys.record(read.key), stream],
        args: [after],
      });
      if (kindOf(reply) === 'damaged')
        await this.#access.besides((link) => link.ask(() => link.client.unlink(stream)));
      if (kindOf(reply) !== 'ok') return NO_EVENTS;
      const page = eventsOf(reply);
      events.push(...page);
      const last = number(reply, 1);
      after = page.at(-1)?.seq ?? last;
      if (after >= last) return pageOf(read, { events, last });
    }
  }

  #stream({ key, stream }: EventRead | EventAppend): string {
    return `${this.#keys.streams(key)}:${stream}`;
  }
}

function eventArguments({ seq, answer, data }: StoredEvent): readonly (string | number | Uint8Array)[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < data.byteLength; at += MAX_PART_BYTES)
    pieces.push(data.subarray(at, at + MAX_PART_BYTES));
  return [seq, answer ? '1' : '0', pieces.length, ...pieces];
}
