import { at, isList, isMap, type Json, type JsonMap, type Path } from './json.ts';

/** One change of an object: an operation of JSON Patch (RFC 6902 §4.1, §4.2). An index in a list is where the value will be. */
export type Edit =
  | { readonly op: 'add'; readonly path: Path; readonly value: Json }
  | { readonly op: 'remove'; readonly path: Path };

/** Changes an object step by step, and keeps the steps. What it was given stays as it is. */
export class Editor {
  readonly edits: Edit[] = [];
  #object: Json;

  constructor(object: Json) {
    this.#object = object;
  }

  get object(): Json {
    return this.#object;
  }

  at(path: Path): Json | undefined {
    return at(this.#object, path);
  }

  /** Puts a member into a group, in place of the one that is there, or an item into a list, before the one that is there. */
  add(path: Path, value: Json): void {
    this.#do({ op: 'add', path, value });
  }

  remove(path: Path): void {
    this.#do({ op: 'remove', path });
  }

  #do(edit: Edit): void {
    this.#object = applied(this.#object, edit);
    this.edits.push(edit);
  }
}

/** The object after one edit, sharing with the one before it what is the same. */
function applied(object: Json, edit: Edit, depth = 0): Json {
  const key = edit.path[depth];
  const last = depth === edit.path.length - 1;
  if (isList(object) && typeof key === 'number') {
    const items = [...object];
    if (!last) items[key] = applied(items[key] ?? null, edit, depth + 1);
    else if (edit.op === 'add') items.splice(key, 0, edit.value);
    else items.splice(key, 1);
    return items;
  }
  if (!isMap(object) || typeof key !== 'string') throw new TypeError(`no ${pointer(edit.path)} to edit`);
  if (!last) return { ...object, [key]: applied(object[key] ?? null, edit, depth + 1) };
  if (edit.op === 'add') return { ...object, [key]: edit.value };
  const { [key]: _removed, ...rest } = object;
  return rest;
}

/** As an API server takes it. */
export function toJsonPatch(edits: readonly Edit[]): readonly JsonMap[] {
  return edits.map((edit) => ({ ...edit, path: pointer(edit.path) }));
}

/** RFC 6901. */
function pointer(path: Path): string {
  return path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
