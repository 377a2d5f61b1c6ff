import { canonicalText, type JsonTree } from './json-tree.ts';

/** A place where two definitions differ. */
export interface Difference {
  /** A JSON pointer (RFC 6901). */
  readonly at: string;
  /** Undefined where there is nothing. */
  readonly before: JsonTree | undefined;
  readonly after: JsonTree | undefined;
}

/** Every place where one value differs from the other, as deep as they are alike; `most` of them at most. */
export function differences(
  before: JsonTree,
  after: JsonTree,
  most = Number.POSITIVE_INFINITY,
): Difference[] {
  const found: Difference[] = [];
  compare({ at: '', before, after }, (difference) => found.push(difference) < most);
  return found;
}

/**
 * One line for each place, for people: `/description: "old" → "new"`. Of long texts what surrounds the first
 * difference is shown, and nothing that a reader would not see, or a terminal would obey, stands as it is.
 */
export function describeDifferences(all: readonly Difference[], mostChars: number): string {
  const lines: string[] = [];
  let room = mostChars;
  for (const [at, difference] of all.entries()) {
    const line = describe(difference);
    room -= line.length + 1;
    if (room < 0) {
      lines.push(`… and ${all.length - at} more`);
      break;
    }
    lines.push(line);
  }
  return lines.join('\n');
}

/** With control characters, invisible ones and those that turn the direction of text as escapes: JSON stays the same JSON. */
export function withoutTricks(text: string): string {
  return text.replace(TRICKS, (found) =>
    [...Array(found.length).keys()]
      .map((at) => `\\u${found.charCodeAt(at).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

const TRICKS = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]/gu;
/** Of one value in a line. */
const SHOWN_CHARS = 300;
/** What is shown before the first character that differs. */
const LEAD_CHARS = 40;

/** `found` returns whether more are wanted; so does this. */
function compare({ at, before, after }: Difference, found: (difference: Difference) => boolean): boolean {
  if (before === undefined || after === undefined) return found({ at, before, after });
  if (before.kind === 'object' && after.kind === 'object') {
    const [one, other] = [byName(before.members), byName(after.members)];
    const names = [...new Set([...one.keys(), ...other.keys()])];
    return names.every((name) =>
      compare({ at: below(at, name), before: one.get(name), after: other.get(name) }, found),
    );
  }
  if (before.kind === 'array' && after.kind === 'array') {
    const longest = Math.max(before.elements.length, after.elements.length);
    return [...Array(longest).keys()].every((i) =>
      compare({ at: below(at, String(i)), before: before.elements[i], after: after.elements[i] }, found),
    );
  }
  return canonicalText(before) === canonicalText(after) || found({ at, before, after });
}

/** What has one name several times is one value of its own kind: all of them. */
function byName(members: Extract<JsonTree, { kind: 'object' }>['members']): ReadonlyMap<string, JsonTree> {
  const grouped = new Map<string, JsonTree[]>();
  for (const [name, value] of members) {
    const known = grouped.get(name);
    if (known === undefined) grouped.set(name, [value]);
    else known.push(value);
  }
  return new Map(
    [...grouped].map(([name, values]) => {
      const [only] = values;
      if (only !== undefined && values.length === 1) return [name, only];
      return [name, { kind: 'scalar', text: `${values.map(canonicalText).join(' and ')} (twice)` }];
    }),
  );
}

function below(at: string, name: string): string {
  return `${at}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

function describe({ at, before, after }: Difference): string {
  const [old, now] = [before && canonicalText(before), after && canonicalText(after)];
  const lead = old === undefined || now === undefined ? 0 : Math.max(0, alike(old, now) - LEAD_CHARS);
  const pointer = withoutTricks(cut(at, 0));
  if (old === undefined) return `${pointer} added: ${shown(now ?? '', 0)}`;
  if (now === undefined) return `${pointer} removed: ${shown(old, 0)}`;
  return `${pointer}: ${shown(old, lead)} → ${shown(now, lead)}`;
}

function shown(text: string, from: number): string {
  return withoutTricks(cut(text, from));
}

function cut(text: string, from: number): string {
  const start = text.length <= SHOWN_CHARS ? 0 : from;
  const end = Math.min(text.length, start + SHOWN_CHARS);
  return `${start > 0 ? '…' : ''}${text.slice(start, end)}${end < text.length ? '…' : ''}`;
}

/** How many characters are the same at the beginning of both. */
function alike(one: string, other: string): number {
  const most = Math.min(one.length, other.length);
  let at = 0;
  while (at < most && one[at] === other[at]) at += 1;
  return at;
}
