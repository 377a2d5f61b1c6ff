import { withoutTricks } from './difference.ts';
import { type JsonTree, parseTree } from './json-tree.ts';
import { NAMED_KINDS } from './naming.ts';
import { definitionDigest, type Pin, type Pins } from './pins.ts';

/**
 * The file of approved definitions, to be reviewed and committed like a lock file:
 *
 *     { "version": 1,
 *       "backends": { "tickets": { "tools": { "search": [
 *         { "digest": "sha256:…", "definition": { "name": "search", … } } ] } } } }
 */

/** What is wrong with a file, and where: a JSON pointer. */
export class PinFault extends Error {
  override readonly name = 'PinFault';
}

/** Throws `PinFault`. A digest that is not that of its definition is one: what is reviewed is what counts. */
export function parsePins(text: string): Pins {
  const { version, backends, ...others } = Object.fromEntries(objectAt('', parse(text)));
  requireNoOthers('', others);
  if (version?.kind !== 'scalar' || version.text !== '1') throw new PinFault('/version: expected 1');
  if (backends === undefined) throw new PinFault('/backends: is required');
  return new Map(
    objectAt('/backends', backends).map(([backend, kinds]) => {
      const { tools, prompts, ...more } = Object.fromEntries(objectAt(`/backends/${backend}`, kinds));
      requireNoOthers(`/backends/${backend}`, more);
      return [
        backend,
        {
          tools: itemsAt(`/backends/${backend}/tools`, tools),
          prompts: itemsAt(`/backends/${backend}/prompts`, prompts),
        },
      ];
    }),
  );
}

/** The same pins always as the same text, whatever their order, so that a comparison shows what changed. */
export function formatPins(pins: Pins): string {
  const backends = sorted(pins).map(
    ([backend, kinds]) =>
      [
        backend,
        object(
          NAMED_KINDS.filter((kind) => kinds[kind].size > 0).map((kind) => [
            kind,
            object(sorted(kinds[kind]).map(([name, approved]) => [name, array(approved.map(pinTree))])),
          ]),
        ),
      ] as const,
  );
  const file = object([
    ['version', { kind: 'scalar', text: '1' }],
    ['backends', object(backends)],
  ]);
  return `${pretty(file, '')}\n`;
}

type Members = Extract<JsonTree, { kind: 'object' }>['members'];

function parse(text: string): JsonTree {
  try {
    return parseTree(text);
  } catch (error) {
    throw new PinFault(`is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function objectAt(at: string, tree: JsonTree): Members {
  if (tree.kind !== 'object') throw new PinFault(`${at}: expected an object`);
  const twice = tree.members.find(([name], i) => tree.members.findIndex(([each]) => each === name) !== i);
  if (twice !== undefined) throw new PinFault(`${at}/${twice[0]}: stands there twice`);
  return tree.members;
}

function requireNoOthers(at: string, others: object): void {
  const [name] = Object.keys(others);
  if (name !== undefined) throw new PinFault(`${at}/${name}: unknown key`);
}

function itemsAt(at: string, tree: JsonTree | undefined): ReadonlyMap<string, readonly Pin[]> {
  if (tree === undefined) return new Map();
  return new Map(
    objectAt(at, tree).map(([name, pins]) => {
      if (pins.kind !== 'array') throw new PinFault(`${at}/${name}: expected a list`);
      return [name, pins.elements.map((pin, i) => pinAt(`${at}/${name}/${i}`, name, pin))];
    }),
  );
}

function pinAt(at: string, name: string, tree: JsonTree): Pin {
  const { digest, definition, ...others } = Object.fromEntries(objectAt(at, tree));
  requireNoOthers(at, others);
  if (definition?.kind !== 'object') throw new PinFault(`${at}/definition: expected an object`);
  const named = definition.members.find(([member]) => member === 'name')?.[1];
  if (named?.kind !== 'scalar' || named.text !== JSON.stringify(name))
    throw new PinFault(`${at}/definition/name: expected ${JSON.stringify(name)}`);
  const expected = definitionDigest(definition);
  if (digest?.kind !== 'scalar' || digest.text !== JSON.stringify(expected))
    throw new PinFault(`${at}/digest: is not the definition's`);
  return { digest: expected, definition };
}

function pinTree({ digest, definition }: Pin): JsonTree {
  return object([
    ['digest', { kind: 'scalar', text: JSON.stringify(digest) }],
    ['definition', definition],
  ]);
}

function object(members: Members): JsonTree {
  return { kind: 'object', members };
}

function array(elements: readonly JsonTree[]): JsonTree {
  return { kind: 'array', elements };
}

function sorted<T>(entries: Iterable<readonly [string, T]>): (readonly [string, T])[] {
  return [...entries].toSorted(([one], [other]) => (one < other ? -1 : 1));
}

/** What nobody would see in it is escaped. */
function pretty(tree: JsonTree, indent: string): string {
  const deeper = `${indent}  `;
  switch (tree.kind) {
    case 'scalar':
      return withoutTricks(tree.text);
    case 'array':
      return block(
        '[]',
        indent,
        tree.elements.map((each) => deeper + pretty(each, deeper)),
      );
    case 'object':
      return block(
        '{}',
        indent,
        tree.members.map(
          ([name, value]) => `${deeper}${withoutTricks(JSON.stringify(name))}: ${pretty(value, deeper)}`,
        ),
      );
  }
}

function block(ends: '[]' | '{}', indent: string, lines: readonly string[]): string {
  return lines.length === 0 ? ends : `${ends[0]}\n${lines.join(',\n')}\n${indent}${ends[1]}`;
}
