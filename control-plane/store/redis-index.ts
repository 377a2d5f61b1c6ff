import type { RedisAccess } from './redis-access.ts';
import type { RedisKeys } from './redis-keys.ts';
import { HEADER, script } from './redis-script.ts';
import type { RecordKey } from './session-store.ts';

/** Sessions that could not be entered yet; the pulse tries again. */
const MAX_UNINDEXED = 10_000;
/** How many names a look at the index takes at once. */
export const INDEX_PAGE = 256;

/** KEYS all. ARGV absolute expiry, member. Takes the expired out on the way. */
const ENTER = script('', [
  HEADER,
  `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', int(now_ms()))
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
return {'ok'}
`,
]);

export interface IndexEntry {
  readonly key: RecordKey;
  readonly member: string;
  /** The sort key: the session's absolute expiry, as Redis writes it. */
  readonly score: string;
}

/**
 * The index of all sessions. It lies in another slot than they do, so it is
 * changed after them: entering it is repeated until it succeeds, leaving it is
 * repaired by its readers.
 */
export class RedisIndex {
  readonly #access: RedisAccess;
  readonly #key: string;
  readonly #unindexed = new Map<string, { readonly key: RecordKey; readonly expiresAt: number }>();

  constructor(access: RedisAccess, keys: RedisKeys) {
    this.#access = access;
    this.#key = keys.all;
  }

  async enter(key: RecordKey, expiresAt: number): Promise<void> {
    const member = memberOf(key);
    const call = { script: ENTER, keys: [this.#key], args: [expiresAt, member] };
    const done = await this.#access.besides((link) => link.run(call));
    if (!done && this.#unindexed.size < MAX_UNINDEXED) this.#unindexed.set(member, { key, expiresAt });
    else this.#unindexed.delete(member);
  }

  /** Enters what could not be entered before. */
  async enterLate(): Promise<void> {
    for (const { key, expiresAt } of [...this.#unindexed.values()].slice(0, INDEX_PAGE)) {
      await this.enter(key, expiresAt);
    }
  }

  async leave(keys: readonly RecordKey[]): Promise<void> {
    const members = keys.map(memberOf);
    for (const member of members) this.#unindexed.delete(member);
    if (members.length > 0) {
      await this.#access.besides((link) => link.ask(() => link.client.zrem(this.#key, ...members)));
    }
  }

  /** Up to `INDEX_PAGE` entries from this score on, in the order of the index. */
  async from(score: string, offset: number): Promise<readonly IndexEntry[]> {
    const flat = await this.#access.ask('list', (link) =>
      link.ask(() =>
        link.client.zrangebyscore(this.#key, score, '+inf', 'WITHSCORES', 'LIMIT', offset, INDEX_PAGE),
      ),
    );
    const entries: IndexEntry[] = [];
    for (let at = 0; at + 1 < flat.length; at += 2) {
      const member = flat[at] ?? '';
      entries.push({ key: keyOf(member), member, score: flat[at + 1] ?? '' });
    }
    return entries;
  }
}

function memberOf({ principal, name }: RecordKey): string {
  return `${principal}:${name}`;
}

function keyOf(member: string): RecordKey {
  const [principal = '', name = ''] = member.split(':');
  return { principal, name };
}
