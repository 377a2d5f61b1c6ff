import { setTimeout as sleep } from 'node:timers/promises';
import { redisTarget } from './redis-connection.ts';
import { primariesOf, type RedisFacts, readRedisFacts } from './redis-facts.ts';
import { type RedisFault, RedisLink } from './redis-link.ts';
import type { RedisStoreSettings } from './settings.ts';

/** What Redis says of itself to somebody who only looks, over the connection that a replica would use. */
export type RedisReport =
  | {
      readonly kind: 'answered';
      readonly servers: readonly (RedisFacts & {
        /** Its clock against ours, in milliseconds. */ readonly skewMs: number;
      })[];
    }
  | { readonly kind: 'silent'; readonly fault: RedisFault };

const PATIENCE_MS = 3_000;
const LOOK_AGAIN_MS = 25;
/** For somebody who looks once a slow server is still one that answers. */
const COMMAND_TIMEOUT_MS = 2_000;

/** Nothing is written. Never rejects for what Redis does; throws a sentence for people when the settings name none. */
export async function inspectRedis(settings: RedisStoreSettings): Promise<RedisReport> {
  let fault: RedisFault = { code: 'TIMEOUT', message: 'it did not answer in time' };
  const link = new RedisLink({
    target: redisTarget(settings),
    tls: settings.tls,
    commandTimeoutMs: Math.max(settings.commandTimeoutMs ?? 0, COMMAND_TIMEOUT_MS),
    onReady: () => {},
    onFault: (met) => {
      fault = met;
    },
  });
  try {
    const giveUpAt = performance.now() + PATIENCE_MS;
    while (!link.connected && performance.now() < giveUpAt) await sleep(LOOK_AGAIN_MS);
    const before = Date.now();
    const facts = await link.ask(() => Promise.all(primariesOf(link.client).map(readRedisFacts)));
    const after = Date.now();
    const skew = (now: number) => (now > after ? now - after : Math.min(0, now - before));
    return { kind: 'answered', servers: facts.map((each) => ({ ...each, skewMs: skew(each.now) })) };
  } catch {
    return { kind: 'silent', fault };
  } finally {
    link.stop();
  }
}
