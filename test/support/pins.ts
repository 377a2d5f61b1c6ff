import { parseTree } from '../../control-plane/virtual-server/json-tree.ts';
import { formatPins } from '../../control-plane/virtual-server/pin-file.ts';
import { definitionDigest, type Pin } from '../../control-plane/virtual-server/pins.ts';
import type { Script, ScriptedTool } from './recording-backend.ts';

type Tools = Readonly<Record<string, readonly ScriptedTool[]>>;
type Prompts = Readonly<Record<string, Script['prompts']>>;

/** The file that approves these, as the recording backend describes them; several of one name are several definitions. */
export function pinFile(tools: Tools, prompts: Prompts = {}): string {
  return formatPins(
    new Map(
      Object.entries(tools).map(([backend, list]) => [
        backend,
        {
          tools: byName(
            list.map(({ name, definition }) => ({ name, inputSchema: { type: 'object' }, ...definition })),
          ),
          prompts: byName(prompts[backend] ?? []),
        },
      ]),
    ),
  );
}

function byName(definitions: readonly { readonly name: string }[]): ReadonlyMap<string, readonly Pin[]> {
  const names = [...new Set(definitions.map(({ name }) => name))];
  return new Map(names.map((name) => [name, definitions.filter((each) => each.name === name).map(pin)]));
}

function pin(described: object): Pin {
  const definition = parseTree(JSON.stringify(described));
  return { digest: definitionDigest(definition), definition };
}
