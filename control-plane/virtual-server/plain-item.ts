import { createHash } from 'node:crypto';
import type { Splice } from '../../shared/json-rpc/envelope.ts';
import type { Span } from '../../shared/json-rpc/message.ts';
import { isArray, isObject, isString, readElements, readMembers } from '../../shared/json-rpc/object.ts';
import { decodeString } from '../../shared/json-rpc/scan.ts';
import { spliced } from './edited-item.ts';
import type { Item } from './item.ts';
import { WeakPool } from './weak-pool.ts';

/** What may stand in the texts that a model reads: titles and descriptions, also those of a schema's properties. */
export interface TextRules {
  /** Characters that people do not see and models do. */
  readonly hidden: 'keep' | 'strip';
  /** In characters; longer texts are cut. Undefined: no bound. */
  readonly longest: number | undefined;
}

const TEXTS: ReadonlySet<string> = new Set(['title', 'description']);
const CUT = '…';

/** Escape sequences of terminals: CSI, OSC and the others (ECMA-48). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]?|\][^\u0007\u001b]*\u0007?|[ -~])/g;
/** Controls but line feed and tabulator, soft hyphens, zero-width and bidirectional controls, variation selectors and tags. */
const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e0fff}]/gu;

/** The item with its texts as the rules want them, every other byte verbatim. The same object where nothing changes. */
export function withPlainTexts(item: Item, rules: TextRules): Item {
  const id = createHash('sha256').update(`${item.hash} ${rules.hidden} ${rules.longest}`).digest('base64url');
  return pool.get(id, () => {
    const splices = textSplices(item.bytes, { start: 0, end: item.bytes.length }, rules);
    return splices.length === 0 ? item : spliced(item, splices);
  });
}

const pool = new WeakPool<Item>();

function textSplices(bytes: Buffer, value: Span, rules: TextRules): Splice[] {
  if (isArray(bytes, value))
    return readElements(bytes, value).flatMap((each) => textSplices(bytes, each, rules));
  if (!isObject(bytes, value)) return [];
  return readMembers(bytes, value).flatMap((member) => {
    if (!isString(bytes, member.value)) return textSplices(bytes, member.value, rules);
    if (!TEXTS.has(decodeString(bytes, member.key))) return [];
    const text = decodeString(bytes, member.value);
    const plain = plainText(text, rules);
    return plain === text ? [] : [{ span: member.value, bytes: Buffer.from(JSON.stringify(plain)) }];
  });
}

function plainText(text: string, { hidden, longest }: TextRules): string {
  const seen = hidden === 'strip' ? text.replace(ESCAPES, '').replace(HIDDEN, '') : text;
  if (longest === undefined || seen.length <= longest) return seen;
  // Not in the middle of a surrogate pair.
  return `${seen.slice(0, longest - CUT.length).replace(/[\ud800-\udbff]$/, '')}${CUT}`;
}
