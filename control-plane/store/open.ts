import { openEmbeddedStore } from './embedded.ts';
import type { StoreHooks } from './hooks.ts';
import { MemorySessionStore } from './memory.ts';
import { openRedisStore } from './redis.ts';
import type { SessionStore } from './session-store.ts';
import type { StoreSettings } from './settings.ts';

/** Opens the configured store. Rejects with a sentence for people when the configuration cannot work; a Redis that is away at this moment is not such a case. */
export function openStore(settings: StoreSettings, hooks: StoreHooks): Promise<SessionStore> {
  if (settings.kind === 'redis') return openRedisStore(settings, hooks);
  if (settings.kind === 'embedded') return openEmbeddedStore(settings, hooks);
  return Promise.resolve(new MemorySessionStore({ clock: Date.now }));
}
