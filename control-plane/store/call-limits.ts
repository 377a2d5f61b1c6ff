import { createHmac, randomUUID } from 'node:crypto';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { MeshError } from '../../shared/errors.ts';
import type { Caller } from '../identity/caller.ts';
import type { CallLimits, LimitedCall } from '../session/call-limits.ts';
import { type CallSlots, memorySlots, redisSlots } from './call-slots.ts';
import { redisTarget } from './redis-connection.ts';
import { RedisLink } from './redis-link.ts';
import type { StoreSettings } from './settings.ts';

/** What calls are counted together: all of a caller, all to a backend, all of a tool, or of several of these. */
export type LimitScope = 'principal' | 'backend' | 'tool';

export interface LimitRule {
  readonly name: string;
  readonly per: readonly LimitScope[];
  /** Whether the rule is about this backend, and this tool; a rule with tools is about tool calls only. */
  readonly applies: (backend: string, tool: string | undefined) => boolean;
  /** So many in each window. */
  readonly rate: { readonly calls: number; readonly windowMs: number } | undefined;
  /** So many at once. */
  readonly concurrent: number | undefined;
}

export interface CallLimitRules {
  readonly rules: readonly LimitRule[];
  /** What becomes of a call when the counters cannot be reached. */
  readonly onStoreError: 'allow' | 'refuse';
}

export interface CallLimitsOptions extends CallLimitRules {
  /** With Redis the replicas count together; with any other store each counts alone. */
  readonly store: StoreSettings;
  /** Callers are counted under a keyed hash: the counters name nobody. */
  readonly key: Uint8Array;
  readonly onError: (error: unknown) => void;
}

export interface StoredCallLimits extends CallLimits {
  /** Other rules for the calls from now on; a rule that keeps its name keeps its counters where Redis has them. */
  replace(rules: CallLimitRules): void;
  stop(): void;
}

const PREFIX = 'outrigger:limit';
const COMMAND_TIMEOUT_MS = 500;
/** When to come back for a place: nobody knows when one is free. */
const SLOT_RETRY_MS = 1_000;

/** Redis is connected to as soon as there is something to count. */
export function openCallLimits(options: CallLimitsOptions): StoredCallLimits {
  const { store, key, onError } = options;
  let places: Places | undefined;
  let counters: readonly RuleCounter[] = [];
  let onStoreError = options.onStoreError;
  use(options);
  return {
    admit(call) {
      const concerned = counters.filter(({ rule }) => rule.applies(call.backend, call.tool));
      return concerned.length === 0 ? undefined : admit(concerned, call, { onStoreError, key, onError });
    },
    replace: use,
    stop() {
      places?.slots.stop();
      places?.link?.stop();
    },
  };

  function use(next: CallLimitRules): void {
    onStoreError = next.onStoreError;
    if (next.rules.length > 0) places ??= open(store);
    const where = places;
    counters = where === undefined ? [] : next.rules.map((rule) => new RuleCounter(rule, where));
  }
}

/** Where calls are counted. */
interface Places {
  readonly link: RedisLink | undefined;
  readonly slots: CallSlots;
}

function open(store: StoreSettings): Places {
  if (store.kind !== 'redis') return { link: undefined, slots: memorySlots() };
  const link = connect(store);
  return { link, slots: redisSlots(link) };
}

async function admit(
  counters: readonly RuleCounter[],
  call: LimitedCall,
  options: Pick<CallLimitsOptions, 'onStoreError' | 'key' | 'onError'>,
): Promise<() => void> {
  const asked = await Promise.allSettled(
    counters.map((counter) => counter.take(keyOf(counter.rule, call, options.key))),
  );
  const release = () => {
    for (const each of asked) if (each.status === 'fulfilled') each.value();
  };
  const refusals = asked.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
  const limited = refusals.filter((reason) => reason instanceof LimitReached);
  const failed = refusals.find((reason) => !(reason instanceof LimitReached));
  if (failed !== undefined) options.onError(failed);
  if (limited.length > 0) {
    release();
    throw refusal(limited);
  }
  if (failed !== undefined && options.onStoreError === 'refuse') {
    release();
    throw new MeshError('store_unavailable', 'Whether this call is within its limits cannot be said now.', {
      retryAfterMs: SLOT_RETRY_MS,
      cause: failed,
    });
  }
  return release;
}

