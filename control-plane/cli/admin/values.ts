/** Messages of the admin API as programs and people read them. */

export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [name: string]: Plain };

/** The message with times in RFC 3339 and durations in seconds, as protobuf's JSON has them. */
export function toPlain(value: unknown, name = ''): Plain {
  if (Array.isArray(value)) return value.map((each) => toPlain(each));
  if (typeof value !== 'object' || value === null) return toScalar(value);
  const { seconds, nanos } = value as { readonly seconds?: unknown; readonly nanos?: unknown };
  if (typeof seconds === 'number' && typeof nanos === 'number') {
    const ms = seconds * 1_000 + nanos / 1_000_000;
    return /Time$/.test(name) && name !== 'cpuTime' ? new Date(ms).toISOString() : `${ms / 1_000}s`;
  }
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== null)
      .map(([key, each]) => [key, toPlain(each, key)]),
  );
}

function toScalar(value: unknown): Plain {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
}

/** A time as it was so long ago, or will be in so long: `5m`. Empty for none. */
export function age(time: unknown, now = Date.now()): string {
  const ms = Date.parse(text(time));
  return Number.isNaN(ms) ? '' : span(Math.abs(now - ms));
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
