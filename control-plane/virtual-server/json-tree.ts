/**
 * JSON as it was written, for comparing what others wrote: members twice where they stand twice, because
 * another reader may take the other one, and numbers by their digits where a double would lose some.
 */
export type JsonTree =
  | { readonly kind: 'object'; readonly members: readonly (readonly [name: string, value: JsonTree])[] }
  | { readonly kind: 'array'; readonly elements: readonly JsonTree[] }
  /** In canonical form. */
  | { readonly kind: 'scalar'; readonly text: string };

/** Throws `SyntaxError` for what is no JSON, or deeper than any message may be. */
export function parseTree(text: string): JsonTree {
  // Says what is wrong and where; what follows relies on it.
  JSON.parse(text);
  return readTree(text);
}

/** The same for a text that is known to be JSON. */
export function readTree(text: string): JsonTree {
  return new Reader(text).value(0);
}

/**
 * The text that is the same for values that differ in white space, the order of members, escapes and the
 * spelling of numbers only (RFC 8785). What that scheme has no form for, it keeps: names that occur twice,
 * in their order, and the digits of numbers that no double holds.
 */
export function canonicalText(tree: JsonTree): string {
  switch (tree.kind) {
    case 'scalar':
      return tree.text;
    case 'array':
      return `[${tree.elements.map(canonicalText).join()}]`;
    case 'object':
      return `{${tree.members
        .toSorted(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0))
        .map(([name, value]) => `${JSON.stringify(name)}:${canonicalText(value)}`)
        .join()}}`;
  }
}

/** As deep as messages may be, and a definition in a file around it. */
const DEEPEST = 100;
const SPACE = /[ \t\r\n]*/y;
const TOKEN = /[^ \t\r\n,\]}]+/y;

/** Reads a text that is known to be JSON, each character once. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): JsonTree {
    if (depth > DEEPEST) throw new SyntaxError('JSON is nested too deeply');
    this.#skip(SPACE);
    const first = this.#text[this.#at];
    if (first === '{') return { kind: 'object', members: this.#list('}', () => this.#member(depth + 1)) };
    if (first === '[') return { kind: 'array', elements: this.#list(']', () => this.value(depth + 1)) };
    if (first === '"') return { kind: 'scalar', text: JSON.stringify(this.#string()) };
    return { kind: 'scalar', text: canonicalToken(this.#skip(TOKEN)) };
  }

  #list<T>(end: string, read: () => T): T[] {
    const found: T[] = [];
    this.#at += 1;
    for (this.#skip(SPACE); this.#text[this.#at] !== end; this.#skip(SPACE)) {
      if (this.#text[this.#at] === ',') this.#at += 1;
      found.push(read());
    }
    this.#at += 1;
    return found;
  }

  #member(depth: number): readonly [string, JsonTree] {
    this.#skip(SPACE);
    const name = this.#string();
    this.#skip(SPACE);
    this.#at += 1;
    return [name, this.value(depth)];
  }

  #string(): string {
    const start = this.#at;
    let end = this.#text.indexOf('"', start + 1);
    while (isEscaped(this.#text, end)) end = this.#text.indexOf('"', end + 1);
    this.#at = end + 1;
    return JSON.parse(this.#text.slice(start, this.#at)) as string;
  }

  #skip(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [found = ''] = pattern.exec(this.#text) ?? [];
    this.#at += found.length;
    return found;
  }
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text[at - backslashes - 1] === '\\') backslashes += 1;
  return backslashes % 2 === 1;
}

/** Decimals of so many digits are each a double of their own. */
const EXACT_DIGITS = 15;
const EXACT_RANGE = { least: 1e-300, most: 1e300 };

function canonicalToken(token: string): string {
  const value = Number(token);
  // A literal.
  if (Number.isNaN(value)) return token;
  const digits = token
    .replace(/[eE].*$/, '')
    .replace(/[-.]/g, '')
    .replace(/^0+/, '');
  if (digits === '') return '0';
  const size = Math.abs(value);
  const exact = digits.length <= EXACT_DIGITS && size > EXACT_RANGE.least && size < EXACT_RANGE.most;
  return exact ? JSON.stringify(value) : token;
}
