import type { StoreHooks } from './hooks.ts';
import type { QuarantineReason, RecordKey } from './session-store.ts';

/** The part of a record's name that people use for it. */
const SHOWN_NAME = 26;

/** Tells the log and the operator that a record was set aside. */
export function tellQuarantined(
  hooks: StoreHooks,
  { key, why }: { readonly key: RecordKey; readonly why: QuarantineReason },
): void {
  hooks.log.error('a session record was set aside', {
    session: key.name.slice(0, SHOWN_NAME),
    reason: why,
  });
  hooks.onAlarm?.({ kind: 'record_quarantined', detail: `A record was set aside: ${why}.` });
}
