/** Messages of the admin API as programs and people read them. */

export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [name: string]: Plain };

/** The message with times in RFC 3339 and durations in seconds, as protobuf's JSON has them. */
export function toPlain(value: unknown, name = ''): Plain {
  if (Array.isArray(value)) return value.map((each) => toPlain(each));
  if (typeof value !== 'object' || value === null) return toScalar(value);
  const { seconds, nanos } = value as { readonly seconds?: unknown; readonly nanos?: unknown };
  if (typeof seconds === 'number' && typeof nanos === 'number') {
    if (!/Time$/.test(name) || name === 'cpuTime') return duration(seconds, nanos);
    return new Date(seconds * 1_000 + nanos / 1_000_000).toISOString();
  }
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== null)
      .map(([key, each]) => [key, toPlain(each, key)]),
  );
}

/** To the nanosecond: what is counted in binary fractions would end in digits that nobody measured. */
function duration(seconds: number, nanos: number): string {
  const fraction = String(nanos).padStart(9, '0').replace(/0+$/, '');
  return fraction === '' ? `${seconds}s` : `${seconds}.${fraction}s`;
}

function toScalar(value: unknown): Plain {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
}

/** A time as it was so long ago, or will be in so long: `5m`. Empty for none. */
export function age(time: unknown, now = Date.now()): string {
  const ms = Date.parse(text(time));
  return Number.isNaN(ms) ? '' : span(Math.abs(now - ms));
}

/** A duration as a person reads it: `12ms`, `1.1s`, `5m`. Empty for none. */
export function readable(duration: unknown): string {
  const ms = Number.parseFloat(text(duration)) * 1_000;
  if (Number.isNaN(ms)) return '';
  if (Math.round(ms) < 1_000) return `${Math.round(ms)}ms`;
  return ms < 60_000 ? `${(ms / 1_000).toFixed(1)}s` : span(ms);
}

/** In the one unit that says enough. */
function span(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

export function mib(bytes: unknown): string {
  return `${Math.round(Number(bytes) / 1_048_576)}MiB`;
}

/** The text under a name; empty where there is none. */
export function text(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

/** The last part of a resource name. */
export function id(name: unknown): string {
  return text(name).replace(/^[a-z]+\//, '');
}

export type Row = { readonly [name: string]: Plain };

/** The rows under a name; none where there is nothing. */
export function rows(value: Plain | undefined): readonly Row[] {
  return Array.isArray(value) ? value.filter(isRow) : [];
}

export function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Texts, one after the other. */
export function joined(value: Plain | undefined): string {
  return Array.isArray(value) ? value.map(text).join(', ') : '';
}
