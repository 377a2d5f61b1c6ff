import type { StoreAlarmKind, StoreHooks } from './hooks.ts';
import { tellQuarantined } from './quarantine-alarm.ts';
import type { RedisFault } from './redis-link.ts';
import type { QuarantineReason, RecordKey } from './session-store.ts';

/** A lasting condition is told once in this time. */
const REPEAT_MS = 10_000;

const CREDENTIAL_CODES: ReadonlySet<string> = new Set(['NOAUTH', 'WRONGPASS', 'NOPERM']);
const FULL_CODES: ReadonlySet<string> = new Set(['OOM', 'MISCONF']);

/** Turns what goes wrong into log lines and alarms, each lasting condition once in a while. */
export class RedisAlarms {
  readonly #hooks: StoreHooks;
  readonly #told = new Map<string, number>();

  constructor(hooks: StoreHooks) {
    this.#hooks = hooks;
  }

  readonly onFault = ({ code, message }: RedisFault): void => {
    if (CREDENTIAL_CODES.has(code)) {
      this.raise(
        'credentials_refused',
        `Redis refuses the configured credentials or what they may do (${code}).`,
      );
    } else if (FULL_CODES.has(code)) {
      this.raise('store_full', `Redis refuses writes (${code}).`);
    } else if (this.#due(code)) {
      this.#hooks.log.warn('redis cannot be used', { store: 'redis', reason: code, detail: message });
    }
  };

  quarantined(key: RecordKey, why: QuarantineReason): void {
    tellQuarantined(this.#hooks, { key, why });
  }

  sessionLost(): void {
    this.#hooks.onAlarm?.({ kind: 'session_lost', detail: 'A record vanished before its time.' });
  }

  raise(kind: StoreAlarmKind, detail: string): void {
    if (!this.#due(detail)) return;
    this.#hooks.log.error('the session store needs attention', { store: 'redis', kind, detail });
    this.#hooks.onAlarm?.({ kind, detail });
  }

  #due(what: string): boolean {
    const now = performance.now();
    const last = this.#told.get(what);
    if (last !== undefined && now - last < REPEAT_MS) return false;
    this.#told.set(what, now);
    return true;
  }
}
