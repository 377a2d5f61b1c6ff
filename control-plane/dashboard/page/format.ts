import type { Timestamp } from '../wire.ts';

/** Milliseconds of a time or a duration; undefined where there is none. */
export function milliseconds(value: Timestamp | null | undefined): number | undefined {
  return value == null ? undefined : value.seconds * 1_000 + value.nanos / 1_000_000;
}

const STEPS = [
  { unit: 'd', ms: 86_400_000 },
  { unit: 'h', ms: 3_600_000 },
  { unit: 'min', ms: 60_000 },
  { unit: 's', ms: 1_000 },
] as const;

/** The two largest units, such as `3 h 12 min`. */
export function span(ms: number): string {
  const at = STEPS.findIndex((step) => ms >= step.ms);
  if (at < 0) return '0 s';
  const [large, small] = [STEPS[at], STEPS[at + 1]];
  if (large === undefined) return '';
  const whole = Math.floor(ms / large.ms);
  const rest = small === undefined ? 0 : Math.floor((ms - whole * large.ms) / small.ms);
  return `${whole} ${large.unit}${small === undefined || rest === 0 ? '' : ` ${rest} ${small.unit}`}`;
}

/** How long ago, by the clock of the replica that answers, in the largest unit. */
export function ago(value: Timestamp | null | undefined, now: number): string {
  const ms = milliseconds(value);
  if (ms === undefined) return '';
  const passed = Math.max(0, now - ms);
  const step = STEPS.find((each) => passed >= each.ms);
  return step === undefined ? 'now' : `${Math.floor(passed / step.ms)} ${step.unit} ago`;
}

export function clockTime(ms: number): string {
  return new Date(ms).toLocaleTimeString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hour12: false,
  });
}

export function moment(value: Timestamp | null | undefined): string {
  const ms = milliseconds(value);
  return ms === undefined ? '' : new Date(ms).toLocaleString(undefined, { hour12: false });
}

/** Three digits that count, and all that stand before the point. */
export function number(value: number): string {
  const digits = Math.abs(value) >= 100 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 };
  return value.toLocaleString('en', digits);
}

export function latency(ms: number): string {
  return ms >= 1_000 ? `${number(ms / 1_000)} s` : `${number(ms)} ms`;
}

export function memory(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`;
}

/** `backends/files` → `files`. */
export function own(name: string): string {
  return name.slice(name.indexOf('/') + 1);
}

/** `NOT_SENT` → `not sent`. */
export function words(code: string): string {
  return code.toLowerCase().replaceAll('_', ' ');
}
