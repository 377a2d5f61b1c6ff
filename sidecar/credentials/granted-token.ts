import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { conceal } from '../../shared/redact.ts';
import { type HeldToken, toAuthorization } from './held-token.ts';
import type { GrantedToken } from './token-grant.ts';

export interface GrantedTokenOptions {
  /** Asks the token endpoint once. */
  readonly request: (signal: AbortSignal) => Promise<GrantedToken>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A token that the sidecar was granted for itself, renewed before it expires. */
export interface GrantedHeldToken extends HeldToken {
  stop(): void;
}

/** Where the server does not say how long a token lives (RFC 6749 §5.1 only recommends it). */
const ASSUMED_LIFE_S = 300;
/** No later than this before a token expires it is no longer shown: it would expire on its way. */
const MARGIN_MS = 10_000;
/** Renewed when this part of its life is over. */
const RENEW_AT = 0.75;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
const LONGEST_WAIT_MS = 24 * 60 * 60 * 1_000;

/**
 * Keeps a token at hand by asking for the next one before this one expires. A token
 * endpoint that cannot be reached costs nothing as long as the token lives; after
 * that requests are told to come back, and never go without identity.
 */
export function heldTokenFromGrant({ request, clock, log }: GrantedTokenOptions): GrantedHeldToken {
  const stopping = new AbortController();
  let authorization: string | undefined;
  let usableUntil = 0;
  let release = () => {};
  let cancel = () => {};
  let failures = 0;
  void renew();
  return {
    current: () => (clock.elapsed() < usableUntil ? authorization : undefined),
    stop() {
      stopping.abort();
      cancel();
      release();
      authorization = undefined;
    },
  };

  async function renew(): Promise<void> {
    const asked = clock.elapsed();
    try {
      const granted = await request(stopping.signal);
      if (!stopping.signal.aborted) take(granted, asked);
    } catch (error) {
      if (stopping.signal.aborted) return;
      failures += 1;
      const retry = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1));
      log.warn('the token endpoint granted no token', { error, attempt: failures });
      cancel = clock.after(retry * (0.5 + Math.random() / 2), () => void renew());
    }
  }

  function take({ token, lifeS = ASSUMED_LIFE_S }: GrantedToken, asked: number): void {
    const next = toAuthorization(token);
    if (next === undefined) throw new Error('what was granted is no bearer token');
    failures = 0;
    release();
    release = conceal(token);
    authorization = next;
    const lifeMs = Math.min(lifeS * 1_000, LONGEST_WAIT_MS);
    usableUntil = asked + lifeMs - Math.min(MARGIN_MS, lifeMs / 10);
    log.info('token granted', { durationMs: lifeMs });
    cancel = clock.after(Math.max(lifeMs * RENEW_AT, FIRST_RETRY_MS), () => void renew());
  }
}