class LimitReached extends Error {
  readonly rule: string;
  readonly retryAfterMs: number;

  constructor(rule: string, retryAfterMs: number) {
    super(`the limit ${rule} is reached`);
    this.rule = rule;
    this.retryAfterMs = retryAfterMs;
  }
}

function refusal(limited: readonly LimitReached[]): MeshError {
  const names = limited.map(({ rule }) => `"${rule}"`).join(', ');
  return new MeshError('rate_limited', `Too many calls: the limit ${names} is reached.`, {
    retryAfterMs: Math.max(...limited.map(({ retryAfterMs }) => retryAfterMs)),
  });
}

/** The counters of one rule. */
class RuleCounter {
  readonly rule: LimitRule;
  readonly #consume: ((key: string) => Promise<RateLimiterRes | undefined>) | undefined;
  readonly #slots: CallSlots;

  constructor(rule: LimitRule, { link, slots }: Places) {
    this.rule = rule;
    this.#slots = slots;
    this.#consume = rule.rate && rate(rule.rate, link);
  }

  /** Counts a call, and resolves to what gives its place back. Rejects with `LimitReached`, or as the store does. */
  async take(key: string): Promise<() => void> {
    const { concurrent } = this.rule;
    const call = randomUUID();
    const slot = `${key}:now`;
    if (concurrent !== undefined && !(await this.#slots.acquire(slot, call, concurrent))) {
      throw new LimitReached(this.rule.name, SLOT_RETRY_MS);
    }
    const release = () => {
      if (concurrent !== undefined) this.#slots.release(slot, call);
    };
    try {
      const exceeded = await this.#consume?.(`${key}:rate`);
      if (exceeded !== undefined) throw new LimitReached(this.rule.name, exceeded.msBeforeNext);
    } catch (reason) {
      release();
      throw reason;
    }
    return release;
  }
}

/** Counts one more; resolves to when the window ends where it was one too many. */
function rate({ calls, windowMs }: NonNullable<LimitRule['rate']>, link: RedisLink | undefined) {
  const options = { keyPrefix: '', points: calls, duration: windowMs / 1_000 };
  const limiter =
    link === undefined
      ? new RateLimiterMemory(options)
      : // Who is over the limit is refused without asking Redis again.
        new RateLimiterRedis({ ...options, storeClient: link.client, inMemoryBlockOnConsumed: calls });
  const consume = (key: string) =>
    limiter.consume(key).then(
      () => undefined,
      (reason: unknown) => {
        if (reason instanceof RateLimiterRes) return reason;
        throw reason;
      },
    );
  return link === undefined ? consume : (key: string) => link.ask(() => consume(key));
}

function connect(settings: StoreSettings & { kind: 'redis' }): RedisLink {
  const { tls, commandTimeoutMs = COMMAND_TIMEOUT_MS } = settings;
  return new RedisLink({
    target: redisTarget(settings),
    tls,
    commandTimeoutMs,
    onReady: () => {},
    // Whoever asks hears of it, and the store of the sessions raises the alarm.
    onFault: () => {},
  });
}

function keyOf(rule: LimitRule, { caller, backend, tool }: LimitedCall, key: Uint8Array): string {
  const parts = rule.per.map((scope) => {
    if (scope === 'principal') return principalOf(caller);
    return scope === 'backend' ? backend : `${backend} ${tool ?? ''}`;
  });
  const hash = createHmac('sha256', key).update(JSON.stringify(parts)).digest('base64url').slice(0, 22);
  return `${PREFIX}:${rule.name}:${hash}`;
}

/** Anonymous callers are counted for each sidecar. */
function principalOf(caller: Caller): string {
  return caller.kind === 'anonymous' ? `node ${caller.node}` : caller.bindingKey;
}
