/**
 * The conflict resolver: how the client sees what the backends call their own.
 * A name depends on its backend, its original and the configuration, and not on who
 * happened to answer; only the owner of a contested name depends on other lists.
 */
import { createHash } from 'node:crypto';
import type { Item } from './item.ts';
import { type ShapeSettings, type Shapes, shapesFrom } from './shape.ts';

export interface Naming {
  /**
   * `prefix`: `backend__name`. `none` and `priority`: names as they are; of equal
   * ones the first backend in `order` has it and the others' are hidden. `manual`:
   * as in `names`, and prefixed what is not named there.
   */
  readonly mode: 'prefix' | 'none' | 'priority' | 'manual';
  /** Who wins a conflict of names, first to last. Holds every backend. */
  readonly order: readonly string[];
  /** Mode `manual`. Each original and each visible name of a kind once; no visible name begins as a prefixed one. */
  readonly names?: readonly GivenName[];
}

export const NAMED_KINDS = ['tools', 'prompts'] as const;

export type NamedKind = (typeof NAMED_KINDS)[number];

/** One item's visible name, as the operator wants it. */
export interface GivenName {
  readonly kind: NamedKind;
  readonly backend: string;
  /** The backend's own name. */
  readonly original: string;
  readonly visible: string;
}

/** What the names of one kind follow from, beside the lists. */
export interface NameRules {
  readonly kind: NamedKind;
  readonly naming: Naming;
  readonly shapes: Shapes;
}

/** The lists of one kind, of the backends that have been read. */
export type Lists = ReadonlyMap<string, readonly Item[]>;

/** One visible item. */
export interface Entry {
  readonly visible: string;
  readonly backend: string;
  readonly item: Item;
}

const SEPARATOR = '__';

/** Names of tools and prompts that every client takes (MCP 2025-11-25, Tool Names). */
export const LEGAL_NAME = /^[A-Za-z0-9_.-]{1,128}$/;
const LONGEST_NAME = 128;

/** The prefix of namespaced URIs; the backend's name and the original URI follow. */
const SCHEME = 'outrigger://';

/** Tools or prompts under their visible names, in the order of `lists`. Each name occurs once. */
export function resolveNames(lists: Lists, rules: NameRules): Entry[] {
  const all = flatten(lists).map((entry) => ({
    ...entry,
    ...wantedName(rules, entry.backend, entry.item.key),
  }));
  const ranks = new Map(rules.naming.order.map((backend, rank) => [backend, rank]));
  const rank = (entry: Entry) => ranks.get(entry.backend) ?? ranks.size;
  const ranked = all.toSorted((a, b) => rank(a) - rank(b));
  const owners = new Map<string, Entry>();
  const isFree = (name: string) => !owners.has(name);
  for (const entry of ranked) if (entry.usable && isFree(entry.visible)) owners.set(entry.visible, entry);
  // Made-up names come second: no original name gives way to one.
  for (const entry of ranked) {
    if (!entry.usable)
      owners.set(
        madeUpName(entry.visible, { backend: entry.backend, original: entry.item.key, isFree }),
        entry,
      );
  }
  const visibleOf = new Map<Entry, string>([...owners].map(([visible, entry]) => [entry, visible]));
  return all.flatMap((entry) => {
    const visible = visibleOf.get(entry);
    return visible === undefined ? [] : [{ visible, backend: entry.backend, item: entry.item }];
  });
}

/** Where a visible name leads before any list has been read; undefined where only a list can tell. */
export function originalOf(
  { kind, naming, shapes }: NameRules,
  visible: string,
): Pick<GivenName, 'backend' | 'original'> | undefined {
  const given = namesIn(naming).byVisible.get(nameKey(kind, visible));
  if (given !== undefined) return given;
  // A name that no list could show is nobody's.
  if (!LEGAL_NAME.test(visible) || MADE_UP.test(visible)) return undefined;
  const end = visible.indexOf(SEPARATOR);
  const backend = visible.slice(0, Math.max(end, 0));
  const name = visible.slice(end + SEPARATOR.length);
  const shape = shapes.get(backend);
  const original = shape === undefined ? name : shape.originalOf(kind, name);
  if (original === undefined || original === '') return undefined;
  const elsewhere = namesIn(naming).byOriginal.has(nameKey(kind, backend, original));
  return elsewhere ? undefined : { backend, original };
}

/** The backend that alone may have a name; undefined where names do not say. */
export function backendOf({ kind, naming }: NameRules, visible: string): string | undefined {
  if (!isPrefixed(naming)) return undefined;
  const given = namesIn(naming).byVisible.get(nameKey(kind, visible));
  // Backend names hold no underscore, so the first separator is the one.
  return given?.backend ?? visible.slice(0, Math.max(visible.indexOf(SEPARATOR), 0));
}

/** Whether names say by themselves whose they are. */
export function isPrefixed({ mode }: Pick<Naming, 'mode'>): boolean {
  return mode === 'prefix' || mode === 'manual';
}

