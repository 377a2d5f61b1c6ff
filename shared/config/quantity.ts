import * as v from 'valibot';

/**
 * Durations and sizes are written with their unit (`30s`, `1h30m`, `4MiB`) and
 * resolve to milliseconds and bytes. A bare number is refused: its unit would be
 * a guess.
 */

const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;
const DURATION_PART = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/g;
const MILLISECONDS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const SIZE = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)$/;
const BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** The longest delay that a timer takes. */
const LONGEST_MS = 2 ** 31 - 1;

export interface Bounds {
  /** As written in a file: `1s`. */
  readonly min?: string;
  readonly max?: string;
}

/** A duration, in milliseconds once parsed. Never longer than a timer can be (24 days). */
export function duration(bounds: Bounds = {}) {
  const min = bounds.min === undefined ? 0 : milliseconds(bounds.min);
  const max = bounds.max === undefined ? LONGEST_MS : milliseconds(bounds.max);
  return v.pipe(
    v.string('expected a duration with its unit, such as 500ms, 30s or 1h30m'),
    v.regex(DURATION, 'expected a duration with its unit, such as 500ms, 30s or 1h30m'),
    v.check((text) => milliseconds(text) >= min, `expected at least ${bounds.min}`),
    v.check((text) => milliseconds(text) <= max, `expected at most ${bounds.max ?? '24d'}`),
    v.transform(milliseconds),
  );
}

/** A size, in bytes once parsed. */
export function size(bounds: Bounds = {}) {
  const min = bounds.min === undefined ? 0 : bytes(bounds.min);
  const max = bounds.max === undefined ? Number.MAX_SAFE_INTEGER : bytes(bounds.max);
  return v.pipe(
    v.string('expected a size with its unit, such as 64KiB or 4MiB'),
    v.regex(SIZE, 'expected a size with its unit, such as 64KiB or 4MiB'),
    v.check((text) => bytes(text) >= min, `expected at least ${bounds.min}`),
    v.check(
      (text) => bytes(text) <= max,
      `expected at most ${bounds.max ?? 'a size that a number can hold'}`,
    ),
    v.transform(bytes),
  );
}

function milliseconds(text: string): number {
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) {
    sum += Number(amount) * (MILLISECONDS[unit ?? ''] ?? Number.NaN);
  }
  return Math.round(sum);
}

function bytes(text: string): number {
  const [, amount, unit] = SIZE.exec(text) ?? [];
  return Math.round(Number(amount) * (BYTES[unit ?? ''] ?? Number.NaN));
}
