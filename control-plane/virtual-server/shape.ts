import { createHash } from 'node:crypto';
import { canonicalUri } from './canonical-uri.ts';
import { type ItemValues, withValues } from './edited-item.ts';
import { matchesGlob } from './glob.ts';
import { byKind, type Item, type ListKind } from './item.ts';
import { type TextRules, withPlainTexts } from './plain-item.ts';

/**
 * What configuration makes of a backend's items before they are merged: which of
 * them exist for anybody, under which names, and described how. Plain data.
 */
export interface ShapeSettings {
  readonly backend: string;
  readonly filters: readonly Filter[];
  readonly edits: readonly Edit[];
  /** Undefined: texts are shown as they are. */
  readonly texts?: TextRules | undefined;
}

/** Of one kind. An item is shown where all filters of its kind admit it. */
export interface Filter {
  readonly kind: ListKind;
  /** Patterns of the backend's own names, URIs or URI templates; undefined allows all. */
  readonly allow: readonly string[] | undefined;
  /** Wins over `allow`. */
  readonly deny: readonly string[];
}

/** Of one item. */
export interface Edit extends ItemValues {
  readonly kind: ListKind;
  /** The backend's own name, URI or URI template. */
  readonly original: string;
  /** Tools and prompts: what takes the place of the original before names are resolved. */
  readonly name?: string | undefined;
}

/** By backend. One that has no shape shows everything as it is. */
export type Shapes = ReadonlyMap<string, Shape>;

/** What hides everything of a backend. */
export function hidden(backend: string): ShapeSettings {
  return { backend, edits: [], filters: Object.values(NOTHING) };
}

/** Longer names and URIs are admitted by no filter. */
const LONGEST_KEY = 8_192;

/** Answers in time linear in what is asked about, whatever the patterns. */
export class Shape {
  /** Equal for shapes that do the same. */
  readonly digest: string;
  readonly #texts: TextRules | undefined;
  readonly #filters: Readonly<Record<ListKind, readonly Filter[]>>;
  /** By original. */
  readonly #edits: Readonly<Record<ListKind, ReadonlyMap<string, Edit>>>;
  /** Originals by the names that configuration gave them. */
  readonly #named: Readonly<Record<ListKind, ReadonlyMap<string, string>>>;

  constructor({ filters, edits, texts }: ShapeSettings) {
    this.#texts = texts;
    this.digest = createHash('sha256')
      .update(JSON.stringify([filters, edits, texts]))
      .digest('base64url');
    this.#filters = byKind((kind) => filters.filter((each) => each.kind === kind));
    this.#edits = byKind(
      (kind) => new Map(edits.filter((each) => each.kind === kind).map((edit) => [edit.original, edit])),
    );
    this.#named = byKind(
      (kind) =>
        new Map(
          [...this.#edits[kind].values()].flatMap(({ name, original }) =>
            name === undefined ? [] : [[name, original] as const],
          ),
        ),
    );
  }

  /** Whether some items of this kind may be hidden. */
  filters(kind: ListKind): boolean {
    return this.#filters[kind].length > 0;
  }

  /** Whether an item may be shown and used. A URI must be admitted as it is written and as a server may read it. */
  admits(kind: ListKind, key: string): boolean {
    const filters = this.#filters[kind];
    if (filters.length === 0) return true;
    if (key.length > LONGEST_KEY) return false;
    const canonical = kind === 'resources' ? canonicalUri(key) : key;
    if (canonical === undefined) return false;
    return filters.every((filter) => admits(filter, key) && (canonical === key || admits(filter, canonical)));
  }

  /** The name of a tool or prompt before names are resolved. */
  nameOf(kind: ListKind, original: string): string {
    return this.#edits[kind].get(original)?.name ?? original;
  }

  /** Whose name that is. Undefined: configuration gave its owner another one. */
  originalOf(kind: ListKind, name: string): string | undefined {
    const given = this.#named[kind].get(name);
    if (given !== undefined) return given;
    return this.#edits[kind].get(name)?.name === undefined ? name : undefined;
  }

  /** The backend's items without those that are hidden, each as it is to be described. */
  apply(kind: ListKind, items: readonly Item[]): readonly Item[] {
    const edits = this.#edits[kind];
    const shown = this.filters(kind) ? items.filter(({ key }) => this.admits(kind, key)) : items;
    const texts = this.#texts;
    if (edits.size === 0 && texts === undefined) return shown;
    return shown.map((item) => {
      const edit = edits.get(item.key);
      const plain = texts === undefined ? item : withPlainTexts(item, texts);
      return edit === undefined ? plain : withValues(kind, plain, edit);
    });
  }
}

/** The shapes of a configuration; the same for the same settings. */
export function shapesFrom(settings: readonly ShapeSettings[]): Shapes {
  const known = made.get(settings);
  if (known !== undefined) return known;
  const shapes = new Map(settings.map((each) => [each.backend, new Shape(each)]));
  made.set(settings, shapes);
  return shapes;
}

const made = new WeakMap<readonly ShapeSettings[], Shapes>();

const NOTHING = byKind((kind): Filter => ({ kind, allow: [], deny: [] }));

function admits({ allow, deny }: Filter, key: string): boolean {
  const fits = (pattern: string) => matchesGlob(pattern, key);
  return (allow === undefined || allow.some(fits)) && !deny.some(fits);
}
