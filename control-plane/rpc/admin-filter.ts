import { invalid } from './admin-fault.ts';

/**
 * Filters of lists, a small part of AIP-160: comparisons joined by AND. A value is
 * quoted, or a word of letters, digits and `_ . : / @ -`. Durations are written as
 * `90s`, `10m`, `2h` or `1d`.
 */

const OPERATORS = ['<=', '>=', '!=', '=', '<', '>'] as const;

type Operator = (typeof OPERATORS)[number];

/** What of an entry a filter can compare: texts for equality, ages (in milliseconds) by size. */
export interface Comparable {
  readonly texts: Readonly<Record<string, readonly string[]>>;
  readonly ages: Readonly<Record<string, number>>;
}

/** The names that filters of one kind of entry may use. */
export interface FilterFields {
  readonly texts: readonly string[];
  readonly ages: readonly string[];
}

export type Filter = (entry: Comparable) => boolean;

const TOKEN = /\s*(?:(<=|>=|!=|=|<|>)|"((?:[^"\\]|\\.)*)"|([\w.:/@-]+))/y;
const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const LONGEST = 2_000;

/** Throws INVALID_ARGUMENT, saying what was expected and where. An empty filter takes everything. */
export function parseFilter(text: string, fields: FilterFields): Filter {
  if (text.length > LONGEST) throw invalid('filter: it is too long.');
  const tokens = tokensOf(text);
  const comparisons: Filter[] = [];
  for (let at = 0; at < tokens.length; at += 4) {
    const [field, operator, value, and] = tokens.slice(at, at + 4);
    if (field?.kind !== 'word') throw invalid(`filter: expected a field ${place(field)}.`);
    if (operator?.kind !== 'operator') throw invalid(`filter: expected an operator ${place(operator)}.`);
    if (value === undefined || value.kind === 'operator')
      throw invalid(`filter: expected a value ${place(value)}.`);
    comparisons.push(
      comparison({ field: field.text, operator: operator.text as Operator, value: value.text }, fields),
    );
    if (and !== undefined && (and.kind !== 'word' || and.text !== 'AND'))
      throw invalid(`filter: expected AND ${place(and)}.`);
    if (and !== undefined && at + 4 === tokens.length) throw invalid('filter: expected a field at its end.');
  }
  return (entry) => comparisons.every((holds) => holds(entry));
}

interface Token {
  readonly kind: 'operator' | 'text' | 'word';
  readonly text: string;
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  const pattern = new RegExp(TOKEN);
  const end = text.trimEnd().length;
  while (pattern.lastIndex < end) {
    const at = pattern.lastIndex;
    const match = pattern.exec(text);
    if (match === null) throw invalid(`filter: cannot be read from character ${at + 1} on.`);
    const [, operator, quoted, word = ''] = match;
    if (operator !== undefined) tokens.push({ kind: 'operator', text: operator });
    else if (quoted !== undefined) tokens.push({ kind: 'text', text: quoted.replace(/\\(.)/g, '$1') });
    else tokens.push({ kind: 'word', text: word });
  }
  return tokens;
}

interface Comparison {
  readonly field: string;
  readonly operator: Operator;
  readonly value: string;
}

function comparison({ field, operator, value }: Comparison, fields: FilterFields): Filter {
  if (fields.texts.includes(field)) {
    if (operator !== '=' && operator !== '!=')
      throw invalid(`filter: "${field}" is compared by = and != alone.`);
    return ({ texts }) => (texts[field] ?? []).includes(value) === (operator === '=');
  }
  if (!fields.ages.includes(field)) {
    const known = [...fields.texts, ...fields.ages].join(', ');
    throw invalid(`filter: there is no field "${field}"; there are ${known}.`);
  }
  const limit = durationOf(field, value);
  return ({ ages }) => compare(ages[field] ?? 0, operator, limit);
}

function compare(age: number, operator: Operator, limit: number): boolean {
  switch (operator) {
    case '<':
      return age < limit;
    case '<=':
      return age <= limit;
    case '>':
      return age > limit;
    case '>=':
      return age >= limit;
    case '=':
      return age === limit;
    case '!=':
      return age !== limit;
  }
}

function durationOf(field: string, value: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(value) ?? [];
  if (count === undefined) throw invalid(`filter: "${field}" is compared with a duration, such as 10m.`);
  return Number(count) * UNITS[unit as keyof typeof UNITS];
}

function place(token: Token | undefined): string {
  return token === undefined ? 'at its end' : `instead of "${token.text}"`;
}
