import { createHash } from 'node:crypto';
import { describeDifferences, differences } from './difference.ts';
import type { Item, ListKind } from './item.ts';
import { canonicalText, type JsonTree, readTree } from './json-tree.ts';
import type { NamedKind } from './naming.ts';

/** One approved definition of a tool or a prompt. */
export interface Pin {
  readonly digest: string;
  /** What `digest` is the digest of. */
  readonly definition: JsonTree;
}

/** By the backend's configured name, by kind, by the backend's own name of the item. Plain data. */
export type Pins = ReadonlyMap<string, Readonly<Record<NamedKind, ReadonlyMap<string, readonly Pin[]>>>>;

/** What happens to a backend's definitions that nobody approved. */
export interface PinRules {
  /** To one whose name has approved definitions. */
  readonly onChange: 'flag' | 'quarantine';
  /** To one whose name has none. */
  readonly onNew: 'allow' | 'flag' | 'quarantine';
}

export interface Pinning {
  readonly approved: Pins;
  /** By the backend's configured name; one without is not looked at. */
  readonly rules: ReadonlyMap<string, PinRules>;
}

export const STANDINGS = ['approved', 'allowed', 'flagged', 'quarantined'] as const;

/** How a definition stands: `flagged` is shown and used, and said; `quarantined` is as if it did not exist. */
export interface Standing {
  readonly state: (typeof STANDINGS)[number];
  /** Whether its name has approved definitions: then it is another one. Undefined where it is approved. */
  readonly reason: 'changed' | 'new' | undefined;
  readonly digest: string;
}

/** `sha256:` and the hash, in hex, of the canonical text: two definitions that differ in anything a reader could act upon have two. */
export function definitionDigest(definition: JsonTree): string {
  return `sha256:${createHash('sha256').update(canonicalText(definition)).digest('hex')}`;
}

/** The definition as its backend gave it. */
export function definitionOf(item: Defined): JsonTree {
  return readTree((item.given ?? item).bytes.toString('utf8'));
}

/** A definition, as clients see it. */
export type Defined = Pick<Item, 'bytes' | 'given'>;

/** Whose definition it is. */
export interface Named {
  readonly backend: string;
  readonly kind: ListKind;
  /** The backend's own. */
  readonly name: string;
}

/** Compares what backends show with what was approved. Answers are kept for each item. */
export class DefinitionPins {
  readonly #settings: Pinning;
  /** By backend and kind. */
  readonly #standings = new Map<string, WeakMap<Defined, Standing>>();
  /** Whether some definitions may be held back. */
  readonly holdsBack: boolean;

  constructor(settings: Pinning) {
    this.#settings = settings;
    this.holdsBack = [...settings.rules.values()].some(quarantines);
  }

  /** Whether this backend's definitions are looked at. */
  watches(backend: string): boolean {
    return this.#settings.rules.has(backend);
  }

  /** Whether some of this list may be held back: nothing of it is used then but what is known to be approved. */
  mayHoldBack(backend: string, kind: ListKind): boolean {
    const rules = this.#settings.rules.get(backend);
    return rules !== undefined && isPinned(kind) && quarantines(rules);
  }

  /** Undefined where nobody looks: other kinds, and backends without rules. */
  standing({ backend, kind, name }: Named, item: Defined): Standing | undefined {
    const rules = this.#settings.rules.get(backend);
    if (rules === undefined || !isPinned(kind)) return undefined;
    const key = `${kind} ${backend}`;
    const known = this.#standings.get(key) ?? new WeakMap<Defined, Standing>();
    this.#standings.set(key, known);
    const given = item.given ?? item;
    const standing = known.get(given) ?? judge(this.#approved(backend, kind, name), rules, digestOf(given));
    known.set(given, standing);
    return standing;
  }

  /** Where an item differs from the approved definition that it is most like; all of it where there is none. */
  difference({ backend, kind, name }: Named, item: Defined): string {
    const now = definitionOf(item);
    const approved = isPinned(kind) ? this.#approved(backend, kind, name).slice(-MOST_COMPARED) : [];
    const all = approved.map(({ definition }) => differences(definition, now));
    const [nearest = differences(NOTHING, now)] = all.toSorted((one, other) => one.length - other.length);
    return describeDifferences(nearest, MOST_CHARS);
  }

  #approved(backend: string, kind: NamedKind, name: string): readonly Pin[] {
    return this.#settings.approved.get(backend)?.[kind].get(name) ?? [];
  }
}

/** The digest of an item as its backend gave it. */
export function digestOf(given: Defined): string {
  const digest = digests.get(given) ?? definitionDigest(definitionOf(given));
  digests.set(given, digest);
  return digest;
}

const digests = new WeakMap<Defined, string>();
const NOTHING: JsonTree = { kind: 'object', members: [] };
/** Of what one difference says. */
const MOST_CHARS = 4_096;
/** The latest approved definitions of one item. */
const MOST_COMPARED = 8;

function quarantines({ onChange, onNew }: PinRules): boolean {
  return onChange === 'quarantine' || onNew === 'quarantine';
}

const STATES = { allow: 'allowed', flag: 'flagged', quarantine: 'quarantined' } as const;

function judge(approved: readonly Pin[], { onChange, onNew }: PinRules, digest: string): Standing {
  if (approved.some((pin) => pin.digest === digest)) return { state: 'approved', reason: undefined, digest };
  if (approved.length === 0) return { state: STATES[onNew], reason: 'new', digest };
  return { state: STATES[onChange], reason: 'changed', digest };
}

function isPinned(kind: ListKind): kind is NamedKind {
  return kind === 'tools' || kind === 'prompts';
}
