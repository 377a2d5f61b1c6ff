/** Whether a URI can be an expansion of a template. */
export interface TemplateMatcher {
  readonly matches: (uri: string) => boolean;
  /** What every expansion begins with. */
  readonly head: string;
  /** What one match costs at most, in steps per character of the URI. */
  readonly width: number;
}

/** Longer URIs match no template. */
const LONGEST_URI = 8_192;

/** Templates with more parts match nothing. */
const MOST_PARTS = 64;

/**
 * Compiles a URI template (RFC 6570). Undefined for what is none, or too long.
 *
 * Matching moves the set of all positions that the parts so far can reach over
 * the URI, one part after the other: linear in the URI for each part, whatever the
 * input, because nothing is ever tried again. An expression takes at least one
 * character; `{v}` stops at a slash, `{+v}` and `{#v}` do not; what has an operator
 * that RFC 6570 leaves out for undefined values may be absent.
 */
export function compileTemplate(template: string): TemplateMatcher | undefined {
  const parts = parse(template);
  if (parts === undefined || parts.length > MOST_PARTS) return undefined;
  const matches = (uri: string): boolean => {
    if (uri.length > LONGEST_URI) return false;
    let reached = new Uint8Array(uri.length + 1);
    reached[0] = 1;
    for (const part of parts) {
      reached = part.kind === 'literal' ? overLiteral(uri, reached, part) : overRun(uri, reached, part);
      if (!reached.includes(1)) return false;
    }
    return reached[uri.length] === 1;
  };
  const [first] = parts;
  return { matches, head: first?.kind === 'literal' ? first.text : '', width: parts.length };
}

interface Literal {
  readonly kind: 'literal';
  readonly text: string;
  /** Of each prefix of the text, how long its longest proper prefix is that is also its suffix (Knuth, Morris, Pratt). */
  readonly borders: readonly number[];
}

interface Run {
  readonly kind: 'run';
  /** The character that an expansion begins with, or empty. */
  readonly lead: string;
  readonly stop: string;
  readonly optional: boolean;
}

const SIMPLE: Run = { kind: 'run', lead: '', stop: '/', optional: false };

/** By operator; an explode modifier lifts the stop. */
const OPERATORS: Readonly<Record<string, Run>> = {
  '+': { ...SIMPLE, stop: '' },
  '#': { kind: 'run', lead: '#', stop: '', optional: true },
  '.': { kind: 'run', lead: '.', stop: '/', optional: true },
  '/': { kind: 'run', lead: '/', stop: '/', optional: true },
  ';': { kind: 'run', lead: ';', stop: '/', optional: true },
  '?': { kind: 'run', lead: '?', stop: '#', optional: true },
  '&': { kind: 'run', lead: '&', stop: '#', optional: true },
};

function parse(template: string): (Literal | Run)[] | undefined {
  const parts: (Literal | Run)[] = [];
  let p = 0;
  while (p < template.length) {
    const open = template.indexOf('{', p);
    const end = open < 0 ? template.length : open;
    if (template.slice(p, end).includes('}')) return undefined;
    if (end > p) parts.push(literal(template.slice(p, end)));
    if (open < 0) break;
    const close = template.indexOf('}', open);
    const run = close < 0 ? undefined : expression(template.slice(open + 1, close));
    if (run === undefined) return undefined;
    parts.push(run);
    p = close + 1;
  }
  return parts;
}

function expression(body: string): Run | undefined {
  if (body === '' || body.includes('{')) return undefined;
  const run = OPERATORS[body.charAt(0)] ?? SIMPLE;
  // Several segments, or several values, of a path expression.
  return run.lead === '/' && (body.includes('*') || body.includes(',')) ? { ...run, stop: '' } : run;
}

function literal(text: string): Literal {
  const borders = [0];
  for (let i = 1, k = 0; i < text.length; i++) {
    while (k > 0 && text[i] !== text[k]) k = borders[k - 1] as number;
    if (text[i] === text[k]) k++;
    borders.push(k);
  }
  return { kind: 'literal', text, borders };
}

function overLiteral(uri: string, from: Uint8Array, { text, borders }: Literal): Uint8Array<ArrayBuffer> {
  const to = new Uint8Array(from.length);
  for (let i = 0, k = 0; i < uri.length; i++) {
    const c = uri.charCodeAt(i);
    while (k > 0 && (k === text.length || c !== text.charCodeAt(k))) k = borders[k - 1] as number;
    if (c === text.charCodeAt(k)) k++;
    if (k === text.length && from[i + 1 - k] === 1) to[i + 1] = 1;
  }
  return to;
}

function overRun(uri: string, from: Uint8Array, { lead, stop, optional }: Run): Uint8Array<ArrayBuffer> {
  const to = optional ? Uint8Array.from(from) : new Uint8Array(from.length);
  // `open`: some start has been passed, and no stop since.
  let open = lead === '' && from[0] === 1;
  const leadCode = lead.charCodeAt(0);
  const stopCode = stop.charCodeAt(0);
  for (let i = 0; i < uri.length; i++) {
    const c = uri.charCodeAt(i);
    if (c === stopCode) open = false;
    if (open) to[i + 1] = 1;
    if (lead === '' ? from[i + 1] === 1 : c === leadCode && from[i] === 1) open = true;
  }
  return to;
}
