import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  Pair,
  Scalar,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { type Edit, Editor } from './edits.ts';
import type { Json, Path } from './json.ts';

export interface DocumentEdits {
  /** What the document says. */
  readonly object: Json;
  readonly edits: readonly Edit[];
  /** Makes nodes that fit the document. */
  readonly create: (value: Json) => unknown;
}

/**
 * Makes the changes in the nodes of a document, and only there, so that everything else
 * can be written as it was. An alias that leads to what is changed is replaced by what
 * it stands for, or the change would be made wherever the anchor is used.
 */
export function applyToDocument(document: Document, { object, edits, create }: DocumentEdits): void {
  const replay = new Editor(object);
  for (const edit of edits) {
    const key = edit.path.at(-1) ?? '';
    const parent = nodeAt(document, edit.path.slice(0, -1), { current: replay, create });
    if (isSeq(parent) && typeof key === 'number') {
      if (edit.op === 'remove') parent.items.splice(key, 1);
      else insert(parent, key, create(edit.value));
    } else if (isMap(parent)) {
      if (edit.op === 'remove') parent.items = parent.items.filter((pair) => !hasKey(pair, key));
      else put(parent, key, create(edit.value));
    }
    if (edit.op === 'remove') replay.remove(edit.path);
    else replay.add(edit.path, edit.value);
  }
}

/** Lets every alias stand for itself. Those before it are done when one is met: an anchor comes before its aliases. */
export function expandAliases(document: Document): void {
  visit(document, { Alias: (_, alias) => own(document, alias) as Node });
  visit(document, { Node: forgetAnchor });
}

interface Walk {
  readonly current: Editor;
  readonly create: (value: Json) => unknown;
}

function nodeAt(document: Document, path: Path, { current, create }: Walk): unknown {
  let node: unknown = document.contents;
  for (const [depth, key] of path.entries()) {
    if (isSeq(node)) {
      const item = own(document, node.items[Number(key)]);
      node.items[Number(key)] = item;
      node = item;
    } else if (isMap(node)) {
      let pair = pairOf(node, key);
      if (pair === undefined) {
        // It came by a merge of another group: here it gets a value of its own.
        pair = new Pair(new Scalar(key), create(current.at(path.slice(0, depth + 1)) ?? null));
        node.items.push(pair);
      }
      pair.value = own(document, pair.value);
      node = pair.value;
    }
  }
  return node;
}

/** A node that may be changed here without being changed elsewhere. */
function own(document: Document, node: unknown): unknown {
  if (!isAlias(node)) return node;
  const copy = node.resolve(document)?.clone();
  if (!isNode(copy)) return node;
  visit(copy, { Node: forgetAnchor });
  return copy;
}

function forgetAnchor(_: unknown, node: Node): void {
  if (!isAlias(node)) delete node.anchor;
}

function insert(list: YAMLSeq, index: number, node: unknown): void {
  const [first] = list.items;
  if (index === 0 && isNode(first) && list.commentBefore) {
    first.commentBefore = list.commentBefore;
    list.commentBefore = null;
  }
  spread(list);
  list.items.splice(index, 0, node);
}

function put(group: YAMLMap, key: string | number, node: unknown): void {
  const pair = pairOf(group, key);
  spread(group);
  if (pair === undefined) group.items.push(new Pair(new Scalar(key), node));
  else pair.value = node;
}

/** What was empty, and so stood in brackets, gets lines of its own. */
function spread(collection: YAMLMap | YAMLSeq): void {
  if (collection.items.length === 0) collection.flow = false;
}

function pairOf(group: YAMLMap, key: string | number): Pair | undefined {
  return group.items.find((pair) => hasKey(pair, key));
}

function hasKey({ key }: Pair, wanted: string | number): boolean {
  return isScalar(key) && key.value === wanted;
}
