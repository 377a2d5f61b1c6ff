import type { RedisKeys } from './redis-keys.ts';
import type { RedisStrings } from './redis-strings.ts';
import type { TablePart } from './store-parts.ts';

/** Sealed routing tables in Redis. */
export function redisTables(strings: RedisStrings, keys: RedisKeys): TablePart {
  return {
    putTable: (id, sealed, ttlMs) =>
      strings.put({ operation: 'putTable', key: keys.table(id), value: sealed, ttlMs }),
    getTable: (id) => strings.get('getTable', keys.table(id)),
  };
}
