import * as v from 'valibot';
import { suggest } from './suggest.ts';

/**
 * A part of a configuration with exactly these keys: an unknown one is a problem
 * that names it and suggests the one that was meant.
 */
export function section<Entries extends v.ObjectEntries>(entries: Entries) {
  const known = Object.keys(entries);
  return v.strictObject(entries, (issue) => {
    if (issue.expected === 'never') return unknownKey(nameOf(issue.received), known);
    if (issue.received === 'undefined') return 'is required';
    return 'expected a group of keys';
  });
}

/** A word out of a list; a near miss is suggested. */
export function oneOf<const Words extends readonly string[]>(words: Words) {
  return v.picklist(words, (issue) => {
    const near = typeof issue.input === 'string' ? suggest(issue.input, words) : undefined;
    return `expected one of ${words.join(', ')}${near === undefined ? '' : `; did you mean ${near}?`}`;
  });
}

export function text() {
  return v.pipe(v.string('expected a text'), v.nonEmpty('expected a text that is not empty'));
}

export function flag() {
  return v.boolean('expected true or false');
}

export function count(bounds: { readonly min: number; readonly max?: number }) {
  const { min, max = Number.MAX_SAFE_INTEGER } = bounds;
  const range =
    bounds.max === undefined ? `a whole number of at least ${min}` : `a whole number from ${min} to ${max}`;
  return v.pipe(
    v.number(`expected ${range}`),
    v.integer(`expected ${range}`),
    v.minValue(min, `expected ${range}`),
    v.maxValue(max, `expected ${range}`),
  );
}

export function list<Item extends v.GenericSchema>(item: Item) {
  return v.array(item, 'expected a list');
}

export function table<Item extends v.GenericSchema>(item: Item) {
  return v.record(v.string(), item, 'expected a group of keys');
}

function unknownKey(name: string, known: readonly string[]): string {
  const near = suggest(name, known);
  return near === undefined
    ? `unknown key; known here: ${known.join(', ')}`
    : `unknown key; did you mean ${near}?`;
}

function nameOf(received: string): string {
  return received.startsWith('"') ? (JSON.parse(received) as string) : received;
}
