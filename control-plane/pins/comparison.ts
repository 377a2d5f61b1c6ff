import { withoutTricks } from '../virtual-server/difference.ts';
import { NAMED_KINDS, type NamedKind } from '../virtual-server/naming.ts';
import { type DefinitionPins, definitionOf, digestOf, type Pin, type Pins } from '../virtual-server/pins.ts';
import type { Shown } from './shown-definitions.ts';

/** One name whose definition is not what was approved. */
export interface Change {
  readonly kind: NamedKind;
  readonly name: string;
  /** `gone`: it is approved and not shown, to this caller at least. */
  readonly what: 'new' | 'changed' | 'gone';
  /** Configuration takes it as it is, or nobody uses it. */
  readonly welcome: boolean;
  /** Nothing for what is gone. */
  readonly difference: string;
}

export interface Compared {
  readonly backend: string;
  readonly shown: Shown;
}

/** What a backend shows, compared with what was approved of it, by name. */
export function changesOf({ backend, shown }: Compared, pins: DefinitionPins, approved: Pins): Change[] {
  return NAMED_KINDS.flatMap((kind) => {
    const present = [...shown[kind]].flatMap(([name, item]): Change[] => {
      const { reason, state } = pins.standing({ backend, kind, name }, item) ?? {};
      if (reason === undefined) return [];
      const difference = pins.difference({ backend, kind, name }, item);
      return [{ kind, name, what: reason, welcome: state === 'allowed', difference }];
    });
    const gone = [...(approved.get(backend)?.[kind].keys() ?? [])]
      .filter((name) => !shown[kind].has(name))
      .map((name): Change => ({ kind, name, what: 'gone', welcome: true, difference: '' }));
    return [...present, ...gone];
  });
}

/**
 * What is approved when everything that these backends show is. Other backends keep what they have, and so does a
 * name that shows an approved definition: it may show other callers the others. `add`: nothing that was approved ends.
 */
export function approving(approved: Pins, all: readonly Compared[], add: boolean): Pins {
  const next = new Map(approved);
  for (const { backend, shown } of all) {
    const before = approved.get(backend);
    const kind = (each: NamedKind) => approvingKind(before?.[each] ?? new Map(), shown[each], add);
    next.set(backend, { tools: kind('tools'), prompts: kind('prompts') });
  }
  return next;
}

function approvingKind(
  before: ReadonlyMap<string, readonly Pin[]>,
  shown: Shown[NamedKind],
  add: boolean,
): ReadonlyMap<string, readonly Pin[]> {
  const next = new Map<string, readonly Pin[]>(add ? before : []);
  for (const [name, item] of shown) {
    const known = before.get(name) ?? [];
    const digest = digestOf(item);
    const pin = { digest, definition: definitionOf(item) };
    if (known.some((each) => each.digest === digest)) next.set(name, known);
    else next.set(name, add ? [...known, pin] : [pin]);
  }
  return next;
}

/** For people, one backend after the other, with nothing in it that a terminal would obey. */
export function describeChanges({ backend, shown }: Compared, changes: readonly Change[]): string {
  const counted = NAMED_KINDS.map((kind) => count(shown[kind].size, WORDS[kind])).join(', ');
  const lines = changes.flatMap(({ kind, name, what, difference }) => [
    `  ${what.padEnd(7)} ${WORDS[kind]} ${withoutTricks(name)}`,
    ...difference
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => `      ${line}`),
  ]);
  return [`${backend}: ${counted}${changes.length === 0 ? ', as approved' : ''}`, ...lines, ''].join('\n');
}

export function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}

const WORDS = { tools: 'tool', prompts: 'prompt' } as const;
