/**
 * The conflict resolver: how the client sees what the backends call their own.
 * A name depends on its backend, its original and the configuration, and not on who
 * happened to answer; only the owner of a contested name depends on other lists.
 */
import { createHash } from 'node:crypto';
import type { Item } from './item.ts';

export interface Naming {
  /**
   * `prefix`: `backend__name`. `none` and `priority`: names as they are; of equal
   * ones the first backend in `order` has it and the others' are hidden.
   */
  readonly mode: 'prefix' | 'none' | 'priority';
  /** Who wins a conflict of names, first to last. Holds every backend. */
  readonly order: readonly string[];
}

/** The lists of one kind, of the backends that have been read. */
export type Lists = ReadonlyMap<string, readonly Item[]>;

/** One visible item. */
export interface Entry {
  readonly visible: string;
  readonly backend: string;
  readonly item: Item;
}

export const SEPARATOR = '__';

/** Names of tools and prompts that every client takes (MCP 2025-11-25, Tool Names). */
export const LEGAL_NAME = /^[A-Za-z0-9_.-]{1,128}$/;
const LONGEST_NAME = 128;

/** The prefix of namespaced URIs; the backend's name and the original URI follow. */
const SCHEME = 'outrigger://';

/** Tools or prompts under their visible names, in the order of `lists`. Each name occurs once. */
export function resolveNames(lists: Lists, naming: Naming): Entry[] {
  const all = flatten(lists).map((entry) => ({
    ...entry,
    visible: naturalName(naming, entry.backend, entry.item.key),
  }));
  const ranks = new Map(naming.order.map((backend, rank) => [backend, rank]));
  const rank = (entry: Entry) => ranks.get(entry.backend) ?? ranks.size;
  const ranked = all.toSorted((a, b) => rank(a) - rank(b));
  const owners = new Map<string, Entry>();
  const isFree = (name: string) => !owners.has(name);
  const legal = ranked.filter(({ visible }) => LEGAL_NAME.test(visible));
  for (const entry of legal) if (isFree(entry.visible)) owners.set(entry.visible, entry);
  // Made-up names come second: no original name gives way to one.
  for (const entry of ranked) {
    if (!LEGAL_NAME.test(entry.visible))
      owners.set(
        legalName(entry.visible, { backend: entry.backend, original: entry.item.key, isFree }),
        entry,
      );
  }
  const visibleOf = new Map([...owners].map(([visible, entry]) => [entry, visible]));
  return all.flatMap((entry) => {
    const visible = visibleOf.get(entry);
    return visible === undefined ? [] : [{ ...entry, visible }];
  });
}

/**
 * The visible names that certainly mean these tools of this backend. Where names
 * are not prefixed, only the first backend's are certain without the lists of all.
 */
export function replaySafeNames(
  { naming }: { readonly naming: Naming },
  backend: string,
  originals: readonly string[],
): string[] {
  if (naming.mode !== 'prefix' && naming.order[0] !== backend) return [];
  return originals.map((original) => {
    const natural = naturalName(naming, backend, original);
    return LEGAL_NAME.test(natural) ? natural : legalName(natural, { backend, original, isFree: () => true });
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

/** The name before the rules for legal names. */
export function naturalName(naming: Pick<Naming, 'mode'>, backend: string, original: string): string {
  return naming.mode === 'prefix' ? `${backend}${SEPARATOR}${original}` : original;
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

interface LegalNameOptions {
  readonly backend: string;
  readonly original: string;
  readonly isFree: (name: string) => boolean;
}

/** What is illegal is replaced, what is too long is cut, and a hash of backend and original keeps it apart from the like. */
function legalName(natural: string, { backend, original, isFree }: LegalNameOptions): string {
  const hash = createHash('sha256').update(`${backend}\0${original}`).digest('hex');
  const clean = natural.replace(/[^A-Za-z0-9_.-]/gu, '_');
  for (let digits = 8; digits < hash.length; digits *= 2) {
    const name = `${clean.slice(0, LONGEST_NAME - digits - 1)}_${hash.slice(0, digits)}`;
    if (isFree(name)) return name;
  }
  return hash;
}
