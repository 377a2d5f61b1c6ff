import type { Editor } from './edits.ts';
import { isList, isMap, type Json, type Path, textsAt } from './json.ts';

export interface ContainerAt {
  /** In the template. */
  readonly path: Path;
  /** `containers/name` or `initContainers/name`. */
  readonly key: string;
}

/** One pod or template while it is changed. Paths begin at the template. */
export class TemplateEditor {
  /** Groups and lists that had to be made, by their names as paths, in the words of the status annotation. */
  readonly made: Record<string, 'absent' | 'null'> = {};
  readonly #editor: Editor;
  readonly #root: Path;

  constructor(editor: Editor, root: Path) {
    this.#editor = editor;
    this.#root = root;
  }

  /** What is said under this name, as an annotation or else as a label. */
  said(name: string): string | undefined {
    return this.annotations[name] ?? this.labels[name];
  }

  get labels(): Readonly<Record<string, string>> {
    return textsAt(this.at(['metadata', 'labels']), []);
  }

  get annotations(): Readonly<Record<string, string>> {
    return textsAt(this.at(['metadata', 'annotations']), []);
  }

  at(path: Path): Json | undefined {
    return this.#editor.at([...this.#root, ...path]);
  }

  /** The items of a list; none where there is no list. */
  items(path: Path): readonly Json[] {
    const found = this.at(path);
    return isList(found) ? found : [];
  }

  /** The names of the items of a list. */
  namesIn(path: Path): readonly (string | undefined)[] {
    return this.items(path).map(nameOf);
  }

  containers(): readonly ContainerAt[] {
    return (['containers', 'initContainers'] as const).flatMap((list) =>
      this.namesIn(['spec', list]).map((name, index) => ({
        path: ['spec', list, index],
        key: `${list}/${name ?? ''}`,
      })),
    );
  }

  setLabel(name: string, value: string): void {
    this.prepare(['metadata', 'labels']);
    this.add(['metadata', 'labels', name], value);
  }

  setAnnotation(name: string, value: string): void {
    this.add(['metadata', 'annotations', name], value);
  }

  append(list: Path, item: Json): void {
    this.insert(list, this.items(list).length, item);
  }

  insert(list: Path, index: number, item: Json): void {
    if (isList(this.at(list))) return this.add([...list, index], item);
    this.#note(list);
    this.add(list, [item]);
  }

  /** Makes a group, and those that it stands in, where there is none. */
  prepare(group: Path): void {
    for (let depth = 1; depth <= group.length; depth += 1) {
      const path = group.slice(0, depth);
      if (isMap(this.at(path))) continue;
      this.#note(path);
      this.add(path, {});
    }
  }

  add(path: Path, value: Json): void {
    this.#editor.add([...this.#root, ...path], value);
  }

  remove(path: Path): void {
    this.#editor.remove([...this.#root, ...path]);
  }

  /** Containers by their names: their places shift with what is put before them. */
  #note(path: Path): void {
    const [, list, index] = path;
    const name = typeof index === 'number' ? this.namesIn(['spec', String(list)])[index] : undefined;
    const place = name === undefined ? path.join('/') : `${list}/${name}/env`;
    this.made[place] = this.at(path) === null ? 'null' : 'absent';
  }
}

function nameOf(item: Json): string | undefined {
  return isMap(item) && typeof item['name'] === 'string' ? item['name'] : undefined;
}