/**
 * The visible names that certainly mean these tools of this backend. Where names
 * are not prefixed, only the first backend's are certain without the lists of all.
 */
export function replaySafeNames(
  { naming, shapes: settings }: { readonly naming: Naming; readonly shapes: readonly ShapeSettings[] },
  backend: string,
  originals: readonly string[],
): string[] {
  if (!isPrefixed(naming) && naming.order[0] !== backend) return [];
  const shapes = shapesFrom(settings);
  const isShown = (original: string) => shapes.get(backend)?.admits('tools', original) !== false;
  return originals.filter(isShown).map((original) => {
    const { visible, usable } = wantedName({ kind: 'tools', naming, shapes }, backend, original);
    return usable ? visible : madeUpName(visible, { backend, original, isFree: () => true });
  });
}

/** Resources or templates under their visible URIs: the first backend's as they are, the others' equal ones namespaced. */
export function resolveUris(lists: Lists): Entry[] {
  const taken = new Set<string>();
  return flatten(lists).map(({ backend, item }) => {
    const plain = !item.key.startsWith(SCHEME) && !taken.has(item.key);
    const visible = plain ? item.key : namespaced(backend, item.key);
    taken.add(visible);
    return { visible, backend, item };
  });
}

/** The name of what configuration gives no name to, before the rules for legal names. */
export function naturalName(naming: Pick<Naming, 'mode'>, backend: string, name: string): string {
  return isPrefixed(naming) ? namespacedName(backend, name) : name;
}

/** A name with its backend's prefix. */
export function namespacedName(backend: string, name: string): string {
  return `${backend}${SEPARATOR}${name}`;
}

/** A URI, or template, that names its backend and keeps the original as it is. */
export function namespaced(backend: string, original: string): string {
  return `${SCHEME}${backend}/${original}`;
}

/** What `namespaced` made; undefined for other URIs. */
export function parseNamespaced(uri: string): { backend: string; original: string } | undefined {
  if (!uri.startsWith(SCHEME)) return undefined;
  const slash = uri.indexOf('/', SCHEME.length);
  if (slash < 0) return undefined;
  return { backend: uri.slice(SCHEME.length, slash), original: uri.slice(slash + 1) };
}

/** All items in order; of a backend's items with one key, the first. */
function flatten(lists: Lists): { backend: string; item: Item }[] {
  return [...lists].flatMap(([backend, items]) => {
    const first = new Map(items.toReversed().map((item) => [item.key, item]));
    return items
      .filter((item) => first.get(item.key) === item && first.delete(item.key))
      .map((item) => ({ backend, item }));
  });
}

/** The name that an item should have, and whether it can: it is legal, and configuration did not give it to another item of the backend. */
function wantedName(
  { kind, naming, shapes }: NameRules,
  backend: string,
  original: string,
): { visible: string; usable: boolean } {
  const given = namesIn(naming).byOriginal.get(nameKey(kind, backend, original));
  if (given !== undefined) return { visible: given.visible, usable: true };
  const shape = shapes.get(backend);
  const name = shape?.nameOf(kind, original) ?? original;
  const visible = naturalName(naming, backend, name);
  const own = shape === undefined || shape.originalOf(kind, name) === original;
  return { visible, usable: own && LEGAL_NAME.test(visible) };
}

interface NameIndex {
  readonly byOriginal: ReadonlyMap<string, GivenName>;
  readonly byVisible: ReadonlyMap<string, GivenName>;
}

const NO_NAMES: NameIndex = { byOriginal: new Map(), byVisible: new Map() };
const indexes = new WeakMap<readonly GivenName[], NameIndex>();

function namesIn({ names }: Naming): NameIndex {
  if (names === undefined) return NO_NAMES;
  const known = indexes.get(names);
  if (known !== undefined) return known;
  const index = {
    byOriginal: new Map(names.map((each) => [nameKey(each.kind, each.backend, each.original), each])),
    byVisible: new Map(names.map((each) => [nameKey(each.kind, each.visible), each])),
  };
  indexes.set(names, index);
  return index;
}

function nameKey(...parts: readonly string[]): string {
  return parts.join(' ');
}

/** How names end that `madeUpName` gives, and few others. */
const MADE_UP = /_[0-9a-f]{8}(?:[0-9a-f]{8})?(?:[0-9a-f]{16})?$/;

interface MadeUpNameOptions {
  readonly backend: string;
  readonly original: string;
  readonly isFree: (name: string) => boolean;
}

/** What is illegal is replaced, what is too long is cut, and a hash of backend and original keeps it apart from the like. */
function madeUpName(natural: string, { backend, original, isFree }: MadeUpNameOptions): string {
  const hash = createHash('sha256').update(`${backend}\0${original}`).digest('hex');
  const clean = natural.replace(/[^A-Za-z0-9_.-]/gu, '_');
  for (let digits = 8; digits < hash.length; digits *= 2) {
    const name = `${clean.slice(0, LONGEST_NAME - digits - 1)}_${hash.slice(0, digits)}`;
    if (isFree(name)) return name;
  }
  return hash;
}
