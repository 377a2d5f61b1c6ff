import { randomBytes } from 'node:crypto';
import type { StoreHooks } from './hooks.ts';
import { RedisAccess } from './redis-access.ts';
import { RedisAlarms } from './redis-alarms.ts';
import { type ConnectionOptions, createSubscriber, redisTarget } from './redis-connection.ts';
import { RedisEvents } from './redis-events.ts';
import { RedisIndex } from './redis-index.ts';
import { RedisInvalidations } from './redis-invalidations.ts';
import { RedisKeys } from './redis-keys.ts';
import { RedisListing } from './redis-listing.ts';
import { RedisRecords } from './redis-records.ts';
import { RedisStrings } from './redis-strings.ts';
import { redisTables } from './redis-tables.ts';
import { RedisVault } from './redis-vault.ts';
import type { SessionStore } from './session-store.ts';
import type { RedisStoreSettings } from './settings.ts';
import { joinParts, type LifePart } from './store-parts.ts';

const DEFAULT_COMMAND_TIMEOUT_MS = 500;

/**
 * The session store on Redis 7.0 or newer (or Valkey): a single server, Sentinel
 * or Cluster. Every operation is one script on the server's clock. Opens at once,
 * Redis or no Redis, and is `ready` when it can be asked.
 *
 * Resolves when Redis has answered once, or did not within the command timeout:
 * then the store is there, and not ready. Rejects with a sentence for people
 * when Redis may evict sessions that `replicated` promises to keep.
 */
export async function openRedisStore(settings: RedisStoreSettings, hooks: StoreHooks): Promise<SessionStore> {
  const { durability = 'local', waitReplicas = 1 } = settings;
  const connection: ConnectionOptions = {
    target: redisTarget(settings),
    tls: settings.tls,
    commandTimeoutMs: settings.commandTimeoutMs ?? DEFAULT_COMMAND_TIMEOUT_MS,
  };
  const keys = new RedisKeys(settings.prefix ?? 'outrigger');
  const alarms = new RedisAlarms(hooks);
  const invalidations = new RedisInvalidations({
    channel: keys.invalidations,
    origin: randomBytes(9).toString('base64url'),
    subscriber: (attempt) => createSubscriber(connection, attempt),
  });
  const access = new RedisAccess({
    connection,
    waitReplicas: durability === 'replicated' ? waitReplicas : 0,
    generation: keys.generation,
    hooks,
    alarms,
    invalidations,
    onBeat: () => index.enterLate(),
  });
  const index = new RedisIndex(access, keys);
  const strings = new RedisStrings(access);
  const records = new RedisRecords({ access, keys, strings, index, invalidations, alarms });
  const store = joinParts({
    records,
    events: new RedisEvents({ access, keys, records }),
    listing: new RedisListing({ access, keys, index, records }),
    tables: redisTables(strings, keys),
    vault: new RedisVault({ access, keys, invalidations }),
    life: lifeOf(access, invalidations),
  });
  const refusal = await access.first();
  if (refusal === undefined) return store;
  await store.stop();
  throw new Error(refusal);
}

function lifeOf(access: RedisAccess, invalidations: RedisInvalidations): LifePart {
  return {
    watch: (listener) => invalidations.watch(listener),
    now: () => access.now(),
    get ready() {
      return access.ready;
    },
    stop: async () => {
      invalidations.stop();
      access.stop();
    },
  };
}
