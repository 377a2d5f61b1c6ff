import { MAX_PRINCIPAL_SESSIONS } from './limits.ts';
import { badCursor, readCursor, writeCursor } from './page-cursor.ts';
import type { RedisAccess } from './redis-access.ts';
import { INDEX_PAGE, type IndexEntry, type RedisIndex } from './redis-index.ts';
import type { RedisKeys } from './redis-keys.ts';
import type { RedisRecords } from './redis-records.ts';
import { number, text } from './redis-replies.ts';
import { HEADER, script } from './redis-script.ts';
import type { SessionListing, SessionStore } from './session-store.ts';
import type { ListingPart } from './store-parts.ts';

/** KEYS index. ARGV the prefix of the principal's records. Answers name, time of the last touch, and so on. */
const LIST_PRINCIPAL = script('no-writes', [
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

export interface RedisListingOptions {
  readonly access: RedisAccess;
  readonly keys: RedisKeys;
  readonly index: RedisIndex;
  readonly records: RedisRecords;
}

/** Which sessions there are in Redis: a principal's, and everybody's. */
export class RedisListing implements ListingPart {
  readonly #access: RedisAccess;
  readonly #keys: RedisKeys;
  readonly #index: RedisIndex;
  readonly #records: RedisRecords;

  constructor({ access, keys, index, records }: RedisListingOptions) {
    this.#access = access;
    this.#keys = keys;
    this.#index = index;
    this.#records = records;
  }

  async listPrincipal(principal: string): Promise<readonly { name: string; touchedAt: number }[]> {
    const reply = await this.#access.read('listPrincipal', {
      script: LIST_PRINCIPAL,
      keys: [this.#keys.index(principal)],
      args: [this.#keys.recordPrefix(principal)],
    });
    const sessions: { name: string; touchedAt: number }[] = [];
    for (let at = 1; at < reply.length; at += 2) {
      sessions.push({ name: text(reply, at), touchedAt: number(reply, at + 1) });
    }
    return sessions.sort((a, b) => a.touchedAt - b.touchedAt);
  }

  async list(page: { cursor?: string; limit: number }): ReturnType<SessionStore['list']> {
    const [score, after] = page.cursor === undefined ? ['-inf', ''] : readCursor(page.cursor);
    if (score !== '-inf' && !/^\d{1,15}$/.test(score)) throw badCursor();
    const sessions: SessionListing[] = [];
    for (let offset = 0; ; offset += INDEX_PAGE) {
      const entries = await this.#index.from(score, offset);
      // The sort key of an entry never changes, so a page goes on where the last one ended.
      const fresh = entries.filter((entry) => entry.score !== score || entry.member > after);
      for (const [at, session] of (await this.#behind(fresh)).entries()) {
        if (session !== undefined) sessions.push(session);
        const here = fresh[at];
        const more = at + 1 < fresh.length || entries.length === INDEX_PAGE;
        if (sessions.length === page.limit && here !== undefined) {
          return { sessions, next: more ? writeCursor([here.score, here.member]) : undefined };
        }
      }
      if (entries.length < INDEX_PAGE) return { sessions, next: undefined };
    }
  }

  /** The sessions behind these entries, in order; entries without one are taken out of the index. */
  async #behind(entries: readonly IndexEntry[]): Promise<readonly (SessionListing | undefined)[]> {
    const sessions = await Promise.all(
      entries.map(async ({ key }) => {
        const record = await this.#records.peek('list', key);
        return record === undefined ? undefined : { key, ...record };
      }),
    );
    await this.#index.leave(entries.filter((_, at) => sessions[at] === undefined).map(({ key }) => key));
    return sessions;
  }
}
